"""Make shipped weights of a finished run: half precision where that holds the numbers, checked."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpbench.api import Array, ImageSet, Method, MethodBase, Progress, no_progress
from kpbench.data.variants import configured
from kpbench.errors import CheckpointError, ExportError
from kpbench.files.atomic import write_atomically
from kpbench.files.checkpoint import content_hash, write_checkpoint
from kpbench.records.model import load_model
from kpbench.records.record import Record
from kpbench.records.shipped import RECORD

BOUND = 5e-3
"""Furthest that rounding may move a keypoint, in [0, 1] of the image: a third of a pixel of 64."""
_HALF = 2.0**-11
"""Largest relative error of rounding to half precision, where it holds the number at all."""


@dataclass(frozen=True)
class Rounding:
    """What rounding did to a method.

    Attributes:
        bytes: of the shipped arrays.
        kept: names of the arrays that half precision could not hold.
        largest: furthest that a keypoint moved on the test images, in [0, 1] of the image.
        mean: how far they moved on average.
    """

    bytes: int
    kept: tuple[str, ...]
    largest: float
    mean: float


def export_weights(
    results: Path, record: Record, target: Path, progress: Progress = no_progress
) -> Rounding:
    """Write `<target>/<method>/<protocol>/`, from which `kpbench.records.shipped` reads.

    The same run gives the same bytes.

    Args:
        results: folder of records and models.
        record: the finished run.
        target: the folder `pretrained` of a plugin package.
        progress: told about data that is made.

    Raises:
        ExportError: the run is no plain training, or rounding moves a keypoint further than
            `BOUND`; nothing was written.
        CheckpointError: the run's model is missing or corrupt.
        StorageError: the folder cannot be written.
    """
    who = record.identity
    method = _trained(results, record)
    protocol, _ = configured(who.protocol, who.arguments)
    splits = protocol.splits(
        who.recipe, device=who.device, signals=tuple(method.inputs), progress=progress
    )
    state = method.state()
    rounded = {name: halved(value) for name, value in state.items()}
    types = {
        name: state[name].dtype.name
        for name, value in rounded.items()
        if value.dtype != state[name].dtype
    }
    further = {"sha256": content_hash(rounded), "rounded": types}
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), method, rounded, further)
        found = _moved(method, load_model(Path(folder)), splits.test.images)
    if not found.max() <= BOUND:
        raise ExportError(
            f"half precision moves keypoints of {who.method} on {who.protocol} by up to "
            f"{found.max():.2g} of the image, more than {BOUND:g}; nothing was written"
        )
    place = target / who.method / who.protocol
    write_checkpoint(place, method, rounded, further)
    write_atomically(place / RECORD, record.encoded())
    kept = tuple(name for name, value in state.items() if _fits(value) and name not in types)
    size = sum(value.nbytes for value in rounded.values())
    return Rounding(size, kept, float(found.max()), float(found.mean()))


def _trained(results: Path, record: Record) -> MethodBase:
    """Return the fitted method of a run that trained on its own protocol.

    Raises:
        ExportError: it did not, or the method has a checkpoint format of its own.
        CheckpointError: the model is missing, corrupt, or of other parameters.
    """
    who = record.identity
    if record.status != "ok" or who.trained_on is not None or who.pretrained is not None:
        raise ExportError(f"{record.path(results)} is no finished training; train it anew")
    method = load_model(who.file(results, "model"))
    if not isinstance(method, MethodBase):
        raise ExportError(f"{who.method} has a checkpoint format of its own; see MethodBase.state")
    found = method.name, method.version, dict(method.params())
    if found != (who.method, who.method_version, dict(who.params)):
        raise CheckpointError(
            f"{who.file(results, 'model')} is not the model of its record: it is {found}"
        )
    return method


def halved(value: Array) -> Array:
    """Return an array in half precision, or as it is where that would lose numbers.

    Half precision has 11 digits (base 2) between 6e-5 and 65504. Outside of that it loses more, so
    an array is left alone if any number of it moves further than those digits explain: 2^-11 of the
    largest number of the same channel (same first index). So every number of a vector, such as the
    statistics of batch normalisation, keeps 11 digits of its own; and tiny weights of a filter, of
    which some always lie below 6e-5, count beside its large ones.

    Args:
        value: any array; one without fractions is returned as it is.

    Example:
        >>> halved(np.array([1.0, 0.1], np.float32)).dtype.name
        'float16'
        >>> halved(np.array([1.0, 1e-7], np.float32)).dtype.name
        'float32'
        >>> halved(np.array([[1.0, 1e-7]], np.float32)).dtype.name
        'float16'
    """
    if not _fits(value):
        return value
    with np.errstate(over="ignore"):
        rounded = value.astype(np.float16)
    channels = value.reshape(len(value), -1) if value.ndim > 1 else value.reshape(-1, 1)
    error = abs(rounded.astype(np.float64).reshape(channels.shape) - channels)
    allowed = _HALF * abs(channels).max(axis=1, keepdims=True, initial=0.0)
    return rounded if (error <= allowed).all() else value


def _fits(value: Array) -> bool:
    return value.dtype in (np.float32, np.float64)


def _moved(before: Method, after: Method, images: ImageSet) -> Array:
    """Return how far each keypoint moved, (N, K), in [0, 1] of the image."""
    seen = images.restricted(before.inputs)
    points = [np.asarray(method.predict(seen).points, float) for method in (before, after)]
    return np.asarray(np.linalg.norm(points[0] - points[1], axis=-1))
