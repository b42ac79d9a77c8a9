"""Runs a depth model on batches of packed images."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array, Device
from kpbench.data.depth.models import Weights
from kpbench.errors import ContractError, InvalidInputError, MissingWeightsError

if TYPE_CHECKING:
    from torch import Tensor

PRECISIONS: Mapping[str, str] = {
    "32-true": "float32",
    "bf16-mixed": "bfloat16",
    "16-mixed": "float16",
}
"""Lightning's names and the type that the network computes in."""
_KINDS = ("dpt", "depth_anything")
_UNUSED = "neck.fusion_stage.layers.0.residual_layer1."
"""The first fusion stage has nothing to add to; published checkpoints leave its weights out."""
_TOLERANCE = 3.0
"""Grey levels by which bicubic resizing of 8-bit images differs between libraries."""


@dataclass(frozen=True)
class Preprocessing:
    """What a model's image processor does to images of one size.

    Attributes:
        size: (height, width) that the network sees.
        bicubic: resize with bicubic, else bilinear interpolation; both with antialiasing.
        factor: by which 8-bit values are multiplied.
        mean: subtracted afterwards, one for each channel.
        std: divided by afterwards, one for each channel.
    """

    size: tuple[int, int]
    bicubic: bool
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, processor: Any, pixels: int) -> Preprocessing:
        """Return the settings of a transformers image processor for square images.

        They are tried on a picture and compared with the processor itself.

        Raises:
            InvalidInputError: the processor does something that is not known here.
        """
        import torch

        probe = _probe(pixels)
        wanted = processor(images=probe, return_tensors="pt")["pixel_values"]
        normalised = bool(processor.do_normalize)
        found = cls(
            size=(int(wanted.shape[-2]), int(wanted.shape[-1])),
            bicubic=int(processor.resample) == 3,
            factor=float(processor.rescale_factor) if processor.do_rescale else 1.0,
            mean=tuple(processor.image_mean) if normalised else (0.0,) * 3,
            std=tuple(processor.image_std) if normalised else (1.0,) * 3,
        )
        got = found(torch.from_numpy(probe[None]))
        error = float((got - wanted).abs().max()) * max(found.std) / found.factor
        if not error <= _TOLERANCE:
            raise InvalidInputError(
                f"the image processor {type(processor).__name__} does more than resizing and "
                f"normalising (off by {error:.1f} of 255 levels); use one like DPTImageProcessor"
            )
        return found

    def __call__(self, images: Tensor) -> Tensor:
        """Return (B, 3, h, w) float32 for (B, H, W, 3) uint8, on the same device."""
        import torch
        from torchvision.transforms.v2.functional import InterpolationMode, resize

        mode = InterpolationMode.BICUBIC if self.bicubic else InterpolationMode.BILINEAR
        # stays 8-bit, as the published processors do it
        small = resize(images.permute(0, 3, 1, 2), list(self.size), mode, antialias=True)
        mean = torch.tensor(self.mean, device=images.device)[:, None, None]
        std = torch.tensor(self.std, device=images.device)[:, None, None]
        found: Tensor = (small.float() * self.factor - mean) / std
        return found


