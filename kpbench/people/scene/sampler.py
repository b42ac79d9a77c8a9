"""What is in an image: every parameter of a scene, drawn from the seed of its item.

Each concern (pose, view, light, room, identity) has a random stream of its own, so that a plain and
a furnished data set of the same seed show the same people, and item i does not depend on others.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np

from kpbench.api import Array
from kpbench.people.body.assets import load_body
from kpbench.people.body.pose import WRIST_TWIST, sample_poses
from kpbench.people.scene.scene import (
    SPLITS,
    Background,
    Identity,
    Light,
    PeopleSettings,
    Room,
    Scene,
    Split,
    View,
)
from kpbench.people.scene.studio import studio_light, studio_turn, studio_view, turned
from kpbench.people.scene.textures import TextureBank

__all__ = [
    "EMPTY_ROOM_ATTEMPT",
    "IMAGES_PER_IDENTITY",
    "SPLITS",
    "Identity",
    "Light",
    "PeopleSettings",
    "Room",
    "Scene",
    "Split",
    "View",
    "identity_number",
    "sample_identity",
    "sample_room",
    "sample_scene",
    "scene_texels",
    "texture_bank",
]

IMAGES_PER_IDENTITY = 4
N_FURNITURE, N_PANELS = 9, 4
EMPTY_ROOM_ATTEMPT = 6
"""From this attempt on, a room that kept hiding its person is left without furniture."""

_POSE, _VIEW, _LIGHT, _ROOM, _PLAIN, _IDENTITY, _BANK, _CAMERA = range(8)
_SHAPE_NOISE = 0.15
_SKIN = np.array(
    [[0.96, 0.80, 0.69], [0.90, 0.70, 0.56], [0.80, 0.58, 0.43], [0.62, 0.42, 0.29],
     [0.44, 0.29, 0.20], [0.30, 0.19, 0.13]]
)  # fmt: skip
_HAIR = np.array(
    [[0.08, 0.06, 0.05], [0.2, 0.12, 0.07], [0.38, 0.22, 0.11], [0.62, 0.45, 0.22],
     [0.55, 0.54, 0.53], [0.45, 0.14, 0.06]]
)  # fmt: skip
_TOP = ("solid", "solid", "stripes", "plaid", "dots", "noise", "checker", "collage")
_TROUSERS = ("solid", "solid", "noise", "stripes", "plaid")
_FLOOR = ("wood", "checker", "tiles", "noise", "terrazzo", "plaid", "collage")
_WALL = (
    "noise", "solid", "brick", "stripes", "plaid", "collage", "tiles", "books", "dots", "checker",
)  # fmt: skip
_FURNITURE = (
    "wood", "books", "collage", "stripes", "solid", "checker", "dots", "plaid", "noise",
)  # fmt: skip
_PANEL = ("collage", "checker", "dots", "books")


def _rng(settings: PeopleSettings, split: Split, *rest: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, SPLITS.index(split), *rest])


@cache
def texture_bank(seed: int, split: Split) -> TextureBank:
    """Return the textures of a split; no other split has them."""
    return TextureBank(np.random.default_rng([seed, SPLITS.index(split), _BANK]))


def scene_texels(settings: PeopleSettings, split: Split) -> Array:
    """Return all textures that scenes of a split refer to, (n, SIZE, SIZE, 3) uint8.

    The studio stays the same for all splits: its textures, those of training, follow the split's.
    """
    banks = [texture_bank(settings.seed, split)]
    banks += [texture_bank(settings.seed, "train")] if settings.studio else []
    return np.concatenate([bank.texels for bank in banks])


def identity_number(split: Split, index: int) -> int:
    """Return the identity shown in item `index`, unique over the splits.

    Example:
        >>> [identity_number("train", i) for i in (0, 3, 4)], identity_number("test", 0)
        ([0, 0, 3], 1)
    """
    return index // IMAGES_PER_IDENTITY * len(SPLITS) + SPLITS.index(split)


@lru_cache(maxsize=64)
def sample_identity(settings: PeopleSettings, split: Split, number: int) -> Identity:
    """Draw a person; shapes are drawn around the baked adults that belong to the split."""
    rng = _rng(settings, split, _IDENTITY, number)
    bank = texture_bank(settings.seed, split)
    known = load_body().coefficients[SPLITS.index(split) :: len(SPLITS)]
    shape = known[rng.integers(len(known))] + rng.normal(0, _SHAPE_NOISE, known.shape[1])
    skin = _SKIN[rng.integers(len(_SKIN))] * rng.uniform(0.9, 1.08)
    hue = skin / skin.sum()
    return Identity(
        shape=shape,
        skin=skin,
        hair=_HAIR[rng.integers(len(_HAIR))],
        hair_length=int(rng.choice([0, 1, 1, 2, 2])),
        textures=np.array([bank.pick(rng, kinds, hue) for kinds in (_TOP, _TROUSERS, ("solid",))]),
        texture_scale=rng.uniform(0.8, 2.2, 2),
        sleeves=int(rng.integers(3)),
        legs=int(rng.choice([0, 1, 2, 2])),
        dress=bool(rng.random() < 0.15),
        thickness=rng.uniform(0.004, 0.016, 2),
    )


def _sample_view(rng: np.random.Generator) -> View:
    return View(
        azimuth=rng.uniform(-math.pi, math.pi),
        elevation=math.radians(rng.uniform(-3, 28)),
        roll=math.radians(rng.uniform(-4, 4)),
        field_of_view=math.radians(rng.uniform(32, 55)),
        fill=rng.uniform(0.66, 0.88),
        offset=rng.uniform(-0.05, 0.05, 2),
    )


def _sample_light(rng: np.random.Generator) -> Light:
    angle = rng.uniform(-math.pi, math.pi)
    direction = np.array([0.8 * math.cos(angle), 0.8 * math.sin(angle), rng.uniform(0.5, 1.3)])
    sun = rng.uniform([0.85, 0.85, 0.75], [1.1, 1.0, 1.05]) * rng.uniform(0.7, 1.05)
    ambient = rng.uniform([0.8, 0.85, 0.9], [1.0, 1.0, 1.1]) * rng.uniform(0.36, 0.55)
    return Light(direction / np.linalg.norm(direction), sun, ambient)


def _sample_plain(rng: np.random.Generator, background: Background) -> Array:
    if background != "light":
        return np.full(3, 0.5)
    return rng.uniform(0.86, 1.0) - rng.uniform(0, 0.1, 3)


def sample_scene(settings: PeopleSettings, split: Split, index: int) -> Scene:
    """Draw item `index` of a split, apart from its room."""
    number = identity_number(split, index)
    pose = _rng(settings, split, _POSE, index)
    poses, clip = sample_poses(pose, settings.clips(split))
    view = _sample_view(_rng(settings, split, _VIEW, index))
    light = _sample_light(_rng(settings, split, _LIGHT, index))
    if settings.studio:
        view, light = studio_view(view), studio_light(_turn(settings, split, index))
    return Scene(
        index=index,
        identity_id=number,
        identity=sample_identity(settings, split, number),
        poses=poses,
        clip=clip,
        twist=pose.uniform(-WRIST_TWIST, WRIST_TWIST, 2),
        view=view,
        light=light,
        plain=_sample_plain(_rng(settings, split, _PLAIN, index), settings.background),
    )


def _turn(settings: PeopleSettings, split: Split, index: int) -> float:
    """Return how far the studio is turned under the person of item `index`, radians."""
    view = _sample_view(_rng(settings, split, _VIEW, index))
    return studio_turn(view, _rng(settings, split, _CAMERA, index))


def _furniture_place(
    rng: np.random.Generator, clearance: float
) -> tuple[tuple[float, float], Array]:
    """Draw a place and half sizes, `clearance` metres from the person's axis if 20 tries allow."""
    for _ in range(20):
        angle, radius = rng.uniform(-math.pi, math.pi), rng.uniform(1.0, 2.6)
        half = rng.uniform([0.15, 0.15, 0.15], [0.6, 0.45, 1.0])
        if radius - math.hypot(half[0], half[1]) > clearance:
            break
    return (radius * math.cos(angle), radius * math.sin(angle)), half


