"""The studio: one room for everybody and every split, seen by four cameras that do not move."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kpbench.people.picture.render import Renderer
from kpbench.people.scene.sampler import (
    SPLITS,
    PeopleSettings,
    sample_room,
    sample_scene,
    scene_texels,
)
from kpbench.people.scene.studio import CAMERAS

STUDIO = PeopleSettings("room", upright=True, studio=True)
N = 40


def about_vertical(points: np.ndarray, angle: float) -> np.ndarray:
    x, y = points[..., 0], points[..., 1]
    turned = (x + 1j * y) * np.exp(1j * angle)
    return np.stack([turned.real, turned.imag, points[..., 2]], axis=-1)


def test_in_the_room_the_cameras_and_all_else_stand_still() -> None:
    """Turned back by what the walls are turned, furniture, light and camera are the same."""
    rooms = [sample_room(STUDIO, "train", i) for i in range(N)]
    scenes = [sample_scene(STUDIO, "train", i) for i in range(N)]
    yaw = rooms[0].yaw
    places = set()
    for room, scene in zip(rooms, scenes, strict=True):
        back = yaw - room.yaw
        np.testing.assert_allclose(about_vertical(room.centres, back), rooms[0].centres, atol=1e-9)
        sun = about_vertical(scene.light.direction, back)
        np.testing.assert_allclose(sun, scenes[0].light.direction, atol=1e-9)
        np.testing.assert_allclose(room.yaws + back, rooms[0].yaws)
        places.add(round((scene.view.azimuth + back - scenes[0].view.azimuth) % math.tau, 6))
        assert scene.view.elevation == scenes[0].view.elevation
    quarter = math.pi / 2
    assert {round(place / quarter, 4) % 4 for place in places} == {0, 1, 2, 3}
    assert len(CAMERAS) == 4


def test_people_still_face_every_way() -> None:
    azimuths = np.array([sample_scene(STUDIO, "train", i).view.azimuth for i in range(400)])
    assert abs(np.exp(1j * azimuths).mean()) < 0.15


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_is_in_the_same_room(split: str) -> None:
    first = sample_room(STUDIO, "train", 0)
    room = sample_room(STUDIO, split, 5)  # type: ignore[arg-type]
    texels = scene_texels(STUDIO, split)  # type: ignore[arg-type]
    for own, other in ((room.textures, first.textures), (room.box_textures, first.box_textures)):
        np.testing.assert_array_equal(texels[own], scene_texels(STUDIO, "train")[other])


def test_with_and_without_background_the_people_are_the_same() -> None:
    settings = (STUDIO, PeopleSettings("grey", upright=True, studio=True))
    room, grey = (Renderer(s, "test", 32, torch.device("cpu")).chunk(0) for s in settings)
    np.testing.assert_array_equal(room.landmarks, grey.landmarks)
    np.testing.assert_array_equal(room.mask, grey.mask)
    assert (room.images != grey.images).any(axis=-1)[~room.mask].mean() > 0.9
