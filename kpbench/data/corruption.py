"""Damaged depth maps, to see how much a method that learns from depth depends on its quality.

Distill-DKP (arXiv:2410.14700) leaves open how its teacher copes with worse depth; its reading notes
name Gaussian noise and uniform depth as the tests to make. All corruptions act on inverse depth: it
is what the depth models predict and what the teacher sees, and a fraction of its range means the
same for metres as for estimated maps of unknown scale and shift. So a corrupted map keeps its
inverse up to scale and shift (`kpbench.data.depth.scale.pseudo_distance`), no longer millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from kpbench.api import Array
from kpbench.data.depth.scale import pseudo_distance
from kpbench.errors import InvalidInputError, UnknownNameError


@dataclass(frozen=True)
class Corruption:
    """One way to damage depth.

    Attributes:
        description: what the amount means.
        low: least amount besides 0, which changes nothing.
        high: largest amount.
        whole: whether the amount is a whole number.
    """

    description: str
    low: float
    high: float
    whole: bool = False

    def check(self, kind: str, amount: float) -> None:
        """Check an amount.

        Raises:
            InvalidInputError: it is not in the range, or not whole.
        """
        fits = amount == 0 or (math.isfinite(amount) and self.low <= amount <= self.high)
        if not fits or (self.whole and amount != int(amount)):
            number = "a whole number" if self.whole else "a number"
            raise InvalidInputError(
                f"depth corruption {kind} = {amount}: 0 (none), or {number} from {self.low:g} to "
                f"{self.high:g}: {self.description}"
            )


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption(
        "standard deviation of white Gaussian noise on inverse depth, as a fraction of the range "
        "between its 1st and 99th percentile in the image",
        low=0.0,
        high=2.0,
    ),
    "blur": Corruption(
        "sigma of a Gaussian blur of inverse depth, as a fraction of the image's longer side; "
        "pixels without surface take no part",
        low=0.0,
        high=0.5,
    ),
    "levels": Corruption(
        "number of values that are left, evenly spaced in inverse depth from the furthest to the "
        "nearest surface of the image",
        low=2,
        high=4096,
        whole=True,
    ),
    "uniform": Corruption(
        "1: every surface has the same depth, only the outline is left", low=1, high=1, whole=True
    ),
}
"""The corruptions of `corrupt`, by name."""


def corrupt(depth: Array, kind: str, amount: float, seed: int, *, first: int = 0) -> Array:
    """Return damaged depth maps. Each depends on itself, the seed and its index, and nothing else.

    Args:
        depth: (N, H, W) uint16, distance, 0 = no surface.
        kind: one of `CORRUPTIONS`.
        amount: how much; 0 returns `depth` itself.
        seed: of the noise, not negative.
        first: index of the first map, for data that is handed over in pieces.

    Returns:
        (N, H, W) uint16, 0 exactly where `depth` is 0. The inverse is the corrupted inverse depth
        up to scale and shift in each image.

    Raises:
        UnknownNameError: there is no such corruption.
        InvalidInputError: an amount out of range, a negative seed, or `depth` of another form.

    Example:
        >>> corrupt(np.array([[[0, 1000], [1100, 2000]]], np.uint16), "levels", 2, 0).tolist()
        [[[0, 32768], [32768, 65535]]]
    """
    if kind not in CORRUPTIONS:
        raise UnknownNameError.of("depth corruption", kind, CORRUPTIONS)
    CORRUPTIONS[kind].check(kind, amount)
    if depth.ndim != 3 or depth.dtype != np.uint16:
        raise InvalidInputError(f"depth must be uint16 (N, H, W), got {depth.dtype} {depth.shape}")
    if seed < 0 or first < 0:
        raise InvalidInputError(f"seed {seed}, first index {first}: must not be negative")
    if amount == 0:
        return depth
    damage = _DAMAGE[kind]
    found = np.zeros(depth.shape, np.uint16)
    for i, millimetres in enumerate(depth):
        surface = millimetres > 0
        if not surface.any():
            continue
        inverse = np.zeros(surface.shape)
        inverse[surface] = 1 / millimetres[surface].astype(np.float64)
        damaged = damage(inverse, surface, amount, (seed, first + i))
        found[i] = pseudo_distance(damaged[None], surface[None])[0]
    return found


def _noise(inverse: Array, surface: Array, amount: float, entropy: tuple[int, int]) -> Array:
    far, near = np.percentile(inverse[surface], [1, 99])
    draw = np.random.default_rng(entropy).standard_normal(inverse.shape)
    return np.asarray(inverse + amount * (near - far) * draw)


def _blur(inverse: Array, surface: Array, amount: float, _: tuple[int, int]) -> Array:
    from scipy.ndimage import gaussian_filter

    sigma = amount * max(inverse.shape)
    # the mean over the surface alone: weights of pixels without surface are taken out again
    values = gaussian_filter(np.where(surface, inverse, 0.0), sigma, mode="nearest")
    weights = gaussian_filter(surface.astype(np.float64), sigma, mode="nearest")
    return np.divide(values, weights, out=inverse.copy(), where=surface & (weights > 0))


def _levels(inverse: Array, surface: Array, amount: float, _: tuple[int, int]) -> Array:
    far, near = inverse[surface].min(), inverse[surface].max()
    if near == far:
        return inverse
    return np.asarray(np.rint((inverse - far) / (near - far) * (amount - 1)))


def _uniform(inverse: Array, surface: Array, _: float, __: tuple[int, int]) -> Array:
    return np.zeros_like(inverse)


_DAMAGE: Mapping[str, Callable[[Array, Array, float, tuple[int, int]], Array]] = {
    "noise": _noise,
    "blur": _blur,
    "levels": _levels,
    "uniform": _uniform,
}
