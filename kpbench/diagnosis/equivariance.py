"""Equivariance: do keypoints follow the image when it is warped? No label is needed.

Thewlis et al. (ICCV 2017) train for it; Harris's thesis (section 4.3.2, Table 4.2) shows it on
pairs of images related by a thin-plate spline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kpbench.contracts.types import Array, ImageSet

N_IMAGES = 100
"""Test images that are warped, evenly spaced; each kind of warp gets its share of them."""
ANGLE = np.deg2rad(30)
SCALE = 1.25
SHIFT = 0.1
TPS_GRID, TPS_SD = 5, 0.02
"""Control points a side, as in the thesis, and the deviation of their displacement."""


@dataclass(frozen=True)
class Warp:
    """A continuous, one-to-one map of the image plane, on points (..., 2) in [0, 1].

    Attributes:
        forward: where a point of the image goes.
        backward: where a point of the warped image comes from; the inverse of `forward`.
    """

    forward: Callable[[Array], Array]
    backward: Callable[[Array], Array]


def affine(linear: Array, shift: Array) -> Warp:
    """Return the warp p -> c + linear (p - c) + shift, c the centre of the image.

    Args:
        linear: (2, 2), invertible.
        shift: (2,) in [0, 1] of the image.

    Example:
        >>> quarter_turn = affine(np.array([[0.0, -1.0], [1.0, 0.0]]), np.zeros(2))
        >>> quarter_turn.forward(np.array([0.75, 0.5])).tolist()
        [0.5, 0.75]
    """
    inverse = np.linalg.inv(linear)
    return Warp(
        lambda p: (p - 0.5) @ linear.T + 0.5 + shift,
        lambda q: (q - 0.5 - shift) @ inverse.T + 0.5,
    )


def thin_plate_spline(displacements: Array) -> Warp:
    """Return the smooth warp that takes each point q of the result from q + d(q).

    d is the thin-plate spline (Bookstein, PAMI 1989) through displacements at a regular grid of
    control points from corner to corner. Where a point goes is found by fixed-point iteration,
    which converges while the slope of d is below 1: displacements well below the grid's spacing.

    Args:
        displacements: (G, G, 2) at the control points, rows of the grid first, (x, y).
    """
    from scipy.interpolate import RBFInterpolator

    ticks = np.linspace(0, 1, len(displacements))
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    spline = RBFInterpolator(
        np.stack([x, y], -1).reshape(-1, 2),
        displacements.reshape(-1, 2),
        kernel="thin_plate_spline",
    )

    def displacement(q: Array) -> Array:
        return np.asarray(spline(q.reshape(-1, 2))).reshape(q.shape)

    def forward(p: Array) -> Array:
        q = p
        for _ in range(30):
            q = p - displacement(q)
        return q

    return Warp(forward, lambda q: q + displacement(q))


MIRROR = affine(np.diag([-1.0, 1.0]), np.zeros(2))


def draw_warp(kind: str, rng: np.random.Generator) -> Warp:
    """Return a random warp: "rotation", "scale", "translation", "tps" or "mirror".

    Rotations reach 30 degrees, scales 1.25 and its inverse, both about a point in the middle half
    of the image (about the centre, keypoints that stay there would look equivariant); shifts reach
    a tenth of the image.
    """
    pivot = rng.uniform(-0.25, 0.25, 2)
    if kind == "rotation":
        angle = rng.uniform(-ANGLE, ANGLE)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        return affine(turn, pivot - turn @ pivot)
    if kind == "scale":
        scale = SCALE ** rng.uniform(-1, 1)
        return affine(scale * np.eye(2), (1 - scale) * pivot)
    if kind == "translation":
        return affine(np.eye(2), rng.uniform(-SHIFT, SHIFT, 2))
    if kind == "tps":
        return thin_plate_spline(rng.normal(0, TPS_SD, (TPS_GRID, TPS_GRID, 2)))
    return MIRROR


KINDS = ("rotation", "scale", "translation", "tps")


def equivariance(
    predict: Callable[[ImageSet], Array], images: ImageSet, points: Array, *, seed: int = 0
) -> dict[str, float]:
    """Return by kind of warp how far keypoints of warped images lie from warped keypoints.

    The error is the mean, over images and keypoints, of |predict(warp(image)) -
    warp(predict(image))| in % of the image, for keypoints that the warp leaves inside the image.
    What the warp uncovers repeats the border. Under "mirror" left and right may change places: the
    error is that of the best one-to-one exchange of keypoints, the same for all images.

    A kind is absent when its warps leave no keypoint inside.

    Args:
        predict: images -> (N, K, 2) keypoints in [0, 1]; called twice, with at most `N_IMAGES`
            images.
        images: N of them, with the signals that `predict` reads; these are warped, too.
        points: (N, K, 2) what `predict` found in the images as they are.
        seed: of the warps.
    """
    n = min(len(images), N_IMAGES)
    rows = np.arange(n) * len(images) // n
    images, points = images[rows], np.asarray(points, np.float64)[rows]
    kinds = np.array([KINDS[i % len(KINDS)] for i in range(n)])
    rng = np.random.default_rng(seed)
    warps = [draw_warp(kind, rng) for kind in kinds]
    wanted = np.stack([warp.forward(p) for warp, p in zip(warps, points, strict=True)])
    error = np.linalg.norm(predict(warp_images(images, warps)) - wanted, axis=-1)
    inside = _inside(points) & _inside(wanted)
    found = {}
    for kind in KINDS:
        counted = inside & (kinds == kind)[:, None]
        if counted.any():
            found[kind] = 100 * float(error[counted].mean())
    mirrored = predict(warp_images(images, [MIRROR] * n))
    if _inside(points).any():
        found["mirror"] = 100 * _matched_error(mirrored, MIRROR.forward(points))
    return found


def warp_images(images: ImageSet, warps: Sequence[Warp]) -> ImageSet:
    """Return every image after its warp; colours are interpolated, depth and masks are not.

    Args:
        images: N of them.
        warps: N of them.
    """
    warped: dict[str, Array] = {"images": np.empty_like(images.images)}
    warped |= {name: np.empty_like(getattr(images, name)) for name in images.signals}
    height, width = images.images.shape[1:3]
    y, x = np.meshgrid(
        (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
    )
    grid = np.stack([x, y], axis=-1)
    for i, warp in enumerate(warps):
        source = warp.backward(grid)
        rows, columns = source[..., 1] * height - 0.5, source[..., 0] * width - 0.5
        for name, target in warped.items():
            target[i] = _sampled(getattr(images, name)[i], rows, columns)
    return ImageSet(**warped)


def _sampled(image: Array, rows: Array, columns: Array) -> Array:
    from scipy.ndimage import map_coordinates

    if image.ndim == 2:  # between two depths there is no surface
        return np.asarray(map_coordinates(image, [rows, columns], order=0, mode="nearest"))
    channels = [
        map_coordinates(image[..., c], [rows, columns], np.float64, order=1, mode="nearest")
        for c in range(image.shape[2])
    ]
    return np.rint(np.stack(channels, axis=-1)).astype(image.dtype)


def _inside(points: Array) -> Array:
    return np.asarray(((points >= 0) & (points <= 1)).all(-1))


def _matched_error(found: Array, wanted: Array) -> float:
    """Return the mean distance under the best exchange of keypoints, (N, K, 2) both."""
    from scipy.optimize import linear_sum_assignment

    counted = _inside(wanted)
    distances = np.linalg.norm(found[:, None] - wanted[:, :, None], axis=-1)
    cost = np.where(counted[:, :, None], distances, 0).sum(0)
    return float(cost[linear_sum_assignment(cost)].sum() / counted.sum())