def sample_room(settings: PeopleSettings, split: Split, index: int, attempt: int = 0) -> Room:
    """Draw the room of item `index`.

    Args:
        settings: of the data set.
        split: of the item.
        index: of the item.
        attempt: raised when the furniture of the attempt before hid most of the person.
    """
    if settings.studio:
        room = _studio_room(settings)
        after = len(texture_bank(settings.seed, split).texels)
        room = replace(room, textures=room.textures + after, box_textures=room.box_textures + after)
        return turned(room, _turn(settings, split, index))
    rng = _rng(settings, split, _ROOM, index, attempt)
    room = _draw_room(rng, texture_bank(settings.seed, split), settings.occluders)
    if attempt >= EMPTY_ROOM_ATTEMPT:
        room = replace(room, centres=np.broadcast_to([0.0, 0.0, -9.0], room.centres.shape))
    return room


@cache
def _studio_room(settings: PeopleSettings) -> Room:
    return _draw_room(_rng(settings, "train", _ROOM), texture_bank(settings.seed, "train"))


def _draw_room(rng: np.random.Generator, bank: TextureBank, occluders: float = 0.0) -> Room:
    occluding = bool(rng.random() < occluders)
    boxes: list[tuple[list[float], Array, float, int]] = []
    for _ in range(N_FURNITURE):
        (x, y), half = _furniture_place(rng, 0.45 if occluding else 0.95)
        texture = bank.pick(rng, _FURNITURE)
        boxes.append(([x, y, half[2]], half, rng.uniform(-math.pi, math.pi), texture))
    for _ in range(N_PANELS):
        angle, radius = rng.uniform(-math.pi, math.pi), rng.uniform(1.7, 2.6)
        centre = [radius * math.cos(angle), radius * math.sin(angle), rng.uniform(1.0, 1.9)]
        half = np.array([rng.uniform(0.2, 0.5), 0.02, rng.uniform(0.2, 0.5)])
        yaw = angle + math.pi / 2 + rng.uniform(-0.3, 0.3)
        boxes.append((centre, half, yaw, bank.pick(rng, _PANEL)))
    return Room(
        size=rng.uniform([2.2, 2.2, 2.1], [4.5, 4.5, 3.0]),
        yaw=rng.uniform(-0.5, 0.5),
        textures=np.array([bank.pick(rng, kinds) for kinds in (_FLOOR, _WALL, _WALL, ("solid",))]),
        texture_scale=rng.uniform(0.35, 1.1, 4),
        occluding=occluding,
        centres=np.array([box[0] for box in boxes]),
        halves=np.array([box[1] for box in boxes]),
        yaws=np.array([box[2] for box in boxes]),
        box_textures=np.array([box[3] for box in boxes]),
    )
