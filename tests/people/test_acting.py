"""What people do: shares of recorded angles, headings, paths, resting arms, halves of the clips."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch

from kpbench.api import Array
from kpbench.people.body import acting
from kpbench.people.body.acting import ACTIONS, CLIPS, Acting, Action, Half, act
from kpbench.people.body.assets import load_clips
from kpbench.people.body.motion import FRAME_STRIDE, Motion, motion
from kpbench.people.body.pose import bone_rotations
from kpbench.people.body.rotations import to_rotation_vector
from kpbench.people.body.shape import BodyModel
from kpbench.people.body.skeleton import JOINTS
from kpbench.people.scene.sampler import SPLITS, sample_scene

from .settings import GREY

ACTINGS: tuple[Acting, ...] = get_args(Acting)
HALVES: tuple[Half, ...] = get_args(Half)
LEGS, ARMS = ("r_hip", "l_knee", "r_ankle", "l_hip"), ("chest", "neck", "l_shoulder", "r_elbow")
N = 60


def angle(rotation: Array) -> Array:
    return np.asarray(np.linalg.norm(to_rotation_vector(rotation), axis=-1))


def heading(root: Array) -> Array:
    """Return the angle from -y to where roots (..., 3, 3) look, seen from above."""
    x, y, _ = np.moveaxis(-root[..., 1], -1, 0)
    return np.asarray(np.arctan2(x, -y))


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that draws one action alone, `count` times."""

    def draw(action: Action, count: int = N, half: Half = "train") -> list[Motion]:
        monkeypatch.setattr(acting, "ACTIONS", {"everyday": {"it": action}})
        return [act(np.random.default_rng(i), "everyday", half)[0] for i in range(count)]

    return draw


def recording(found: Motion, joints: tuple[str, ...], half: Half) -> Motion:
    """Return the recorded pair of frames that the joints were taken from."""
    for clip in (name for pool in CLIPS[half].values() for name in pool):
        for mirrored in (False, True):
            whole = motion(clip, mirrored)
            off = sum(np.abs(whole.local[j] - found.local[j][0]).max((1, 2)) for j in joints)
            first = int(np.argmin(off))
            if np.asarray(off)[first] < 1e-6:
                return whole.at(np.array([first, first + FRAME_STRIDE]))
    raise AssertionError("not as recorded")


def test_halves_share_no_clip_and_know_their_pools() -> None:
    clips = {half: {clip for pool in CLIPS[half].values() for clip in pool} for half in HALVES}
    assert not clips["train"] & clips["test"]
    for half in HALVES:
        assert clips[half] <= set(load_clips())
        assert sum(len(pool) for pool in CLIPS[half].values()) == len(clips[half])
        for action in (a for actions in ACTIONS.values() for a in actions.values()):
            assert CLIPS[half][action.legs] and CLIPS[half][action.arms]
    assert {split: GREY.half(split) for split in SPLITS} == {
        "train": "train", "test": "test", "validation": "train"
    }  # fmt: skip
    assert set(GREY.clips("test")) == clips["test"]
    assert set(GREY.clips("validation")) == clips["train"]


@pytest.mark.parametrize("half", HALVES)
def test_motion_comes_from_the_clips_of_the_half(only: Any, half: Half) -> None:
    other: Half = "test" if half == "train" else "train"
    for found in only(Action("walks", "gestures", (1, 1), (1, 1), jitter=0), 12, half):
        recording(found, LEGS, half)
        recording(found, ARMS, half)
        with pytest.raises(AssertionError, match="not as recorded"):
            recording(found, LEGS, other)


def test_a_share_of_nothing_stands_with_hanging_limbs(only: Any) -> None:
    [found] = only(Action("gestures", "gestures", (0, 0), (0, 0), jitter=0), 1)
    for rotation in found.local.values():
        np.testing.assert_allclose(rotation, np.tile(np.eye(3), (2, 1, 1)), atol=1e-12)
    assert (found.position == 0).all()
    model = BodyModel(torch.device("cpu"))
    rest = model.shape(torch.zeros(2, 10))
    rotations = bone_rotations(
        found.local,
        rest.heads.numpy(),
        np.zeros((2, 2)),
        bones=model.data.bones,
        parents=model.data.parents.tolist(),
    )
    joints = model.pose(rest, torch.as_tensor(rotations)).joints[0].numpy()
    place = dict(zip(JOINTS, joints, strict=True))
    for side in "lr":
        for limb in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            upper, middle, lower = (place[f"{side}_{name}"] for name in limb)
            for a, b in ((upper, middle), (middle, lower)):
                assert a[2] - b[2] > 0.98 * np.linalg.norm(a - b), limb
    assert place["nose"][1] < place["l_ear"][1], "faces -y"


def test_a_share_of_one_is_the_recording(only: Any) -> None:
    for found in only(Action("walks", "gestures", (1, 1), (1, 1), jitter=0), 12):
        legs, arms = (recording(found, joints, "train") for joints in (LEGS, ARMS))
        for joint, rotation in found.local.items():
            if joint != "root":
                source = legs if joint.split("_")[-1] in ("hip", "knee", "ankle") else arms
                np.testing.assert_allclose(rotation, source.local[joint], atol=1e-6)


