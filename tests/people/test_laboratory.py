"""The laboratory: one room for everybody and every split, seen by four cameras that do not move.

A scene is described around its person. Turned and shifted back by where the walls are, everything
but the person must be where it is in all other scenes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans

from kpbench.api import Array
from kpbench.people.body.shape import BodyModel
from kpbench.people.picture.render import Renderer
from kpbench.people.scene import sampler
from kpbench.people.scene.laboratory import AREA, CAMERAS, SIZE, Standpoint, standpoint
from kpbench.people.scene.room import Boxes, look, place_boxes
from kpbench.people.scene.sampler import (
    SPLITS,
    Room,
    Scene,
    Split,
    sample_room,
    sample_scene,
    scene_texels,
)
from kpbench.people.scene.stage import Stage, set_stage

from .settings import LABORATORY

N = 96
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Taken:
    """N items: how each room is turned, (N, 3, 3), and where its person stands in it, (N, 3)."""

    scenes: list[Scene]
    rooms: list[Room]
    stage: Stage
    boxes: Boxes
    turn: Array
    place: Array

    def into_room(self, vectors: Array) -> Array:
        """Return directions (N, ..., 3) around the person in axes of the room."""
        return np.asarray(np.einsum("nij,n...i->n...j", self.turn, vectors))


def turns(yaw: ArrayLike) -> Array:
    """Return the (N, 3, 3) turns about the vertical by (N,) radians."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    zero, one = np.zeros_like(cos), np.ones_like(cos)
    rows = [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]
    return np.moveaxis(np.array(rows), -1, 0)


@pytest.fixture(scope="module")
def taken() -> Taken:
    splits: tuple[Split, ...] = SPLITS
    items = [(splits[i % 3], i) for i in range(N)]
    scenes = [sample_scene(LABORATORY, *item) for item in items]
    rooms = [sample_room(LABORATORY, *item) for item in items]
    stage = set_stage(scenes, BodyModel(CPU), CPU)
    turn = turns([room.yaw for room in rooms])
    middle = np.array([[*room.middle, 0.0] for room in rooms])
    place = -np.einsum("nij,ni->nj", turn, middle)
    return Taken(scenes, rooms, stage, place_boxes(rooms, stage.camera, stage.extent), turn, place)


def cameras_of(taken: Taken) -> tuple[Array, Array]:
    """Return position (N, 3) and axes (N, 3, 3) of the cameras in the room."""
    camera = taken.stage.camera
    position = taken.into_room(camera.position.double().numpy()) + taken.place
    return position, taken.into_room(camera.rotation.double().numpy())


def clusters(values: Array) -> Array:
    """Return numbers (N,) of the groups of equal rows, up to a hundredth of a millimetre."""
    rows = np.round(values.reshape(len(values), -1), 5)
    number = np.full(len(rows), -1)
    for i, row in enumerate(rows):
        if number[i] < 0:
            number[np.abs(rows - row).max(1) < 5e-5] = number.max() + 1
    return number


def test_four_cameras_stand_still_in_the_room(taken: Taken) -> None:
    position, axes = cameras_of(taken)
    by_place, by_axes = clusters(position), clusters(axes)
    assert sorted(set(by_place)) == sorted(set(by_axes)) == [0, 1, 2, 3]
    assert (by_place == by_axes).all()
    assert np.bincount(by_place).min() > N / 4 / 3, "all take pictures"
    assert {tuple(p) for p in position[:, :2].round(4)} == {tuple(p) for p in CAMERAS}
    level = axes[:, 2, :2] / np.linalg.norm(axes[:, 2, :2], axis=1, keepdims=True)
    towards = -position[:, :2] / np.linalg.norm(position[:, :2], axis=1, keepdims=True)
    np.testing.assert_allclose(level, towards, atol=1e-5)  # to the middle of the room
    assert (axes[:, 1, 2] < -0.95).all(), "the right way up"
    assert (np.abs(position) < np.array(SIZE)).all()


def test_fixed_points_of_the_room_are_seen_in_the_same_direction(taken: Taken) -> None:
    """By each camera, whatever the crop: points on walls, ceiling and floor, and their depths."""
    points = np.array([[-3.2, -5.6, 0.0], [3.2, -2.0, 1.5], [0.3, 5.6, 2.9], [1.0, -0.4, 0.0]])
    around = np.einsum("nij,nmj->nmi", taken.turn, points - taken.place[:, None])
    camera = taken.stage.camera
    seen = camera.project(torch.as_tensor(around, dtype=torch.float32))
    sight = np.concatenate([camera.rays(seen[..., :2])[..., :2], seen[..., 2:]], -1)
    number = clusters(cameras_of(taken)[0])
    for one in range(4):
        same = sight[number == one]
        np.testing.assert_allclose(same, np.tile(same[0], (len(same), 1, 1)), rtol=1e-3, atol=1e-4)
    assert seen[..., 0].std(0).min() > 0.3, "crops show them here and there"


