"""Depth maps beside the packed images: made once, resumable, checked whenever they are opened.

A folder holds depth.npy and, written last, manifest.json. While maps are being made, partial.npy
and progress.json lie there instead; a kill loses one batch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array, Device, Progress, no_progress, read_only
from kpbench.contracts.devices import check_precision
from kpbench.data.depth.estimate import Estimator, load_estimator
from kpbench.data.depth.models import Weights, find_weights, model_of, require_transformers
from kpbench.data.depth.scale import pseudo_distance
from kpbench.errors import (
    CacheError,
    InvalidInputError,
    KpbenchError,
    MissingDataError,
    StorageError,
)
from kpbench.files.atomic import check_writable, write_atomically

if TYPE_CHECKING:
    from kpbench.data.packing.packed import PackedSet

DEPTH_VERSION = 1
"""Raised whenever the same model gives other maps."""
MANIFEST = "manifest.json"
_IDENTITY = ("version", "packed", "source", "revision", "precision", "device")
"""What of the manifest is in the fingerprint; torch and transformers change rounding at most."""
_MAPS, _PARTIAL, _PROGRESS = "depth.npy", "partial.npy", "progress.json"


def compute_depth(
    model: str,
    part: PackedSet,
    *,
    device: Device,
    precision: str = "32-true",
    batch_size: int = 16,
    progress: Progress = no_progress,
    weights: Path | None = None,
) -> None:
    """Compute the depth maps of packed images, as far as that has not been done.

    Args:
        model: one of `MODELS`.
        part: packed images.
        device: where the model runs.
        precision: "32-true", "bf16-mixed" or "16-mixed" (CUDA).
        batch_size: images at once; changes memory and speed only.
        progress: told about images done.
        weights: a folder as `save_pretrained` of transformers writes it, to be used instead of the
            published weights.

    Raises:
        UnknownNameError: no such model or precision.
        InvalidInputError: the device or the batch size cannot be used.
        MissingPackageError: transformers is not installed; holds the pip command.
        MissingWeightsError: the weights are not there; says how to get them.
        ContractError: the model gives something that is not finite.
        CacheError: finished maps are of other weights or another precision.
        StorageError: the folder cannot be written, or another process is computing there.
    """
    model_of(model)
    check_precision(device, precision)
    if batch_size < 1:
        raise InvalidInputError(f"--batch {batch_size}: at least 1")
    packed = part.open()
    images, folder = packed.images, _folder(model, part)

    def tell(done: int) -> None:
        progress(done, len(images), f"depth of {part.protocol} with {model}")

    with _locked(folder):
        made = {"version": DEPTH_VERSION, "packed": packed.digest, "precision": precision}
        found = None if weights is None else find_weights(model, weights)
        if _is_done(folder, made, found):
            tell(len(images))
            return
        require_transformers()
        found = found or find_weights(model, None)
        made |= {"source": found.source, "revision": found.revision, **_machine(device)}
        estimator = load_estimator(found, images.shape[1], device=device, precision=precision)
        _fill(folder, made, images, estimator, batch_size, tell)
        _finish(folder, made)


def _folder(model: str, part: PackedSet) -> Path:
    return part.folder / f"depth-{model}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, and tell failures to write there as what they are."""
    from filelock import FileLock, Timeout

    check_writable(folder)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise StorageError(
            f"another process is computing depth maps in {folder}; wait until it has finished"
        ) from error
    except OSError as error:
        raise StorageError(
            f"cannot keep depth maps in {folder}: {error.strerror or error}; make space there and "
            "run again, it goes on where it stopped"
        ) from error


def _is_done(folder: Path, made: Mapping[str, Any], weights: Weights | None) -> bool:
    """Return whether the maps of these images are finished.

    Raises:
        CacheError: they are, but of other weights or another precision.
    """
    manifest = _read(folder / MANIFEST)
    if any(manifest.get(key) != made[key] for key in ("version", "packed")):
        return False
    revision = manifest.get("revision") if weights is None else weights.revision
    asked = {"precision": made["precision"], "revision": revision}
    for key, value in asked.items():
        if manifest.get(key) != value:
            raise CacheError(
                f"{folder} holds depth maps of {key} {manifest.get(key)}, not {value}; delete the "
                "folder to compute them anew"
            )
    return True


