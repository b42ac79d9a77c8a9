"""Which depth models there are, and where their weights lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kpbench.errors import MissingPackageError, MissingWeightsError, UnknownNameError

_SETTINGS = ("config.json", "preprocessor_config.json")
_SAFE = "model*.safetensors"
_PICKLED = "pytorch_model*.bin"
"""Read with `weights_only`: tensors and nothing else."""


@dataclass(frozen=True)
class DepthModel:
    """A published depth model.

    Attributes:
        hub: name of the repository on the Hugging Face hub.
        description: what it is, where it was published, its licence.
    """

    hub: str
    description: str


MODELS: Mapping[str, DepthModel] = {
    "midas_swin2_large": DepthModel(
        "Intel/dpt-swinv2-large-384",
        "MiDaS 3.1 DPT-SwinV2-Large-384, as in Distill-DKP (arXiv:2410.14700, section 4.2); "
        "arXiv:2307.14460; MIT",
    ),
    "midas_small": DepthModel(
        "Intel/dpt-swinv2-tiny-256",
        "MiDaS 3.1 DPT-SwinV2-Tiny-256, the smallest MiDaS for transformers; arXiv:2307.14460; MIT",
    ),
    "depth_anything_v2_small": DepthModel(
        "depth-anything/Depth-Anything-V2-Small-hf",
        "Depth Anything V2 small, relative depth; arXiv:2406.09414; Apache-2.0",
    ),
}
"""Names of the depth models; all predict inverse depth up to scale and shift.

MiDaS 2.1 small, a convolutional net of 2020, exists only for torch.hub, which runs downloaded code;
`midas_small` is the smallest of MiDaS 3.1 instead.
"""


@dataclass(frozen=True)
class Weights:
    """Weights on this machine.

    Attributes:
        folder: with config.json, preprocessor_config.json and the weights.
        source: the hub's name of the model, or "folder" for the user's own.
        revision: commit on the hub, or "sha256:..." of the files of the user's own folder.
    """

    folder: Path
    source: str
    revision: str


def model_of(name: str) -> DepthModel:
    """Return a model by its name.

    Raises:
        UnknownNameError: there is no such model.
    """
    if name not in MODELS:
        raise UnknownNameError.of("depth model", name, MODELS)
    return MODELS[name]


def require_transformers() -> None:
    """Check that the package that runs the models is there.

    Raises:
        MissingPackageError: it is not; holds the pip command.
    """
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            f"depth models need the package transformers ({error}); "
            'run: pip install "kpbench[depth]"'
        ) from error


def find_weights(name: str, own: Path | None) -> Weights:
    """Return where the weights of a model lie: the user's folder, the hub's cache, or the hub.

    Args:
        name: one of `MODELS`.
        own: a folder as `save_pretrained` of transformers writes it; None: as published.

    Raises:
        MissingWeightsError: they are neither on this machine nor can they be downloaded, or the
            folder is incomplete; says how to get them.
    """
    model = model_of(name)
    if own is not None:
        if absent := _absent(own):
            raise MissingWeightsError(
                f"{own} holds no depth model: {absent} is missing; give a folder as "
                "save_pretrained of transformers writes it, with its image processor"
            )
        try:
            return Weights(own, "folder", _digest(own))
        except OSError as error:
            raise MissingWeightsError(
                f"{error.filename} cannot be read: {error.strerror}; check its permissions"
            ) from error
    folder = _from_hub(name, model.hub)
    return Weights(folder, model.hub, folder.name)


def _from_hub(name: str, hub: str) -> Path:
    """Return the snapshot of a model in the hub's cache, downloading what is missing.

    A snapshot's folder is named after its commit. Going through the folder, never through the
    name, keeps transformers from asking the hub again.
    """
    from huggingface_hub import snapshot_download

    with suppress(Exception):  # which error says "not in the cache" differs between versions
        folder = Path(snapshot_download(hub, local_files_only=True))
        if _absent(folder) is None:
            return folder
    try:
        for pattern in (_SAFE, _PICKLED):
            folder = Path(snapshot_download(hub, allow_patterns=[*_SETTINGS, "*.json", pattern]))
            if _absent(folder) is None:
                return folder
        cause = f"{_absent(folder)} is missing in the repository"
    except Exception as error:
        cause = str(error).splitlines()[0].partition(". ")[0].strip(" .")
    raise MissingWeightsError(
        f"the weights of {name} are not on this machine and could not be downloaded ({cause}); "
        f"with network, run: hf download {hub} (or run this once online); without, copy the folder "
        "from elsewhere and pass --weights DIR"
    )


def _absent(folder: Path) -> str | None:
    """Return the first thing that a model needs and the folder lacks."""
    for name in _SETTINGS:
        if not (folder / name).is_file():
            return name
    if not weight_files(folder):
        return "model.safetensors"
    return None


def weight_files(folder: Path) -> list[Path]:
    """Return the files with weights, safetensors when there are any."""
    return sorted(folder.glob(_SAFE)) or sorted(folder.glob(_PICKLED))


def _digest(folder: Path) -> str:
    """Return a hash of settings and weights."""
    digest = hashlib.sha256()
    for path in [*(folder / name for name in _SETTINGS), *weight_files(folder)]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"
