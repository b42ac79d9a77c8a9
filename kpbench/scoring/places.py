"""Points that are no places: a mark for a missing label, or (y, x) for (x, y)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kpbench.contracts.types import Array

FEWEST = 3
"""Of labels at one point, or images with several there."""
OUTSIDE = 0.001
"""Share of the labels at one point outside of the image, or in its corner, above which it marks."""
INSIDE = 0.05
"""Share of the images with several landmarks at one point inside, above which it marks."""
SAME = 0.9
"""Share of these images with the same landmarks there, above which they are one by definition."""
CANDIDATES = 5
FOLLOWING = 20
"""Of images whose centres are compared."""
CLEAR = 1.0
"""By how much the correlations of x with y must exceed those of x with x and y with y, of 2."""


def marker_in(landmarks: Array, visible: Array) -> Array | None:
    """Return a point, (2,), that marks missing labels, or None.

    A place outside of the image, or its very corner, is not labelled again and again. Inside, a
    landmark may rest at a point, and two may be one joint by definition; a marker is at several
    landmarks of an image at once, and these are others from image to image.

    Args:
        landmarks: (N, L, 2), (x, y) in [0, 1].
        visible: (N, L) bool.

    Example:
        >>> landmarks = np.random.default_rng(0).random((20, 5, 2))
        >>> landmarks[3:6, 1] = -1
        >>> marker_in(landmarks, np.ones((20, 5), bool))
        array([-1., -1.])
    """
    found = _outside(landmarks, visible)
    return _inside(landmarks, visible) if found is None else found


def _outside(landmarks: Array, visible: Array) -> Array | None:
    beyond = (landmarks < 0) | (landmarks > 1)
    corner = ((landmarks == 0) | (landmarks == 1)).all(-1)
    points = landmarks[visible & (beyond.any(-1) | corner)]
    if len(points) < FEWEST:
        return None
    point, count = next(_most_frequent(points))
    return point if count >= max(FEWEST, OUTSIDE * visible.sum()) else None


def _inside(landmarks: Array, visible: Array) -> Array | None:
    enough = max(FEWEST, INSIDE * len(landmarks))
    x = np.sort(np.where(visible, landmarks[..., 0], np.nan), axis=1)
    if (x[:, 1:] == x[:, :-1]).any(1).sum() < enough:
        return None
    for point, _ in _most_frequent(landmarks[visible]):
        at = visible & (landmarks == point).all(-1)
        at = at[at.sum(1) > 1]
        if len(at) >= enough and np.unique(at, axis=0, return_counts=True)[1].max() < SAME * len(
            at
        ):
            return point
    return None


def _most_frequent(points: Array) -> Iterator[tuple[Array, int]]:
    """Yield the most frequent points (2,) with their numbers."""
    one = np.ascontiguousarray(points, np.float64).view(np.complex128).ravel()
    values, counts = np.unique(one, return_counts=True)
    for i in np.argsort(-counts, kind="stable")[:CANDIDATES]:
        yield np.array([values[i].real, values[i].imag]), int(counts[i])


def looks_exchanged(keypoints: Array, landmarks: Array, visible: Array) -> bool:
    """Return whether the keypoints' centre follows the landmarks' with x and y exchanged.

    A regression does not mind, so a score tells nothing; on a picture they would lie elsewhere.

    Args:
        keypoints: (N, K, 2).
        landmarks: (N, L, 2).
        visible: (N, L) bool.

    Example:
        >>> landmarks = np.random.default_rng(0).random((50, 1, 2)) * np.ones((1, 4, 1))
        >>> seen = np.ones((50, 4), bool)
        >>> [looks_exchanged(p, landmarks, seen) for p in (landmarks, landmarks[..., ::-1])]
        [False, True]
    """
    shown = visible.any(1)
    if shown.sum() < FOLLOWING:
        return False
    weight = visible[shown, :, None]
    labelled = np.where(weight, landmarks[shown], 0).sum(1) / weight.sum(1)
    together = _correlations(keypoints[shown].mean(1, dtype=np.float64), labelled)
    return bool(together[0, 1] + together[1, 0] > together[0, 0] + together[1, 1] + CLEAR)


def _correlations(a: Array, b: Array) -> Array:
    """Return the correlations of columns, (2, 2), 0 where one does not vary."""
    a, b = a - a.mean(0), b - b.mean(0)
    norms = np.linalg.norm(a, axis=0)[:, None] * np.linalg.norm(b, axis=0)
    return np.asarray(np.where(norms > 1e-9, a.T @ b / np.maximum(norms, 1e-9), 0.0))
