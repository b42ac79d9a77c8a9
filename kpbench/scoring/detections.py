"""Discovered keypoints beside the annotation of the same images: what an evaluator reads."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from kpbench.contracts.coordinates import Span
from kpbench.contracts.types import Array, read_only
from kpbench.errors import InvalidInputError
from kpbench.scoring.places import marker_in

ROWS = 2048
"""Images that are read at once: 2 MB at 32 keypoints and 32 landmarks, which a cache holds."""
SAY_MISSING = (
    "say where a label is missing: `visible` (N, L), false there (in a file train_visible and "
    "test_visible)"
)


@dataclass(frozen=True)
class Part:
    """Consecutive images of `Detections`, in memory.

    Attributes:
        rows: which images.
        keypoints: (n, K, 2) float64.
        landmarks: (n, L, 2) float64, 0 where not visible.
        visible: (n, L) bool.
        boxes: (n, 4) float64, or None.
        aspect: (n,) float64, or None.
    """

    rows: slice
    keypoints: Array
    landmarks: Array
    visible: Array
    boxes: Array | None = None
    aspect: Array | None = None


@dataclass(frozen=True)
class Detections:
    """Discovered keypoints of images, with the annotation of the same images.

    Nothing is copied: memory-mapped arrays of any size are checked and read part by part. Do not
    write to the arrays afterwards.

    Attributes:
        keypoints: (N, K, 2) float, (x, y) in [0, 1].
        landmarks: (N, L, 2) float, (x, y) in [0, 1]; whatever is not visible is read as 0.
        visible: (N, L) bool.
        activities: (N,) str, what is done in each image, or None.
        boxes: (N, 4) float, x, y, width and height of the object in [0, 1], or None.
        aspect: (N,) float, width / height of what the image shows, which was squashed into a
            square; or None.

    Raises:
        InvalidInputError: wrong shapes or types, no rows, NaN, points in another unit than
            [0, 1] of the image, or many landmarks at one point, which marks missing labels.
    """

    keypoints: Array
    landmarks: Array
    visible: Array
    activities: Array | None = None
    boxes: Array | None = None
    aspect: Array | None = None

    def __post_init__(self) -> None:
        """Check everything, and keep read-only views."""
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None:
                array = np.asanyarray(value, str if f.name == "activities" else None)
                object.__setattr__(self, f.name, read_only(array))
        _check_shapes(self)
        for name in ("keypoints", "landmarks", "boxes", "aspect"):
            if getattr(self, name) is not None:
                _check_column(self, name)
        _check_keypoints(self)
        _check_landmarks(self)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.keypoints)

    def parts(self) -> Iterator[Part]:
        """Yield consecutive images, `ROWS` at a time, in float64."""
        for rows in self._blocks():
            yield Part(
                rows,
                np.array(self.keypoints[rows], np.float64),
                self._labels(rows),
                np.array(self.visible[rows]),
                None if self.boxes is None else np.array(self.boxes[rows], np.float64),
                None if self.aspect is None else np.array(self.aspect[rows], np.float64),
            )

    def column(self, name: str) -> Iterator[Array]:
        """Yield one of the columns alone, as in `parts`, (n, values an image)."""
        for rows in self._blocks():
            array = self._labels(rows) if name == "landmarks" else getattr(self, name)[rows]
            yield np.asarray(array, np.float64).reshape(len(array), -1)

    def thinned(self) -> Detections:
        """Return at most `ROWS` images, evenly spaced."""
        step = -(-len(self) // ROWS)
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[::step] for k, v in known.items() if v is not None})

    def _blocks(self) -> Iterator[slice]:
        for start in range(0, len(self), ROWS):
            yield slice(start, min(start + ROWS, len(self)))
            for f in fields(self):
                _let_go(getattr(self, f.name))

    def _labels(self, rows: slice) -> Array:
        shown = np.where(self.visible[rows, :, None], self.landmarks[rows], 0)
        return np.asarray(shown, np.float64)


def _check_shapes(detections: Detections) -> None:
    for name in ("keypoints", "landmarks"):
        array = getattr(detections, name)
        if array.ndim != 3 or array.shape[2] != 2 or 0 in array.shape:
            raise InvalidInputError(f"{name} must have shape (N, points, 2), got {array.shape}")
    n, shape = len(detections), detections.landmarks.shape
    visible = detections.visible
    if visible.shape != shape[:2] or visible.dtype != np.bool_:
        raise InvalidInputError(
            f"visible must be bool of shape {shape[:2]}, got {visible.dtype} {visible.shape}"
        )
    if shape[0] != n:
        raise InvalidInputError(
            f"keypoints of {n} images but landmarks of {shape[0]}; they must be of the "
            "same images in the same order"
        )
    for name, size in (("activities", (n,)), ("boxes", (n, 4)), ("aspect", (n,))):
        value = getattr(detections, name)
        if value is not None and value.shape != size:
            raise InvalidInputError(f"{name} must have shape {size}, got {value.shape}")
    for name in ("keypoints", "landmarks", "boxes", "aspect"):
        value = getattr(detections, name)
        if value is not None and value.dtype.kind not in "fiu":
            raise InvalidInputError(f"{name} must be floats, got {value.dtype}")


def _check_column(detections: Detections, name: str) -> None:
    bad, flat, low, high = 0, 0, np.inf, -np.inf
    for values in detections.column(name):
        bad += int((~np.isfinite(values)).any(1).sum())
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        if name in ("boxes", "aspect"):  # width and height, or their ratio
            flat += int((values[:, -2:] <= 0).any(1).sum())
    if bad:
        raise InvalidInputError(
            f"{name} are NaN or infinite in {bad} of {len(detections)} images"
            + (f"; {SAY_MISSING}" if name == "landmarks" else "")
        )
    if flat:
        raise InvalidInputError(f"{name} are not above 0 in {flat} of {len(detections)} images")
    if name == "boxes" and (low < -1 or high > 2):
        raise InvalidInputError(
            f"boxes must be in [0, 1] of the image, got values from {low:.3g} to {high:.3g}; "
            "divide pixels by the image size"
        )


def _check_keypoints(detections: Detections) -> None:
    span = Span()
    for values in detections.column("keypoints"):
        span.add(values.reshape(-1, 2))
    if fault := span.fault():
        raise InvalidInputError(f"keypoints must be (x, y) in [0, 1] of the image, {fault}")


def _check_landmarks(detections: Detections) -> None:
    """Refuse another unit, then labels that mark what is missing; looks for these in `ROWS` images.

    Pixels are not taken for marks, nor marks for pixels: the unit is told by all other labels.
    """
    some = slice(None, None, -(-len(detections) // ROWS))
    point = marker_in(np.asarray(detections.landmarks[some]), detections.visible[some])
    span, labels, images = Span(), 0, 0
    for part in detections.parts():
        shown = part.visible
        if point is not None:
            at = shown & (part.landmarks == point).all(-1)
            labels, images = labels + int(at.sum()), images + int(at.any(1).sum())
            shown = shown & ~at
        span.add(part.landmarks[shown])
    if point is not None and not span.n:
        span.add(point)
    if fault := span.fault():
        raise InvalidInputError(f"landmarks must be (x, y) in [0, 1] of the image, {fault}")
    if point is not None:
        x, y = point
        raise InvalidInputError(
            f"{labels} landmarks, in {images} of {len(detections)} images, lie at one point, "
            f"({x:.6g}, {y:.6g}), which looks like a mark for a missing label; {SAY_MISSING}"
        )


def _let_go(column: Array | None) -> None:
    """Drop the pages of a mapped file that were read, which would count as memory in use."""
    base: object = column
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and memoryview(base).readonly:
        base.madvise(mmap.MADV_DONTNEED)