def _probe(pixels: int) -> Array:
    """Return a picture with edges, gradients and another content in every channel."""
    y, x = np.mgrid[:pixels, :pixels] / pixels
    waves = [np.sin(9 * x), np.cos(7 * y + 2 * x), np.sign(x + y - 1)]
    return np.rint(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


@dataclass(frozen=True)
class Estimator:
    """A depth model that is ready to run.

    Attributes:
        net: of transformers, on the device, in float32.
        preprocessing: for images of one size.
        metric: the net predicts distance, not inverse depth.
        device: where it runs.
        precision: one of `PRECISIONS`.
    """

    net: Any
    preprocessing: Preprocessing
    metric: bool
    device: Device
    precision: str

    def __call__(self, images: Array) -> Array:
        """Return inverse depth up to scale and shift, near is large.

        Maps are brought to the size of the images by bicubic interpolation, as MiDaS and
        transformers do it.

        Args:
            images: (B, S, S, 3) uint8.

        Returns:
            (B, S, S) float32.

        Raises:
            ContractError: the net gives something that is not finite.
            InvalidInputError: the device has too little memory.
        """
        import torch
        from torch.nn.functional import interpolate

        try:
            with torch.inference_mode():
                # a copy: packed images are read-only
                batch = torch.from_numpy(np.array(images)).to(self.device)
                with autocast(self.device, self.precision):
                    depth = self.net(pixel_values=self.preprocessing(batch)).predicted_depth
                depth = 1 / depth.float() if self.metric else depth.float()
                size = images.shape[1:3]
                full = interpolate(depth[:, None], size, mode="bicubic", align_corners=False)
                found: Array = full[:, 0].cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise InvalidInputError(
                f"the device has too little memory for {len(images)} images at once; "
                "use a smaller --batch"
            ) from error
        finite = np.isfinite(found).all((1, 2))
        if not finite.all():
            raise ContractError(
                f"the depth model gave values that are not finite for {int((~finite).sum())} of "
                f"{len(images)} images with precision {self.precision}; use precision 32-true"
            )
        return found


def autocast(device: Device, precision: str) -> AbstractContextManager[None]:
    """Return the context for mixed precision; one that does nothing for 32-true."""
    import torch

    kind = getattr(torch, PRECISIONS[precision])
    return torch.autocast(device, kind, enabled=precision != "32-true")


def load_estimator(
    weights: Weights, pixels: int, *, device: Device, precision: str = "32-true"
) -> Estimator:
    """Load a model onto a device.

    Args:
        weights: where it lies.
        pixels: side of the images.
        device: where it runs.
        precision: one of `PRECISIONS`. The head, which writes the map, stays in float32: bf16 would
            leave a map some hundred grey levels.

    Raises:
        MissingWeightsError: the files are damaged, incomplete, or of another kind of model.
        InvalidInputError: its image processor does something that is not known here.
    """
    # untyped in parts, and absent from most machines: not for a type checker
    transformers: Any = importlib.import_module("transformers")
    config = _config(weights)
    transformers.utils.logging.disable_progress_bar()
    # of pickled weights, transformers reads tensors only, in all versions (a test checks)
    own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        net, report = transformers.AutoModelForDepthEstimation.from_pretrained(
            weights.folder, output_loading_info=True, **own
        )
        processor = transformers.AutoImageProcessor.from_pretrained(weights.folder, **own)
    except Exception as error:
        cause = (str(error).strip() or repr(error)).splitlines()[0]
        raise MissingWeightsError(
            f"the depth model in {weights.folder} cannot be loaded ({cause}); delete the folder "
            "and get it again"
        ) from error
    missing = [key for key in report["missing_keys"] if not key.startswith(_UNUSED)]
    if missing or report["mismatched_keys"]:
        raise MissingWeightsError(
            f"the weights in {weights.folder} do not fit its config.json: {len(missing)} are "
            f"missing, {len(report['mismatched_keys'])} of another shape; get the model again"
        )
    net = net.float().eval().to(device)
    _keep_head_exact(net, device)
    metric = config.get("depth_estimation_type") == "metric"
    return Estimator(net, Preprocessing.of(processor, pixels), metric, device, precision)


def _config(weights: Weights) -> dict[str, Any]:
    path = weights.folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
        kind = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingWeightsError(f"{path} is no configuration of a depth model") from error
    if kind not in _KINDS:
        raise MissingWeightsError(
            f"{path} describes a model of type {kind!r}; depth needs one of: {', '.join(_KINDS)}"
        )
    return config


def _keep_head_exact(net: Any, device: Device) -> None:
    """Let the last convolutions, which write the map, compute in float32 under autocast."""
    import torch

    inner = net.head.forward

    def forward(states: list[Tensor], *sizes: int) -> Any:
        with torch.autocast(device, enabled=False):
            return inner([state.float() for state in states], *sizes)

    net.head.forward = forward
