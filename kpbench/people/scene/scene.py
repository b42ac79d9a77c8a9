"""What makes up an image of the rendered people, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kpbench.api import Array
from kpbench.people.body.motion import TEST_CLIPS, TRAIN_CLIPS, UPRIGHT_CLIPS, Motion

Split = Literal["train", "test", "validation"]
SPLITS: tuple[Split, ...] = ("train", "test", "validation")
Background = Literal["room", "grey", "light"]


@dataclass(frozen=True)
class PeopleSettings:
    """What distinguishes one data set from another, besides its size.

    Attributes:
        background: a furnished room, mid grey, or a light tint of its own for every image.
        upright: whether only clips of standing people are used.
        occluders: share of images whose furniture may stand before the person.
        studio: whether one room is seen by four fixed cameras, as in Human3.6M, and not every
            person in a room, light and view of its own.
        seed: of everything.
    """

    background: Background
    upright: bool = False
    occluders: float = 0.0
    studio: bool = False
    seed: int = 0

    def clips(self, split: Split) -> tuple[str, ...]:
        """Return the motion clips of a split; train and test share none."""
        clips = TEST_CLIPS if split == "test" else TRAIN_CLIPS
        return tuple(c for c in clips if c in UPRIGHT_CLIPS) if self.upright else clips


@dataclass(frozen=True)
class Identity:
    """A person: body, colours and clothes.

    Attributes:
        shape: (10,) coefficients, in standard deviations.
        skin: (3,) linear RGB.
        hair: (3,) linear RGB.
        hair_length: 0 bald, 1 short, 2 long.
        textures: (3,) of the top, the trousers and the shoes.
        texture_scale: (2,) repeats a 0.6 m, of the top and the trousers.
        sleeves: 0 none, 1 short, 2 long.
        legs: 0 to the hip, 1 to the knee, 2 to the ankle.
        dress: whether the top covers hips and thighs.
        thickness: (2,) of the top and the trousers, metres.
    """

    shape: Array
    skin: Array
    hair: Array
    hair_length: int
    textures: Array
    texture_scale: Array
    sleeves: int
    legs: int
    dress: bool
    thickness: Array


@dataclass(frozen=True)
class View:
    """Where the camera is (angles in radians; see `camera.framing_camera`)."""

    azimuth: float
    elevation: float
    roll: float
    field_of_view: float
    fill: float
    offset: Array


@dataclass(frozen=True)
class Light:
    """A sun and the sky: unit direction towards the sun (3,), and two RGB intensities (3,)."""

    direction: Array
    sun: Array
    ambient: Array


@dataclass(frozen=True)
class Room:
    """A room around the origin and M boxes in it; metres, radians.

    Attributes:
        size: (3,) half length, half width and height.
        yaw: of the walls.
        textures: (4,) of the floor, the two pairs of walls and the ceiling.
        texture_scale: (4,) repeats a metre.
        occluding: whether boxes may hide the person.
        centres: (M, 3) of the boxes.
        halves: (M, 3) half sizes.
        yaws: (M,).
        box_textures: (M,).
    """

    size: Array
    yaw: float
    textures: Array
    texture_scale: Array
    occluding: bool
    centres: Array
    halves: Array
    yaws: Array
    box_textures: Array


@dataclass(frozen=True)
class Scene:
    """Everything in one item but its room; `poses` holds two moments."""

    index: int
    identity_id: int
    identity: Identity
    poses: Motion
    clip: str
    twist: Array
    view: View
    light: Light
    plain: Array
