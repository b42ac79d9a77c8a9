"""What is in an image: every parameter of a scene, drawn from the seed of its item.

Each concern (pose, view, light, room, identity) has a random stream of its own, so that a plain and
a furnished data set of the same seed show the same people, and item i does not depend on others.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np

from kpbench.api import Array
from kpbench.people.body.acting import WRIST_TWIST, act
from kpbench.people.body.assets import load_body
from kpbench.people.scene.interior import furnish, laboratory
from kpbench.people.scene.laboratory import (
    Standpoint,
    around,
    laboratory_light,
    laboratory_view,
    standpoint,
)
from kpbench.people.scene.scene import (
    SPLITS,
    Background,
    Framing,
    Identity,
    Light,
    PeopleSettings,
    Room,
    Scene,
    Split,
    View,
)
from kpbench.people.scene.textures import TextureBank

__all__ = [
    "EMPTY_ROOM_ATTEMPT",
    "IMAGES_PER_IDENTITY",
    "SPLITS",
    "Framing",
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
EMPTY_ROOM_ATTEMPT = 6
"""From this attempt on, a room that kept hiding its person is left without furniture."""

_POSE, _VIEW, _LIGHT, _ROOM, _PLAIN, _IDENTITY, _BANK, _CAMERA = range(8)
_FRONT = -math.pi / 2
"""Direction in which people face, radians."""
_SHAPE_NOISE = 0.15
_SKIN = np.array(
    [[0.96, 0.80, 0.69], [0.90, 0.70, 0.56], [0.80, 0.58, 0.43], [0.62, 0.42, 0.29],
     [0.44, 0.29, 0.20], [0.30, 0.19, 0.13]]
)  # fmt: skip
_HAIR = np.array(
    [[0.08, 0.06, 0.05], [0.2, 0.12, 0.07], [0.38, 0.22, 0.11], [0.62, 0.45, 0.22],
     [0.55, 0.54, 0.53], [0.45, 0.14, 0.06]]
)  # fmt: skip
_TOP = ("solid", "solid", "solid", "fabric", "fabric", "stripes", "plaid", "dots")
_TROUSERS = ("solid", "solid", "fabric", "fabric", "plaid")


def _rng(settings: PeopleSettings, split: Split, *rest: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, SPLITS.index(split), *rest])


@cache
def texture_bank(seed: int, split: Split) -> TextureBank:
    """Return the textures of a split; no other split has them."""
    return TextureBank(seed, SPLITS.index(split), _BANK)


def scene_texels(settings: PeopleSettings, split: Split) -> Array:
    """Return all textures that scenes of a split refer to, (n, SIZE, SIZE, 3) uint8.

    The laboratory stays the same for all splits: its textures follow the split's.
    """
    banks = [texture_bank(settings.seed, split)]
    if settings.background == "laboratory":
        banks.append(texture_bank(settings.seed, "train"))
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


def _in_laboratory(settings: PeopleSettings) -> bool:
    return settings.background in ("laboratory", "grey")


def _sample_view(rng: np.random.Generator, settings: PeopleSettings) -> View:
    framing = settings.framing
    turned = rng.uniform(-180, 180) if framing.facing is None else rng.normal(0, framing.facing)
    return View(
        azimuth=_FRONT + math.radians(turned),
        elevation=math.radians(rng.uniform(*framing.elevation)),
        roll=math.radians(rng.uniform(-3, 3)),
        field_of_view=math.radians(rng.uniform(*framing.field_of_view)),
        fill=rng.uniform(*framing.fill),
        wander=rng.normal(0, framing.wander),
        aperture=rng.uniform(*settings.aperture),
    )


def _sample_light(rng: np.random.Generator) -> Light:
    angle = rng.uniform(-math.pi, math.pi)
    direction = np.array([0.8 * math.cos(angle), 0.8 * math.sin(angle), rng.uniform(0.5, 1.3)])
    sun = rng.uniform([0.9, 0.9, 0.8], [1.05, 1.0, 1.0]) * rng.uniform(0.35, 0.85)
    ambient = rng.uniform([0.88, 0.9, 0.9], [1.0, 1.0, 1.05]) * rng.uniform(0.42, 0.62)
    return Light(direction / np.linalg.norm(direction), sun, ambient)


def _sample_plain(rng: np.random.Generator, background: Background) -> Array:
    if background != "light":
        return np.full(3, 0.5)
    return rng.uniform(0.86, 1.0) - rng.uniform(0, 0.1, 3)


def sample_scene(settings: PeopleSettings, split: Split, index: int) -> Scene:
    """Draw item `index` of a split, apart from its room."""
    number = identity_number(split, index)
    pose = _rng(settings, split, _POSE, index)
    poses, action = act(pose, settings.acting, settings.half(split))
    view = _sample_view(_rng(settings, split, _VIEW, index), settings)
    light = _sample_light(_rng(settings, split, _LIGHT, index))
    if _in_laboratory(settings):
        where = _standpoint(settings, split, index)
        view, light = laboratory_view(view, where), laboratory_light(where)
    return Scene(
        index=index,
        identity_id=number,
        identity=sample_identity(settings, split, number),
        poses=poses,
        action=action,
        twist=pose.uniform(-WRIST_TWIST, WRIST_TWIST, 2),
        view=view,
        light=light,
        plain=_sample_plain(_rng(settings, split, _PLAIN, index), settings.background),
    )


def _standpoint(settings: PeopleSettings, split: Split, index: int) -> Standpoint:
    return standpoint(_rng(settings, split, _CAMERA, index))


def sample_room(settings: PeopleSettings, split: Split, index: int, attempt: int = 0) -> Room:
    """Draw the room of item `index`.

    Args:
        settings: of the data set.
        split: of the item.
        index: of the item.
        attempt: raised when the furniture of the attempt before hid most of the person.
    """
    if _in_laboratory(settings):
        after = len(texture_bank(settings.seed, split).texels)
        room = laboratory(settings.seed, texture_bank(settings.seed, "train"), after)
        return around(room, _standpoint(settings, split, index))
    rng = _rng(settings, split, _ROOM, index, attempt)
    bank = texture_bank(settings.seed, split)
    empty = attempt >= EMPTY_ROOM_ATTEMPT
    return furnish(rng, bank, occluders=settings.occluders, empty=empty)
