"""Write a fitted detector as an ONNX file or a `torch.export` program, checked before it is kept.

Both take `images`, (N, S, S, 3) uint8, RGB, and return `keypoints`, (N, K, 2) float32, (x, y) in
[0, 1] of the image, and, of a method that has them, `heatmaps`, (N, K, n, n) float32, each summing
to 1. N is free, S is the method's `image_size`. Images of another size, or that are not square, are
resized to S x S first (bilinear, with antialiasing); keypoints in [0, 1] do not notice. That is
left to the caller because no two libraries round a resized image alike. A method that reads depth
takes the picture that it makes of it (`pixels`) in place of an image.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array, ExportableMethod, ImageSet, Method
from kpbench.errors import ExportError, MissingPackageError
from kpbench.files.atomic import write_atomically

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4
"""Largest difference from the method's own keypoints, in [0, 1] of the image."""
CHECKED_BATCHES = (1, 5)
INPUT = "images"
_OUTPUTS = {
    "keypoints": "keypoints: float32 (N, K, 2), (x, y) in [0, 1] of the image",
    "heatmaps": "heatmaps: float32 (N, K, n, n), each summing to 1",
}
_Runs = Callable[[Array], Sequence[Array]]


def export_onnx(method: Method, images: ImageSet, path: Path) -> float:
    """Write one ONNX file, checked in onnxruntime.

    Args:
        method: fitted.
        images: real ones, 5 or more, with the signals that the method reads; the file is kept only
            if its keypoints are those of `method.predict` on them.
        path: of the file.

    Returns:
        The largest difference between the two, in [0, 1] of the image.

    Raises:
        ExportError: the method has no network, it cannot be exported, or it disagrees.
        MissingPackageError: onnx, onnxruntime or onnxscript is missing; holds the command.
        StorageError: the file cannot be written.
    """
    _require_onnx()
    network = _network(method)
    data = _onnx_bytes(network)
    difference = _compared(network, images, _in_onnxruntime(data))
    write_atomically(path, data)
    return difference


def export_torch(method: Method, images: ImageSet, path: Path) -> float:
    """Write a `torch.export` program (`torch.export.load` reads it), checked.

    Arguments, result and errors are those of `export_onnx`; no further package is needed.
    """
    import torch

    network = _network(method)
    program = _program(network)
    _forget_sources(program)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"kpbench.json": json.dumps(_about(network))})
    difference = _compared(network, images, _in_torch(buffer.getvalue()))
    write_atomically(path, buffer.getvalue())
    return difference


def _network(method: Method) -> ExportableMethod:
    if not isinstance(method, ExportableMethod):
        raise ExportError(
            f"{method.name} has no network to export; a method that has one offers `detector`, "
            "`image_size` and `pixels` (kpbench.api.ExportableMethod)"
        )
    return method


def _require_onnx() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f'ONNX files need {", ".join(missing)}; run: pip install "kpbench[onnx]"'
        )


def _about(method: ExportableMethod) -> dict[str, Any]:
    """Say what the file is; kept inside it."""
    side = method.image_size
    return {
        "method": method.name,
        "version": method.version,
        "params": dict(method.params()),
        "input": f"{INPUT}: uint8 (N, {side}, {side}, 3), "
        + ("RGB" if not method.inputs else f"picture made of {', '.join(method.inputs)}"),
        "output": "keypoints: float32 (N, K, 2), (x, y) in [0, 1] of the image"
        + (
            "; heatmaps: float32 (N, K, n, n), each summing to 1" if len(_names(method)) > 1 else ""
        ),
    }


def _names(method: ExportableMethod) -> Sequence[str]:
    """Return the names of what the network gives: not every one has heatmaps."""
    import torch

    side = method.image_size
    detector = method.detector()
    device = next(detector.parameters()).device
    with torch.inference_mode():
        found = detector(torch.zeros(1, 3, side, side, device=device))
    return ["keypoints"] if found.logits is None else list(_OUTPUTS)


def _traced(method: ExportableMethod) -> tuple[torch.nn.Module, tuple[torch.Tensor], Any]:
    """Return the module, an example of its input and which sizes are free."""
    import copy

    import torch

    from kpbench.nn.image_detector import ImageDetector

    module = ImageDetector(copy.deepcopy(method.detector()).cpu()).eval().requires_grad_(False)
    side = method.image_size
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    return module, (example,), {INPUT: {0: torch.export.Dim("batch")}}


def _program(method: ExportableMethod) -> torch.export.ExportedProgram:
    import torch

    module, example, sizes = _traced(method)
    try:
        return torch.export.export(module, example, dynamic_shapes=sizes)
    except Exception as error:
        raise _impossible(method, error) from error


def _impossible(method: ExportableMethod, error: Exception) -> ExportError:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ExportError(f"the network of {method.name} cannot be exported: {said}")


def _forget_sources(program: torch.export.ExportedProgram) -> None:
    """Remove where each node's code lies on this machine."""
    import torch

    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in ("stack_trace", "from_node"):
                    node.meta.pop(key, None)


def _onnx_bytes(method: ExportableMethod) -> bytes:
    import torch

    try:
        made = torch.onnx.export(
            _program(method),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(_names(method)),
            external_data=False,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise _impossible(method, error) from error
    assert made is not None
    model = made.model_proto
    _strip(model)
    about = _about(method)
    model.doc_string = f"{about['input']}. {about['output']}."
    for name, value in about.items():
        model.metadata_props.add(
            key=name, value=value if isinstance(value, str) else json.dumps(value)
        )
    return bytes(model.SerializeToString(deterministic=True))


def _strip(message: Any) -> None:
    """Remove notes in all parts: they hold source code and where it lies on this machine."""
    for name in ("doc_string", "metadata_props"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)


def _in_onnxruntime(data: bytes) -> _Runs:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {INPUT: images})


def _in_torch(data: bytes) -> _Runs:
    import torch

    module = torch.export.load(io.BytesIO(data)).module()

    def run(images: Array) -> Sequence[Array]:
        with torch.inference_mode():
            return [output.numpy() for output in module(torch.from_numpy(images))]

    return run


def _compared(method: ExportableMethod, images: ImageSet, run: _Runs) -> float:
    """Return the largest difference from the method's own prediction.

    Raises:
        ExportError: keypoints or heatmaps differ by more than `TOLERANCE`.
    """
    import torch

    from kpbench.nn.image_detector import ImageDetector
    from kpbench.nn.images import resized

    worst = {"keypoints": 0.0, "heatmaps": 0.0}
    for batch in CHECKED_BATCHES:
        some = images[:batch].restricted(method.inputs)
        pictures = resized(method.pixels(some), method.image_size)
        with torch.inference_mode():
            own = [o.numpy() for o in ImageDetector(method.detector().cpu())(pictures)]
        own[0] = method.predict(some).points
        for name, exported, own_output in zip(
            _names(method), run(pictures.numpy()), own, strict=True
        ):
            same = exported.shape == own_output.shape
            far = abs(exported - own_output).max() if same else np.inf
            worst[name] = float(np.fmax(worst[name], np.nan_to_num(far, nan=np.inf)))
    if max(worst.values()) > TOLERANCE:
        raise ExportError(
            f"what was exported of {method.name} finds other keypoints than the method: keypoints "
            f"differ by {worst['keypoints']:.2g}, heatmaps by {worst['heatmaps']:.2g}, more than "
            f"{TOLERANCE:g}; nothing was written"
        )
    return worst["keypoints"]
