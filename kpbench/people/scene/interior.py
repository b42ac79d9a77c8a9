"""What rooms look like: plain walls, floors of wood or carpet, furniture along the walls.

Chosen by looking at photographs of homes, offices and Human3.6M's laboratory, not by any score:
walls are of one pale colour, floors darker and finely grained, and a few large things stand out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from kpbench.api import Array
from kpbench.people.body.rotations import about_vertical
from kpbench.people.scene.laboratory import SIZE
from kpbench.people.scene.scene import Room
from kpbench.people.scene.textures import TextureBank

N_FURNITURE, N_FREE, N_PANELS = 6, 2, 5
"""Pieces along the walls, pieces that stand free, and pictures, doors and curtains on the walls."""

_FLOOR = ("wood", "wood", "carpet", "carpet", "tiles")
_WALL = ("plaster", "plaster", "plaster", "plaster", "wallpaper", "brick")
_FURNITURE = ("wood", "wood", "fabric", "fabric", "solid", "books")
_OFFICE = ("wood", "plaster", "plaster", "carpet")
_THIN = 0.02
_LABORATORY = 11
"""Of the seed: another room for the laboratory. Chosen by looking at it."""
_NOWHERE = np.array([0.0, 0.0, -9.0])


@dataclass(frozen=True)
class Panel:
    """What hangs on a wall, or is a door in it: half sizes and height of the middle in metres."""

    kinds: Sequence[str]
    half: tuple[float, float]
    height: float


PANELS = (
    Panel(("picture",), (0.35, 0.28), 1.55),
    Panel(("wood", "plaster"), (0.45, 1.02), 1.02),
    Panel(("curtain",), (0.7, 0.95), 1.25),
)


@dataclass(frozen=True)
class Box:
    """A box: middle and half sizes (3,) in metres, yaw in radians, and its texture."""

    centre: Array
    half: Array
    yaw: float
    texture: int

    def moved(self, turn: float, shift: Array) -> Box:
        """Return the box turned about the vertical axis and then shifted by (2,)."""
        centre = about_vertical(turn) @ self.centre + [*shift, 0.0]
        return replace(self, centre=centre, yaw=self.yaw + turn)


def furnish(rng: np.random.Generator, bank: TextureBank, *, occluders: float, empty: bool) -> Room:
    """Draw a room of somebody's home, with the person somewhere in it.

    Args:
        rng: to draw from.
        bank: of textures.
        occluders: probability that furniture may stand before the person.
        empty: whether it is left without furniture.
    """
    occluding = bool(rng.random() < occluders)
    size = rng.uniform([1.8, 1.8, 2.4], [3.6, 3.6, 3.0])
    middle, yaw = rng.uniform(-0.4, 0.4, 2) * size[:2], rng.uniform(-math.pi, math.pi)
    boxes = _along_the_walls(rng, bank, size, _FURNITURE, PANELS)
    boxes = [box.moved(yaw, middle) for box in boxes]
    boxes += [_free(rng, bank, 0.45 if occluding else 0.95) for _ in range(N_FREE)]
    if empty:
        boxes = [replace(box, centre=_NOWHERE) for box in boxes]
    room = _room(rng, bank, size, boxes, _FLOOR, _WALL)
    return replace(room, middle=middle, yaw=yaw, occluding=occluding)


@lru_cache(maxsize=8)
def laboratory(seed: int, bank: TextureBank, first: int) -> Room:
    """Return the laboratory, around its own middle: the same for everybody.

    Args:
        seed: of the data set.
        bank: of training textures.
        first: number of the bank's first texture among those of the scene.
    """
    rng = np.random.default_rng([seed, _LABORATORY])
    size = np.array(SIZE)
    boxes = _along_the_walls(rng, bank, size, _OFFICE, PANELS[:2])
    room = _room(rng, bank, size, boxes, ("carpet",), ("plaster",))
    return replace(room, textures=room.textures + first, box_textures=room.box_textures + first)


def _room(
    rng: np.random.Generator,
    bank: TextureBank,
    size: Array,
    boxes: Sequence[Box],
    floor: Sequence[str],
    wall: Sequence[str],
) -> Room:
    """Return a room around its own middle; both pairs of walls are alike."""
    on_floor, on_walls, above = (bank.pick(rng, kinds) for kinds in (floor, wall, ("plaster",)))
    return Room(
        size=size,
        middle=np.zeros(2),
        yaw=0.0,
        textures=np.array([on_floor, on_walls, on_walls, above]),
        texture_scale=np.array([rng.uniform(0.4, 0.8), *[rng.uniform(0.3, 0.6)] * 2, 0.4]),
        occluding=False,
        centres=np.array([box.centre for box in boxes]),
        halves=np.array([box.half for box in boxes]),
        yaws=np.array([box.yaw for box in boxes]),
        box_textures=np.array([box.texture for box in boxes]),
    )


def _along_the_walls(
    rng: np.random.Generator,
    bank: TextureBank,
    size: Array,
    furniture: Sequence[str],
    panels: Sequence[Panel],
) -> list[Box]:
    boxes = []
    for _ in range(N_FURNITURE):
        half = rng.uniform([0.3, 0.18, 0.2], [0.9, 0.4, 1.0])
        boxes.append(_at_a_wall(rng, size, half, half[2], bank.pick(rng, furniture)))
    for _ in range(N_PANELS):
        panel = panels[int(rng.integers(len(panels)))]
        wide, high = np.array(panel.half) * rng.uniform(0.8, 1.2, 2) ** [1, 0.5]
        half = np.array([wide, _THIN, high])
        boxes.append(_at_a_wall(rng, size, half, panel.height, bank.pick(rng, panel.kinds)))
    return boxes


def _at_a_wall(
    rng: np.random.Generator, size: Array, half: Array, height: float, texture: int
) -> Box:
    """Put a box, whose y side faces the room, at a random place along one of the four walls."""
    side = int(rng.integers(4))
    length, away = (size[0], size[1]) if side % 2 == 0 else (size[1], size[0])
    along = rng.uniform(-1, 1) * (length - half[0])
    centre = np.array([along, away - half[1], height])
    return Box(centre, half, 0.0, texture).moved(side * math.pi / 2, np.zeros(2))


def _free(rng: np.random.Generator, bank: TextureBank, clearance: float) -> Box:
    """Put a piece `clearance` metres from the person's axis, if 20 tries allow."""
    for _ in range(20):
        angle, radius = rng.uniform(-math.pi, math.pi), rng.uniform(1.0, 2.6)
        half = rng.uniform([0.15, 0.15, 0.15], [0.6, 0.45, 0.6])
        if radius - math.hypot(half[0], half[1]) > clearance:
            break
    centre = np.array([radius * math.cos(angle), radius * math.sin(angle), half[2]])
    return Box(centre, half, rng.uniform(-math.pi, math.pi), bank.pick(rng, _FURNITURE))
