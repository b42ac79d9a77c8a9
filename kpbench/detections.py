"""Discovered keypoints beside the annotation of the same images: what an evaluator reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kpbench.errors import InvalidInputError
from kpbench.types import Array, read_only


@dataclass(frozen=True)
class Detections:
    """Discovered keypoints of images, with the annotation of the same images.

    Attributes:
        keypoints: (N, K, 2) float, (x, y) in [0, 1].
        landmarks: (N, L, 2) float, (x, y) in [0, 1]; whatever is not visible becomes 0.
        visible: (N, L) bool.
        activities: (N,) str, what is done in each image, or None.

    Raises:
        InvalidInputError: wrong shapes or types, no rows, NaN, or points that look like pixels.
    """

    keypoints: Array
    landmarks: Array
    visible: Array
    activities: Array | None = None

    def __post_init__(self) -> None:
        """Check everything, and keep read-only float64 copies."""
        keypoints, n = _points("keypoints", self.keypoints, None), len(self.keypoints)
        visible = np.asarray(self.visible)
        if visible.shape != np.shape(self.landmarks)[:2] or visible.dtype != np.bool_:
            raise InvalidInputError(
                f"visible must be bool of shape {np.shape(self.landmarks)[:2]}, got "
                f"{visible.dtype} {visible.shape}"
            )
        landmarks = _points("landmarks", self.landmarks, visible)
        if len(landmarks) != n:
            raise InvalidInputError(
                f"keypoints of {n} images but landmarks of {len(landmarks)}; they must be of the "
                "same images in the same order"
            )
        if self.activities is not None and np.shape(self.activities) != (n,):
            raise InvalidInputError(
                f"activities must have shape ({n},), got {np.shape(self.activities)}"
            )
        if self.activities is not None:
            object.__setattr__(self, "activities", np.asarray(self.activities).astype(str))
        object.__setattr__(self, "keypoints", read_only(keypoints))
        object.__setattr__(self, "landmarks", read_only(landmarks))
        object.__setattr__(self, "visible", read_only(visible))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.keypoints)


def _points(name: str, points: Array, visible: Array | None) -> Array:
    """Return a float64 copy, 0 where not visible, after checking it."""
    array = np.asarray(points)
    if array.ndim != 3 or array.shape[2] != 2 or 0 in array.shape:
        raise InvalidInputError(f"{name} must have shape (N, points, 2), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InvalidInputError(f"{name} must be floats, got {array.dtype}")
    shown = np.ones(array.shape[:2], bool) if visible is None else visible
    array = np.where(shown[..., None], array, 0).astype(np.float64)
    if bad := int((~np.isfinite(array)).any((1, 2)).sum()):
        raise InvalidInputError(f"{name} are NaN or infinite in {bad} of {len(array)} images")
    if np.abs(array - 0.5).max() > 1.5:
        raise InvalidInputError(
            f"{name} must be (x, y) in [0, 1] of the image, got values from {array.min():.3g} to "
            f"{array.max():.3g}; divide pixels by the image size"
        )
    return array
