"""Rendered chunks: alignment of labels, hidden people, frame pairs, equal bytes."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from kpbench.api import Array
from kpbench.people.body.skeleton import JOINTS
from kpbench.people.dataset import RenderedSet
from kpbench.people.parallel import render_chunks
from kpbench.people.picture import pictures
from kpbench.people.picture.lighting import ShadowMap
from kpbench.people.picture.render import CHUNK, GAMMA, VISIBLE_WITHIN, Chunk, Renderer
from kpbench.people.scene.sampler import PeopleSettings, Split

from .settings import CROWDED, GREY, LABORATORY, LIGHT, ROOMS

CPU = torch.device("cpu")
WIDE = np.ones((7, 7), bool)
"""Three pixels: a finger thinner than a pixel tints pixels that are not in the mask."""


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def chunk(settings: PeopleSettings, number: int = 0, moment: int = 0, pixels: int = 32) -> Chunk:
    return Renderer(settings, "train", pixels, CPU).chunk(number, moment)


def digest(*chunks: Chunk) -> str:
    found = hashlib.sha256()
    for one in chunks:
        for field in fields(one):
            found.update(getattr(one, field.name).tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def room() -> Chunk:
    return chunk(LABORATORY, pixels=48)


@pytest.fixture(scope="module")
def grey() -> Chunk:
    return chunk(GREY, pixels=48)


def centroid(weight: Array) -> Array:
    """Return the centre of mass in pixels, (x, y), pixel i having its centre at i + 0.5."""
    middle = np.arange(weight.shape[0]) + 0.5
    return np.array([weight.sum(0) @ middle, weight.sum(1) @ middle] / weight.sum())


def test_mask_and_colour_have_no_subpixel_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    def white(colour: torch.Tensor, *rest: object) -> torch.Tensor:
        return torch.ones_like(colour)

    monkeypatch.setattr(pictures, "shade_body", white)
    renderer = Renderer(GREY, "train", 64, CPU)
    chunks = renderer.chunks(range(4))
    masks = np.concatenate([one.mask for one in chunks])
    linear = np.concatenate([(one.images[..., 0] / 255) ** GAMMA for one in chunks])
    background = linear[0, 0, 0]
    coverage = (linear - background) / (1 - background)
    assert coverage.min() == 0 and coverage.max() == 1
    shifts = np.array(
        [centroid(m * 1.0) - centroid(c) for m, c in zip(masks, coverage, strict=True)]
    )
    assert np.abs(shifts.mean(0)).max() < 0.05  # one image varies: a limb is few pixels wide
    for axis in (1, 2):
        # what moves by s changes by -s times its gradient
        slope = np.gradient(coverage, axis=axis)
        shift = -((masks - coverage) * slope).sum() / (slope**2).sum()
        assert abs(shift) < 0.02


def test_labels_are_of_the_joints_of_the_mask() -> None:
    chunks = Renderer(GREY, "train", 48, CPU).chunks(range(4))
    masks = np.concatenate([one.mask for one in chunks])
    landmarks = np.concatenate([one.landmarks for one in chunks])
    column, row = np.moveaxis((landmarks * masks.shape[1]).astype(int), -1, 0)
    on = [m[r, c] for m, r, c in zip(masks, row, column, strict=True)]
    near = [binary_dilation(m, WIDE)[r, c] for m, r, c in zip(masks, row, column, strict=True)]
    assert np.mean(on) > 0.9 and np.all(near)


def test_joints_are_depths_of_the_same_camera_as_the_landmarks(grey: Chunk) -> None:
    for landmarks, joints in zip(grey.landmarks, grey.joints, strict=True):
        plane = joints[:, :2] / joints[:, 2:]
        centred = plane - plane.mean(0)
        focal = (centred * (landmarks - landmarks.mean(0))).sum() / (centred**2).sum()
        rebuilt = plane * focal + (landmarks - plane * focal).mean(0)
        np.testing.assert_allclose(rebuilt, landmarks, atol=1e-5)
        assert focal > 0 and (joints[:, 2] > 0.5).all()


def test_bodies_have_human_proportions(grey: Chunk) -> None:
    def bone(a: str, b: str) -> Array:
        ends = [grey.joints[:, JOINTS.index(name)] for name in (a, b)]
        return np.asarray(np.linalg.norm(ends[0] - ends[1], axis=1))

    for side in "lr":
        thigh, shin = bone(f"{side}_hip", f"{side}_knee"), bone(f"{side}_knee", f"{side}_ankle")
        assert ((thigh > 0.3) & (thigh < 0.6) & (shin > 0.3) & (shin < 0.6)).all()
    np.testing.assert_allclose(bone("l_knee", "l_ankle"), bone("r_knee", "r_ankle"), rtol=0.02)


def test_depth_is_of_the_visible_surface_before_a_joint(grey: Chunk) -> None:
    size = grey.mask.shape[1]
    column, row = np.moveaxis((grey.landmarks * size).astype(int), -1, 0)
    depth = np.stack([d[r, c] for d, r, c in zip(grey.depth, row, column, strict=True)]) / 1000
    behind = grey.joints[..., 2] - depth
    seen = grey.visible & (depth > 0)
    assert seen.mean() > 0.5
    torso = [JOINTS.index(name) for name in ("pelvis", "spine", "thorax", "l_knee", "r_knee")]
    assert np.median(behind[:, torso][seen[:, torso]]) > 0.02, "joints lie inside of the body"
    limits = np.array(VISIBLE_WITHIN) * 1.2 + 0.03
    share = (behind < limits)[seen].mean()
    assert share > 0.97
    assert 0.4 < grey.visible.mean() < 0.95


def test_mask_and_depth_agree(grey: Chunk, room: Chunk) -> None:
    assert ((grey.depth > 0) == grey.mask).all()
    assert (room.depth > 0).all()
    assert (room.mask.mean((1, 2)) > 0.02).all()
    # furniture rounds nothing: where both show the person, the distance is the same
    both = grey.mask & room.mask
    assert (grey.depth[both] == room.depth[both]).mean() > 0.999


def test_the_same_people_stand_in_the_laboratory_and_before_grey(grey: Chunk, room: Chunk) -> None:
    for name in ("landmarks", "joints", "groups"):
        assert (getattr(grey, name) == getattr(room, name)).all()
    assert not (room.mask & ~grey.mask).any()
    outside = ~np.stack([binary_dilation(m, WIDE) for m in grey.mask])
    assert (grey.images[outside] == 128).all()
    assert room.images[outside].std() > 20


def test_a_light_background_has_a_tint_of_its_own_for_every_image() -> None:
    found = chunk(LIGHT)
    corners = found.images[:, 0, 0]
    assert (corners >= 190).all() and len(np.unique(corners, axis=0)) == CHUNK


@pytest.mark.parametrize("number", [0, 2])
def test_nobody_is_nearly_hidden(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = chunk(LIGHT, number).mask.sum((1, 2))

    def shares() -> Array:
        return np.asarray(chunk(CROWDED, number).mask.sum((1, 2)) / alone)

    accepted = shares()
    assert accepted.min() > pictures.LEAST_VISIBLE - 0.05  # counted in samples, checked in pixels
    assert accepted.min() < 0.95, "something does stand before somebody"
    assert digest(chunk(CROWDED, number)) == digest(chunk(CROWDED, number))
    monkeypatch.setattr(pictures, "LEAST_VISIBLE", 0.0)
    assert shares().min() < 0.4, "without the rule somebody would be hidden"


def test_a_room_that_keeps_hiding_its_person_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LEAST_VISIBLE", 1.1)
    found = chunk(CROWDED)
    assert (found.mask == chunk(LIGHT).mask).all()


@pytest.mark.parametrize("settings", [GREY, ROOMS])
def test_both_frames_of_a_pair_share_one_camera(
    settings: PeopleSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fully(self: ShadowMap, image: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(point[0])

    monkeypatch.setattr(ShadowMap, "lit", fully)  # a cast shadow moves with its person
    first, second = chunk(settings, moment=0), chunk(settings, moment=1)
    around = np.stack([binary_dilation(m, WIDE) for m in first.mask | second.mask])
    assert (first.images[~around] == second.images[~around]).all()
    assert (first.depth[~around] == second.depth[~around]).all()
    assert (first.groups == second.groups).all()
    moved = (first.mask != second.mask).mean((1, 2))
    assert (moved > 0).all() and np.median(moved) > 0.01
    for one in (first, second):
        assert one.landmarks.min() > 0 and one.landmarks.max() < 1


def test_equal_bytes_again_and_in_any_order() -> None:
    renderer = Renderer(ROOMS, "train", 48, CPU)
    last, first = renderer.chunk(3), renderer.chunk(0)
    assert digest(first) == digest(chunk(ROOMS, pixels=48))
    torch.set_num_threads(2)
    assert digest(Renderer(ROOMS, "train", 48, CPU).chunk(3)) == digest(last)
    assert digest(first) != digest(last)


def test_equal_bytes_with_one_worker_and_two() -> None:
    wanted = RenderedSet(replace(ROOMS, occluders=0.5), "test", 40, 24)
    one = list(render_chunks(wanted, [0, 1, 2], workers=1))
    two = list(render_chunks(wanted, [0, 1, 2], workers=2))
    assert [digest(c) for c in one] == [digest(c) for c in two]
    assert digest(*render_chunks(wanted, [2], workers=1)) == digest(one[2])


def test_threads_of_torch_are_given_back() -> None:
    torch.set_num_threads(2)
    rendered = render_chunks(RenderedSet(GREY, "test", 32, 16), [0, 1], workers=2)
    next(rendered)
    rendered.close()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_splits_show_different_people(split: Split, grey: Chunk) -> None:
    found = Renderer(GREY, split, 16, CPU).chunk(0)
    assert len(set(found.groups)) == CHUNK // 4
    if split != "train":
        assert not set(found.groups) & set(grey.groups)
        assert (np.abs(found.landmarks - grey.landmarks).max((1, 2)) > 0.02).all()


def test_nobody_wears_skin() -> None:
    from kpbench.people.scene.sampler import sample_identity, texture_bank

    bank = texture_bank(0, "train")
    for number in range(0, 300, 3):
        person = sample_identity(GREY, "train", number)
        hue = person.skin / person.skin.sum()
        assert (np.linalg.norm(bank.chromaticity[person.textures] - hue, axis=1) > 0.11).all()
