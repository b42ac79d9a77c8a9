"""A laboratory as in Human3.6M: one plain room, one light, four cameras that do not move.

People stand anywhere in the middle of the room and face any way, so that a crop around a person
shows now this, now that part of the wall behind. A scene is described around the person: room,
light and cameras are moved and turned under each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from kpbench.api import Array
from kpbench.people.body.rotations import about_vertical
from kpbench.people.scene.scene import Light, Room, View

CAMERAS = np.array([[2.1, 4.6], [-2.1, 4.6], [-2.1, -4.6], [2.1, -4.6]])
"""(4, 2) metres from the middle of the room."""
CAMERA_HEIGHT, ELEVATION = 1.65, math.radians(8)
SIZE = (3.2, 5.6, 2.9)
"""Half length, half width and height in metres: the cameras stand inside."""
AREA = np.array([1.1, 1.5])
"""People stand at most this far from the middle, metres in x and y."""
SUN, AMBIENT = (0.42, 0.41, 0.39), (0.66, 0.65, 0.63)
SUN_DIRECTION = np.array([0.28, 0.2, 0.94])


@dataclass(frozen=True)
class Standpoint:
    """Where a person stands in the laboratory, and who looks.

    Attributes:
        turn: by which the room is turned under the person, radians.
        place: (2,) in the room, metres from its middle.
        camera: which of the four.
    """

    turn: float
    place: Array
    camera: int


def standpoint(rng: np.random.Generator) -> Standpoint:
    """Draw one."""
    return Standpoint(
        turn=rng.uniform(-math.pi, math.pi),
        place=rng.uniform(-AREA, AREA),
        camera=int(rng.integers(len(CAMERAS))),
    )


def laboratory_view(view: View, where: Standpoint) -> View:
    """Return the view of one of the cameras; only the crop around the person is that of `view`."""
    x, y = CAMERAS[where.camera]
    position = _seen_from(where, np.array([x, y, CAMERA_HEIGHT]))
    azimuth = where.turn + math.atan2(y, x)
    return replace(view, azimuth=azimuth, elevation=ELEVATION, roll=0.0, position=position)


def laboratory_light(where: Standpoint) -> Light:
    """Return the laboratory's light, turned with the room."""
    return Light(SUN_DIRECTION @ about_vertical(where.turn).T, np.array(SUN), np.array(AMBIENT))


def around(room: Room, where: Standpoint) -> Room:
    """Return the laboratory, a room around its own middle, as it lies around the person."""
    return replace(
        room,
        size=np.array(SIZE),
        middle=_seen_from(where, np.zeros(3))[:2],
        yaw=room.yaw + where.turn,
        centres=_seen_from(where, room.centres),
        yaws=room.yaws + where.turn,
    )


def _seen_from(where: Standpoint, points: Array) -> Array:
    """Return points (..., 3) of the laboratory as they lie around the person."""
    return np.asarray((points - [*where.place, 0.0]) @ about_vertical(where.turn).T)