def test_root_and_path_are_the_recordings_turned_alike(only: Any) -> None:
    """Seen from the first moment's root, the way to the second is that of the recording."""
    turned = []
    for found in only(Action("walks", "walks", (1, 1), (1, 1), jitter=0), 30):
        recorded = recording(found, LEGS, "train")
        ways = []
        for one in (found, recorded):
            first, second = one.local["root"]
            ways.append(
                np.column_stack([first.T @ second, first.T @ np.diff(one.position, axis=0)[0]])
            )
        np.testing.assert_allclose(ways[0], ways[1], atol=1e-6)
        assert heading(found.local["root"][0]) == pytest.approx(0, abs=1e-6)
        turned.append(float(heading(recorded.local["root"][0])))
        ahead = -np.diff(found.position, axis=0)[0, 1]
        assert ahead > 0.02, "who walks goes where they look"
    assert np.ptp(turned) > 0.5, "the recordings look elsewhere"


@pytest.mark.parametrize("acting", ACTINGS)
def test_at_the_first_moment_everybody_faces_the_same_way(acting: Acting) -> None:
    """Up to what leaning, turned by a share of its angle, and the random turns of the root add."""
    turned = [
        float(heading(act(np.random.default_rng(i), acting, half)[0].local["root"][0]))
        for i in range(150)
        for half in HALVES
    ]
    assert np.abs(turned).max() < 0.35
    assert np.std(turned) < 0.09


def test_angles_and_ways_are_in_proportion_to_the_share(only: Any) -> None:
    whole = only(Action("walks", "gestures", (1, 1), (1, 1), jitter=0))
    for legs, arms in ((0.5, 0.25), (0.3, 0.9)):
        for one, part in zip(
            whole,
            only(Action("walks", "gestures", (legs, legs), (arms, arms), jitter=0)),
            strict=True,
        ):
            for joints, share in ((LEGS, legs), (ARMS, arms)):
                for joint in joints:
                    np.testing.assert_allclose(
                        angle(part.local[joint]), angle(one.local[joint]) * share, atol=1e-6
                    )
            np.testing.assert_allclose(part.position, one.position * legs, atol=1e-9)


def test_one_arm_rests(only: Any) -> None:
    action = Action("walks", "gestures", (0.5, 0.5), (0.8, 0.8), jitter=0)
    both = only(action)
    resting = only(Action("walks", "gestures", (0.5, 0.5), (0.8, 0.8), one_arm=True, jitter=0))
    sides = []
    for one, other in zip(both, resting, strict=True):
        quarter = {
            side: np.allclose(
                angle(other.local[f"{side}_shoulder"]), angle(one.local[f"{side}_shoulder"]) / 4
            )
            for side in "lr"
        }
        [side] = [side for side, rests in quarter.items() if rests]
        sides.append(side)
        np.testing.assert_allclose(
            angle(other.local[f"{side}_elbow"]), angle(one.local[f"{side}_elbow"]) / 4, atol=1e-6
        )
        for joint in one.local:
            if joint not in (f"{side}_shoulder", f"{side}_elbow"):
                np.testing.assert_array_equal(other.local[joint], one.local[joint])
    assert 0.25 < np.mean([side == "l" for side in sides]) < 0.75


def test_random_turns_have_the_named_deviations_and_are_those_of_both_moments(only: Any) -> None:
    found = only(Action("walks", "walks", (0, 0), (0, 0), jitter=0.5), 400)
    for joint in found[0].local:
        turns = np.array([to_rotation_vector(one.local[joint]) for one in found])
        np.testing.assert_allclose(turns[:, 0], turns[:, 1], atol=1e-12)
        wanted = {"chest": 0.035, "neck": 0.075, "l_shoulder": 0.075, "r_elbow": 0.0, "l_knee": 0.0}
        if joint in wanted:
            np.testing.assert_allclose(turns[:, 0].std(0), wanted[joint], rtol=0.15)


@pytest.mark.parametrize("acting", ACTINGS)
def test_all_actions_are_as_frequent(acting: Acting) -> None:
    names = [act(np.random.default_rng(i), acting, "train")[1] for i in range(300)]
    counts = {name: names.count(name) for name in ACTIONS[acting]}
    assert sum(counts.values()) == 300
    assert min(counts.values()) > 0.6 * 300 / len(counts)


def test_people_do_the_same_whatever_is_behind_them() -> None:
    from .settings import LABORATORY, SNAPSHOTS

    for i in (0, 7):
        plain, *others = (sample_scene(s, "test", i) for s in (GREY, LABORATORY, SNAPSHOTS))
        for other in others:
            assert (other.action, other.identity_id) == (plain.action, plain.identity_id)
            np.testing.assert_array_equal(other.identity.shape, plain.identity.shape)
            np.testing.assert_array_equal(other.twist, plain.twist)
            for joint, rotation in plain.poses.local.items():
                np.testing.assert_array_equal(other.poses.local[joint], rotation)
            np.testing.assert_array_equal(other.view.wander, plain.view.wander)
            assert other.view.fill == plain.view.fill
