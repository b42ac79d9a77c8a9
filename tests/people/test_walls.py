"""Rooms hold camera and person, and their walls are moved only where they must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kpbench.api import Array
from kpbench.people.scene.camera import Camera
from kpbench.people.scene.room import MARGIN, Boxes, place_boxes
from kpbench.people.scene.sampler import Room, sample_room

from .settings import ROOMS

N = 200
ENOUGH = 0.999 * MARGIN


def placed(rooms: list[Room], positions: Array, extent: Array) -> Boxes:
    n = len(rooms)
    camera = Camera(
        position=torch.as_tensor(positions, dtype=torch.float32),
        rotation=torch.eye(3).expand(n, 3, 3),
        focal=torch.ones(n),
        centre=torch.full((n, 2), 0.5),
    )
    return place_boxes(rooms, camera, torch.as_tensor(extent, dtype=torch.float32))


def along_walls(room: Room, points: Array) -> Array:
    """Return x and y along the room's walls of points (..., 2 or 3)."""
    turned = (points[..., 0] + 1j * points[..., 1]) * np.exp(-1j * room.yaw)
    return np.stack([turned.real, turned.imag], -1)


def sides(boxes: Boxes, number: int, room: Room) -> tuple[Array, Array]:
    """Return where the walls stand along themselves: low (2,) and high (2,)."""
    centre = along_walls(room, boxes.centre[number, 0].double().numpy())
    half = boxes.half[number, 0, :2].double().numpy()
    return centre - half, centre + half


@pytest.fixture(scope="module")
def drawn() -> tuple[list[Room], Array, Array]:
    """Return small and large rooms around cameras near and far, and people of any reach."""
    rng = np.random.default_rng(0)
    room = sample_room(ROOMS, "train", 0)
    rooms = [
        replace(
            room,
            size=np.array([*rng.uniform(0.5, 8, 2), rng.uniform(1.5, 4)]),
            middle=rng.uniform(-2, 2, 2),
            yaw=rng.uniform(-7, 7),
        )
        for _ in range(N)
    ]
    positions = rng.uniform([-6, -6, 0.1], [6, 6, 3.5], (N, 3))
    return rooms, positions, rng.uniform([0.2, 0.2, 1.3], [1.2, 1.2, 2.6], (N, 3))


def test_camera_and_person_are_inside(drawn: tuple[list[Room], Array, Array]) -> None:
    rooms, positions, extent = drawn
    boxes = placed(*drawn)
    signs = np.array([[x, y] for x in (-1, 1) for y in (-1, 1)])
    for i, room in enumerate(rooms):
        low, high = sides(boxes, i, room)
        inside = along_walls(room, np.vstack([positions[i, :2], signs * extent[i, :2]]))
        assert (inside - low >= ENOUGH).all() and (high - inside >= ENOUGH).all()
        height = float(boxes.half[i, 0, 2]) * 2
        assert height - max(positions[i, 2], extent[i, 2]) >= ENOUGH
        assert float(boxes.centre[i, 0, 2]) == pytest.approx(height / 2), "the floor is at 0"


def test_each_wall_stays_or_is_moved_out_as_little_as_possible(
    drawn: tuple[list[Room], Array, Array],
) -> None:
    rooms, positions, extent = drawn
    boxes = placed(*drawn)
    stayed = []
    for i, room in enumerate(rooms):
        camera, middle = along_walls(room, positions[i]), along_walls(room, room.middle)
        reach = np.hypot(*extent[i, :2])  # however the walls are turned
        size = room.size[:2]
        low, high = sides(boxes, i, room)
        wanted_low = np.minimum(middle - size, np.minimum(camera, -reach) - MARGIN)
        wanted_high = np.maximum(middle + size, np.maximum(camera, reach) + MARGIN)
        np.testing.assert_allclose(low, wanted_low, atol=1e-5)
        np.testing.assert_allclose(high, wanted_high, atol=1e-5)
        kept = np.isclose([low, high], [middle - size, middle + size], atol=1e-5)
        stayed.append(kept.sum())
    assert set(stayed) >= {0, 1, 2, 3, 4}, "of some rooms all walls stay, of some none"


def test_a_room_that_holds_everything_is_as_drawn() -> None:
    room = replace(
        sample_room(ROOMS, "train", 0),
        size=np.array([5.0, 4.0, 2.7]), middle=np.array([0.5, -0.8]), yaw=0.9,
    )  # fmt: skip
    boxes = placed([room], np.array([[1.5, -1.5, 1.6]]), np.array([[0.5, 0.4, 1.8]]))
    np.testing.assert_allclose(boxes.centre[0, 0], [0.5, -0.8, 1.35], atol=1e-6)
    np.testing.assert_allclose(boxes.half[0, 0], [5.0, 4.0, 1.35], atol=1e-6)
    np.testing.assert_allclose(boxes.turn[0, 0], [np.cos(0.9), np.sin(0.9)], atol=1e-6)


def test_only_the_wall_behind_the_camera_is_moved() -> None:
    room = replace(
        sample_room(ROOMS, "train", 0),
        size=np.array([3.0, 2.0, 2.7]), middle=np.zeros(2), yaw=0.0,
    )  # fmt: skip
    boxes = placed([room], np.array([[4.0, 0.5, 1.6]]), np.array([[0.5, 0.4, 1.8]]))
    low, high = sides(boxes, 0, room)
    np.testing.assert_allclose(low, [-3.0, -2.0], atol=1e-6)
    np.testing.assert_allclose(high, [4.0 + MARGIN, 2.0], atol=1e-6)
