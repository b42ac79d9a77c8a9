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


def _wood(rng: np.random.Generator) -> Array:
    dark = np.array([0.35, 0.2, 0.1]) * rng.uniform(0.6, 1.3)
    light = dark + (np.array([0.75, 0.55, 0.35]) - dark) * rng.uniform(0.2, 0.6)
    joint = np.where(_Y * 4 % 1 < 0.04, 0.8, 1.0)
    return _mix(_noise(rng, 2, (8, 0.5)), dark, light) * joint[..., None]


def _stripes(rng: np.random.Generator) -> Array:
    n, along = int(rng.integers(3, 9)), _X if rng.random() < 0.5 else _Y
    return _mix(along * n % 1 < rng.uniform(0.3, 0.6), _colour(rng), _colour(rng))


def _brick(rng: np.random.Generator) -> Array:
    row = (_Y * 8).astype(int)
    across = _X * 4 + 0.5 * (row % 2)
    shade = 0.9 + 0.2 * rng.random((8, 4))[row, across.astype(int) % 4]
    mortar = (across % 1 < 0.06) | (_Y * 8 % 1 < 0.12)
    brick = _colour(rng, (0.1, 0.5), (0.3, 0.8))
    return _mix(mortar, brick * shade[..., None], np.minimum(brick * 1.25, 1))


def _plaid(rng: np.random.Generator) -> Array:
    n = int(rng.integers(3, 6))
    bands = 0.5 * (_X * n % 1 < 0.4) + 0.5 * (_Y * n % 1 < 0.4)
    cloth = _mix(bands, _colour(rng), _colour(rng))
    return _mix((_X * n % 1 < 0.06) * 0.8, cloth, _colour(rng))


def _dots(rng: np.random.Generator) -> Array:
    n = int(rng.integers(3, 7))
    distance = (_X * n % 1 - 0.5) ** 2 + (_Y * n % 1 - 0.5) ** 2
    return _mix(distance < rng.uniform(0.04, 0.14), _colour(rng), _colour(rng))


def _books(rng: np.random.Generator) -> Array:
    out = np.zeros((SIZE, SIZE, 3))
    for shelf in range(4):
        left, bottom = 0, (shelf + 1) * SIZE // 4 - 2
        while left < SIZE:
            width = int(rng.integers(3, 9))
            height = int(SIZE / 4 * rng.uniform(0.65, 0.9))
            out[bottom - height : bottom, left : left + width] = _colour(
                rng, (0.1, 0.6), (0.15, 0.7)
            )
            left += width
    return out + 0.12


def _tiles(rng: np.random.Generator) -> Array:
    grout = (_X * 4 % 1 < 0.05) | (_Y * 4 % 1 < 0.05)
    colour = _colour(rng, (0.03, 0.35), (0.3, 0.85))
    tile = _mix(_noise(rng, 8), colour * 0.9, np.minimum(colour * 1.1, 1))
    return _mix(grout, tile, colour * rng.uniform(0.6, 0.9))


def _plaster(rng: np.random.Generator) -> Array:
    colour = _colour(rng, (0.02, 0.22), (0.5, 0.92))
    return colour * (0.96 + 0.08 * _noise(rng, 6)[..., None])


def _wallpaper(rng: np.random.Generator) -> Array:
    n, colour = int(rng.integers(3, 8)), _colour(rng, (0.05, 0.3), (0.45, 0.9))
    band = np.where(_X * n % 1 < 0.5, 1.0, rng.uniform(0.86, 0.96))
    return colour * (band * (0.97 + 0.06 * _noise(rng, 6)))[..., None]


def _carpet(rng: np.random.Generator) -> Array:
    colour = _colour(rng, (0.05, 0.5), (0.2, 0.6))
    return colour * (0.88 + 0.24 * _noise(rng, 24, octaves=3))[..., None]


def _fabric(rng: np.random.Generator) -> Array:
    colour = _colour(rng, (0.05, 0.6), (0.15, 0.8))
    return colour * (0.85 + 0.3 * _noise(rng, 12))[..., None]


def _curtain(rng: np.random.Generator) -> Array:
    fold = 0.5 + 0.5 * np.cos(2 * np.pi * (_X * int(rng.integers(4, 9)) + 0.15 * _noise(rng, 3)))
    shade: Array = 0.75 + 0.25 * fold
    return _colour(rng, (0.05, 0.5), (0.35, 0.9)) * shade[..., None]


def _picture(rng: np.random.Generator) -> Array:
    sky, ground = _colour(rng, (0.05, 0.4), (0.5, 0.95)), _colour(rng, (0.1, 0.5), (0.15, 0.6))
    out = _mix((_noise(rng, 3) - 0.5 + 2 * (_Y - rng.uniform(0.35, 0.65))) * 3, sky, ground)
    frame = np.minimum(np.minimum(_X, 1 - _X), np.minimum(_Y, 1 - _Y)) < 0.06
    return _mix(frame, out, np.full(3, rng.uniform(0.08, 0.85)))


KINDS: dict[str, Callable[[np.random.Generator], Array]] = {
    "solid": _solid, "stripes": _stripes, "plaid": _plaid, "dots": _dots, "fabric": _fabric,
    "wood": _wood, "books": _books, "tiles": _tiles, "carpet": _carpet, "brick": _brick,
    "plaster": _plaster, "wallpaper": _wallpaper, "curtain": _curtain, "picture": _picture,
}  # fmt: skip
_FIRST = {kind: i * PER_KIND for i, kind in enumerate(KINDS)}


class TextureBank:
    """`PER_KIND` textures of every kind, which has a random stream of its own.

    Attributes:
        texels: (n, SIZE, SIZE, 3) uint8, linear RGB.
        chromaticity: (n, 3) mean colour divided by its sum.
    """

    def __init__(self, *seed: int) -> None:
        """Draw the textures."""
        streams = [np.random.default_rng([*seed, *name.encode()]) for name in KINDS]
        makers = zip(KINDS.values(), streams, strict=True)
        images = np.stack([make(rng) for make, rng in makers for _ in range(PER_KIND)])
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
