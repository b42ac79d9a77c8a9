"""A studio as in Human3.6M: one room, one light, four fixed cameras; only the people change.

The scene is described around the person, who faces any way. So that the cameras are fixed in the
room, the room and its light are turned under each person to where the chosen camera stands.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from kpbench.api import Array
from kpbench.people.scene.scene import Light, Room, View

CAMERAS = (0.25 * math.pi, 0.75 * math.pi, 1.25 * math.pi, 1.75 * math.pi)
"""Directions of the cameras from the middle of the room, radians."""
ELEVATION, FIELD_OF_VIEW = math.radians(10), math.radians(40)
SIZE = (4.6, 4.6, 3.0)
"""Half length, half width and height in metres: the cameras stand inside."""
SUN, AMBIENT = (0.9, 0.88, 0.85), (0.42, 0.43, 0.45)
SUN_DIRECTION = (0.48, 0.36, 0.8)


def studio_view(view: View) -> View:
    """Return the view with the cameras' elevation, lens and no roll; the crop still varies."""
    return replace(view, elevation=ELEVATION, roll=0.0, field_of_view=FIELD_OF_VIEW)


def studio_turn(view: View, rng: np.random.Generator) -> float:
    """Choose a camera and return the angle by which the room is turned, radians."""
    return view.azimuth - CAMERAS[rng.integers(len(CAMERAS))]


def studio_light(turn: float) -> Light:
    """Return the studio's light, turned with the room."""
    direction = _about_vertical(np.array(SUN_DIRECTION), turn)
    return Light(direction, np.array(SUN), np.array(AMBIENT))


def turned(room: Room, turn: float) -> Room:
    """Return the room as a studio of fixed size, turned about the person."""
    return replace(
        room,
        size=np.array(SIZE),
        yaw=room.yaw + turn,
        centres=_about_vertical(room.centres, turn),
        yaws=room.yaws + turn,
    )


def _about_vertical(points: Array, angle: float) -> Array:
    """Turn (..., 3) points counterclockwise about the z axis."""
    c, s = math.cos(angle), math.sin(angle)
    return np.asarray(points @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]))