def test_walls_furniture_and_light_stand_still_in_the_room(taken: Taken) -> None:
    first = taken.rooms[0]
    still = taken.into_room(np.array([r.centres for r in taken.rooms])) + taken.place[:, None]
    np.testing.assert_allclose(still, np.tile(still[0], (N, 1, 1)), atol=1e-9)
    sun = taken.into_room(np.array([scene.light.direction for scene in taken.scenes]))
    np.testing.assert_allclose(sun, np.tile(sun[0], (N, 1)), atol=1e-9)
    for room, scene in zip(taken.rooms, taken.scenes, strict=True):
        np.testing.assert_allclose(room.yaws - room.yaw, first.yaws - first.yaw, atol=1e-9)
        np.testing.assert_array_equal(room.halves, first.halves)
        np.testing.assert_array_equal(scene.light.sun, taken.scenes[0].light.sun)
        np.testing.assert_array_equal(scene.light.ambient, taken.scenes[0].light.ambient)


def test_no_wall_is_moved_and_nothing_is_taken_away_that_would_be_seen(taken: Taken) -> None:
    """Rooms of their own may grow around a camera and lose furniture; this one must not."""
    boxes = taken.boxes
    x, y, height = SIZE
    half = torch.tensor([x, y, height / 2])
    torch.testing.assert_close(boxes.half[:, 0], half.expand(N, 3), atol=1e-5, rtol=0)
    middle = np.array([[*room.middle, height / 2] for room in taken.rooms])
    np.testing.assert_allclose(boxes.centre[:, 0], middle, atol=1e-5)
    everything = replace(boxes, present=torch.ones_like(boxes.present))
    assert not boxes.present.all()
    seen, whole = (look(some, taken.stage.camera, 24) for some in (boxes, everything))
    assert (seen.box == whole.box).all()
    assert len(set(seen.box.flatten().tolist()) - {0}) >= 3, "furniture is seen"


def test_people_stand_anywhere_in_the_middle_and_face_any_way() -> None:
    rooms = [sample_room(LABORATORY, "train", i) for i in range(600)]
    yaw = np.array([room.yaw for room in rooms])
    turn = turns(yaw)
    place = -np.einsum("nij,ni->nj", turn, np.array([[*room.middle, 0.0] for room in rooms]))
    assert (np.abs(place[:, :2]) <= AREA).all()
    np.testing.assert_allclose(place[:, :2].std(0), AREA / np.sqrt(3), rtol=0.1)  # evenly
    for harmonic in (1, 2, 3, 4):
        assert abs(np.exp(1j * harmonic * yaw).mean()) < 0.13
    azimuth = np.array([sample_scene(LABORATORY, "train", i).view.azimuth for i in range(600)])
    assert abs(np.exp(1j * azimuth).mean()) < 0.13, "seen from the person, cameras are anywhere"


def test_each_split_has_its_own_standpoints() -> None:
    yaws = [{sample_room(LABORATORY, split, i).yaw for i in range(50)} for split in SPLITS]
    assert len(set.union(*yaws)) == 150


@pytest.mark.parametrize("split", SPLITS)
def test_the_room_of_every_split_looks_the_same(split: Split) -> None:
    first, room = sample_room(LABORATORY, "train", 0), sample_room(LABORATORY, split, 5)
    own, train = scene_texels(LABORATORY, split), scene_texels(LABORATORY, "train")
    for name in ("textures", "box_textures"):
        np.testing.assert_array_equal(own[getattr(room, name)], train[getattr(first, name)])
    np.testing.assert_array_equal(room.texture_scale, first.texture_scale)


def test_the_room_is_the_same_at_every_attempt_and_another_for_another_seed() -> None:
    room = sample_room(LABORATORY, "test", 3)
    for field in fields(Room):
        again = sample_room(LABORATORY, "test", 3, attempt=2)
        np.testing.assert_array_equal(getattr(room, field.name), getattr(again, field.name))
    other = sample_room(replace(LABORATORY, seed=1), "test", 3)
    assert not np.array_equal(other.halves, room.halves)


def explained_by_four() -> float:
    """Return which share of the backgrounds' variance four clusters of pictures explain."""
    chunks = Renderer(LABORATORY, "test", 32, CPU).chunks(range(5))
    images = np.concatenate([chunk.images for chunk in chunks]).astype(float)
    behind = ~np.concatenate([chunk.mask for chunk in chunks])[..., None]
    mean = (images * behind).sum(0) / np.maximum(behind.sum(0), 1)
    off = np.where(behind, images - mean, 0).reshape(len(images), -1)
    found = KMeans(4, n_init=5, random_state=0).fit(off)
    return 1 - float(found.inertia_) / float((off**2).sum())


def test_no_four_backgrounds_explain_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they would if crops did not move with people who stand anywhere in the room."""
    assert explained_by_four() < 0.33

    def on_one_spot(rng: np.random.Generator) -> Standpoint:
        return replace(standpoint(rng), place=np.zeros(2))

    monkeypatch.setattr(sampler, "standpoint", on_one_spot)
    assert explained_by_four() > 0.4
