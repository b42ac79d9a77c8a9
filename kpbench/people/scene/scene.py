"""What makes up an image of the rendered people, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kpbench.api import Array
from kpbench.people.body.acting import CLIPS, Acting, Half
from kpbench.people.body.motion import Motion

Split = Literal["train", "test", "validation"]
SPLITS: tuple[Split, ...] = ("train", "test", "validation")
Background = Literal["grey", "light", "laboratory", "rooms"]


@dataclass(frozen=True)
class Framing:
    """How people stand in the picture; every value is drawn for each image.

    Attributes:
        fill: range of the share of the image that the longer side of the person's box takes.
        wander: standard deviations of the box's centre from the image's centre, x and y, in image
            sizes; no part of the body leaves the image.
        facing: standard deviation in degrees of the direction in which a person turns away from the
            camera; None: any direction is as likely.
        elevation: range of the camera's angle above the horizon, degrees.
        field_of_view: range, degrees.
    """

    fill: tuple[float, float]
    wander: tuple[float, float]
    facing: float | None = None
    elevation: tuple[float, float] = (-3.0, 15.0)
    field_of_view: tuple[float, float] = (25.0, 50.0)


@dataclass(frozen=True)
class PeopleSettings:
    """What distinguishes one data set from another, besides its size.

    Attributes:
        background: one laboratory seen by four fixed cameras; mid grey instead of it, behind the
            same people; a light tint of its own for every image; or a room of its own for every
            image.
        acting: what people do.
        framing: how they stand in the picture; the laboratory's cameras have angles of their own.
        occluders: share of images whose furniture may stand before the person.
        aperture: range of the diameter of the lens in metres: how far the room is out of focus.
        seed: of everything.
    """

    background: Background
    acting: Acting
    framing: Framing
    occluders: float = 0.0
    aperture: tuple[float, float] = (0.0, 0.0)
    seed: int = 0

    def half(self, split: Split) -> Half:
        """Return the half of the motion clips of a split; train and test share none."""
        return "test" if split == "test" else "train"

    def clips(self, split: Split) -> tuple[str, ...]:
        """Return the motion clips of a split."""
        return tuple(clip for pool in CLIPS[self.half(split)].values() for clip in pool)


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
    """Where the camera is (angles in radians; see `camera.framing_camera`).

    Attributes:
        position: (3,) metres from the person's place on the floor, of a camera that stands in the
            room; None: as far away as the field of view wants.
        aperture: diameter of the lens, metres.
    """

    azimuth: float
    elevation: float
    roll: float
    field_of_view: float
    fill: float
    wander: Array
    position: Array | None = None
    aperture: float = 0.0


@dataclass(frozen=True)
class Light:
    """A sun and the sky: unit direction towards the sun (3,), and two RGB intensities (3,)."""

    direction: Array
    sun: Array
    ambient: Array


@dataclass(frozen=True)
class Room:
    """A room around a person at the origin and M boxes in it; metres, radians.

    Attributes:
        size: (3,) half length, half width and height.
        middle: (2,) of the room, seen from the person.
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
    middle: Array
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
    action: str
    twist: Array
    view: View
    light: Light
    plain: Array
