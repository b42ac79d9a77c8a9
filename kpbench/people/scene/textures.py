"""A bank of procedural textures for clothes, walls, floors and furniture."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence

import numpy as np

from kpbench.api import Array

SIZE = 128
"""Texels along each side; a texture repeats."""
PER_KIND = 16

_Y, _X = np.mgrid[0:SIZE, 0:SIZE] / SIZE


def _noise(
    rng: np.random.Generator, base: int, stretch: tuple[float, float] = (1, 1), octaves: int = 5
) -> Array:
    """Return (SIZE, SIZE) fractal value noise in [0, 1] that repeats without a seam."""
    out, amplitude, total = np.zeros((SIZE, SIZE)), 1.0, 0.0
    for octave in range(octaves):
        cells = tuple(max(1, int(base * s * 2**octave)) for s in stretch)
        if max(cells) > SIZE:
            break
        grid = np.pad(rng.random(cells), ((0, 1), (0, 1)), mode="wrap")
        index, blend = [], []
        for n in cells:
            position = np.arange(SIZE) * n / SIZE
            index.append(position.astype(int))
            t = position - index[-1]
            blend.append(t * t * (3 - 2 * t))
        (i, j), (v, u) = index, (blend[0][:, None], blend[1][None])
        upper = grid[i][:, j] * (1 - u) + grid[i][:, j + 1] * u
        lower = grid[i + 1][:, j] * (1 - u) + grid[i + 1][:, j + 1] * u
        out += amplitude * (upper * (1 - v) + lower * v)
        total += amplitude
        amplitude /= 2
    return np.asarray(out / total)


def _colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.05, 0.55),
    value: tuple[float, float] = (0.2, 0.9),
) -> Array:
    return np.array(
        colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    )


def _mix(share: Array, start: Array, end: Array) -> Array:
    mixed: Array = start + (end - start) * np.clip(share, 0, 1)[..., None]
    return mixed


def _solid(rng: np.random.Generator) -> Array:
    return _colour(rng) * (0.92 + 0.16 * _noise(rng, 8)[..., None])


def _clouds(rng: np.random.Generator) -> Array:
    colour = _colour(rng)
    near = np.clip(colour * rng.uniform(0.5, 1.4), 0, 1)
    other = near if rng.random() < 0.7 else _colour(rng)
    return _mix((_noise(rng, 4) - 0.3) * 2.5, colour, other)


def _wood(rng: np.random.Generator) -> Array:
    dark = np.array([0.35, 0.2, 0.1]) * rng.uniform(0.6, 1.3)
    light = np.array([0.75, 0.55, 0.35]) * rng.uniform(0.7, 1.2)
    joint = np.where(_Y * 4 % 1 < 0.04, 0.6, 1.0)
    return _mix(_noise(rng, 2, (8, 0.5)), dark, light) * joint[..., None]


def _checker(rng: np.random.Generator) -> Array:
    n = int(rng.integers(2, 5)) * 2
    odd = ((_X * n).astype(int) + (_Y * n).astype(int)) % 2
    return _mix(odd, _colour(rng), _colour(rng))


def _stripes(rng: np.random.Generator) -> Array:
    n, along = int(rng.integers(3, 9)), _X if rng.random() < 0.5 else _Y
    return _mix(along * n % 1 < rng.uniform(0.3, 0.6), _colour(rng), _colour(rng))


def _brick(rng: np.random.Generator) -> Array:
    row = (_Y * 8).astype(int)
    across = _X * 4 + 0.5 * (row % 2)
    shade = 0.8 + 0.4 * rng.random((8, 4))[row, across.astype(int) % 4]
    mortar = (across % 1 < 0.06) | (_Y * 8 % 1 < 0.12)
    return _mix(mortar, _colour(rng) * shade[..., None], np.full(3, 0.75))


def _plaid(rng: np.random.Generator) -> Array:
    n = int(rng.integers(3, 6))
    bands = 0.5 * (_X * n % 1 < 0.4) + 0.5 * (_Y * n % 1 < 0.4)
    cloth = _mix(bands, _colour(rng), _colour(rng))
    return _mix((_X * n % 1 < 0.06) * 0.8, cloth, _colour(rng))


def _dots(rng: np.random.Generator) -> Array:
    n = int(rng.integers(3, 7))
    distance = (_X * n % 1 - 0.5) ** 2 + (_Y * n % 1 - 0.5) ** 2
    return _mix(distance < rng.uniform(0.04, 0.14), _colour(rng), _colour(rng))


def _collage(rng: np.random.Generator) -> Array:
    out = np.tile(_colour(rng), (SIZE, SIZE, 1))
    for _ in range(14):
        x, y = rng.random(2)
        w, h = rng.uniform(0.08, 0.45, 2)
        if rng.random() < 0.5:
            patch = (np.abs(_X - x) < w / 2) & (np.abs(_Y - y) < h / 2)
        else:
            patch = ((_X - x) / w) ** 2 + ((_Y - y) / h) ** 2 < 0.25
        out[patch] = _colour(rng, (0.2, 0.9), (0.1, 1.0))
    return out


def _books(rng: np.random.Generator) -> Array:
    out = np.zeros((SIZE, SIZE, 3))
    for shelf in range(4):
        left, bottom = 0, (shelf + 1) * SIZE // 4 - 2
        while left < SIZE:
            width = int(rng.integers(3, 9))
            height = int(SIZE / 4 * rng.uniform(0.65, 0.9))
            out[bottom - height : bottom, left : left + width] = _colour(rng, (0.2, 0.8))
            left += width
    return out + 0.12


def _tiles(rng: np.random.Generator) -> Array:
    grout = (_X * 4 % 1 < 0.05) | (_Y * 4 % 1 < 0.05)
    tile = _mix(_noise(rng, 8) * 0.6, _colour(rng), _colour(rng))
    return _mix(grout, tile, np.full(3, 0.85) * rng.uniform(0.3, 1))


def _terrazzo(rng: np.random.Generator) -> Array:
    out = np.tile(_colour(rng), (SIZE, SIZE, 1))
    for _ in range(60):
        x, y = rng.random(2)
        dx, dy = (_X[:1] - x + 0.5) % 1 - 0.5, (_Y[:, :1] - y + 0.5) % 1 - 0.5
        radius = rng.uniform(0.01, 0.05)
        out[dx**2 + dy**2 < radius**2] = _colour(rng, (0.1, 0.7), (0.2, 1.0))
    return out


KINDS: dict[str, Callable[[np.random.Generator], Array]] = {
    "solid": _solid, "noise": _clouds, "wood": _wood, "checker": _checker, "stripes": _stripes,
    "brick": _brick, "plaid": _plaid, "dots": _dots, "collage": _collage, "books": _books,
    "tiles": _tiles, "terrazzo": _terrazzo,
}  # fmt: skip
_FIRST = {kind: i * PER_KIND for i, kind in enumerate(KINDS)}


class TextureBank:
    """`PER_KIND` textures of every kind, drawn from one generator.

    Attributes:
        texels: (n, SIZE, SIZE, 3) uint8, linear RGB.
        chromaticity: (n, 3) mean colour divided by its sum.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the textures."""
        images = np.stack([make(rng) for make in KINDS.values() for _ in range(PER_KIND)])
        self.texels = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
        mean = self.texels.mean(axis=(1, 2))
        self.chromaticity = mean / mean.sum(axis=-1, keepdims=True)

    def pick(
        self, rng: np.random.Generator, kinds: Sequence[str], avoid: Array | None = None
    ) -> int:
        """Draw a texture of one of the kinds, its mean colour not of the chromaticity `avoid`."""
        first = _FIRST[kinds[int(rng.integers(len(kinds)))]]
        allowed = np.arange(first, first + PER_KIND)
        if avoid is not None:
            far = np.linalg.norm(self.chromaticity - avoid, axis=1) > 0.11
            allowed = allowed[far[allowed]] if far[allowed].any() else np.flatnonzero(far)
        return int(allowed[int(rng.integers(len(allowed)))])