def _machine(device: Device) -> dict[str, Any]:
    """Return what besides weights and images may change a map's last bits."""
    import torch
    import transformers

    return {"device": device, "torch": torch.__version__, "transformers": transformers.__version__}


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON object, {} when the file is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fill(
    folder: Path,
    made: Mapping[str, Any],
    images: Array,
    estimator: Estimator,
    batch_size: int,
    tell: Callable[[int], None],
) -> None:
    """Write the maps of all images from the first that is not yet done."""
    partial, progress = folder / _PARTIAL, folder / _PROGRESS
    state = _read(progress)
    done = int(state.get("done", 0)) if state.get("made") == made and partial.is_file() else 0
    shape = images.shape[:3]
    header = io.BytesIO()
    form = {"descr": "<u2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, form)
    if not done:
        write_atomically(partial, header.getvalue())
    tell(done)
    # not through a memory map: a full disk is an error here, but would be a crash there
    with partial.open("r+b") as file:
        file.seek(len(header.getvalue()) + done * 2 * shape[1] * shape[2])
        while done < len(images):
            maps = pseudo_distance(estimator(images[done : done + batch_size]))
            file.write(maps.astype("<u2").tobytes())
            file.flush()
            os.fsync(file.fileno())
            done += len(maps)
            write_atomically(progress, json.dumps({"made": made, "done": done}).encode())
            tell(done)


def _finish(folder: Path, made: Mapping[str, Any]) -> None:
    partial = folder / _PARTIAL
    found = partial.stat()
    file = {"bytes": found.st_size, "changed": found.st_mtime_ns, "sha256": _hash(partial)}
    partial.replace(folder / _MAPS)
    write_atomically(folder / MANIFEST, json.dumps({**made, "file": file}, indent=2).encode())
    (folder / _PROGRESS).unlink(missing_ok=True)


def depth_fingerprint(model: str, part: PackedSet) -> str:
    """Return a hash of what made the depth maps: weights, images, precision, class of device.

    Raises:
        UnknownNameError: there is no such model.
        MissingDataError: the maps have not been computed; holds the command.
        CacheError: they belong to other images, or the manifest is damaged.
    """
    manifest = _manifest(model, part)
    parts = [model, *(manifest[key] for key in _IDENTITY)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def load_depth(model: str, part: PackedSet) -> Array:
    """Open depth maps.

    Returns:
        (N, S, S) uint16, memory-mapped and read-only; see `scale.pseudo_distance`.

    Raises:
        UnknownNameError: there is no such model.
        MissingDataError: the maps have not been computed; holds the command.
        CacheError: they were altered, or belong to other images.
    """
    manifest, path = _manifest(model, part), _folder(model, part) / _MAPS
    advice = _advice(model, part)
    try:
        found = path.stat()
    except OSError as error:
        raise CacheError(f"{path} is missing; {advice}") from error
    noted = manifest["file"]
    if found.st_size != noted["bytes"]:
        raise CacheError(
            f"{path} is truncated or altered: {found.st_size} bytes, expected {noted['bytes']}; "
            f"{advice}"
        )
    # as packed images: tens of gigabytes are hashed only where the time tells of a change
    touched = found.st_mtime_ns != noted["changed"]
    if touched and _checked(path, found.st_size, found.st_mtime_ns) != noted["sha256"]:
        raise CacheError(f"{path} was altered: its sha256 is not the recorded one; {advice}")
    return read_only(np.load(path, mmap_mode="r"))


def _manifest(model: str, part: PackedSet) -> dict[str, Any]:
    """Return the manifest of finished maps of these very images."""
    model_of(model)
    path = _folder(model, part) / MANIFEST
    if not path.exists():
        raise MissingDataError(
            f"the depth of {part.protocol} with {model} has not been computed; run: "
            f"{_command(model, part)}"
        )
    manifest = _read(path)
    file = manifest.get("file")
    whole = isinstance(file, dict) and {"bytes", "changed", "sha256"} <= file.keys()
    if not whole or not set(_IDENTITY) <= manifest.keys():
        raise CacheError(f"{path} is damaged; {_advice(model, part)}")
    if manifest["version"] != DEPTH_VERSION or manifest["packed"] != part.open().digest:
        raise CacheError(
            f"{path} belongs to other images or an older kpbench; run: {_command(model, part)}"
        )
    return manifest


def _command(model: str, part: PackedSet) -> str:
    """Return what to type for the depth of these images: of this recipe, with these arguments."""
    from kpbench.data.packing.packed import LIMITS
    from kpbench.registry import load_protocol

    words = [f"kpbench data depth {part.protocol} --model {model}"]
    if part.limit is not None:
        words += [f"--recipe {r}" for r, limit in LIMITS.items() if part.limit in limit.values()]
    usual: Mapping[str, Any] = part.source.arguments
    with suppress(KpbenchError, AttributeError):  # a protocol that is not installed
        usual = load_protocol(part.protocol).source.arguments  # type: ignore[attr-defined]
    for key, value in part.source.arguments.items():
        if value != usual.get(key):
            text = value if isinstance(value, str) else json.dumps(value)
            words.append(f"--argument {shlex.quote(f'{key}={text}')}")
    return " ".join(words)


def _advice(model: str, part: PackedSet) -> str:
    return f"delete the folder {_folder(model, part)} and run: {_command(model, part)}"


@lru_cache(maxsize=64)
def _checked(path: Path, size: int, changed: int) -> str:
    """Hash a file once a process, and again after a change of its size or time."""
    return _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
