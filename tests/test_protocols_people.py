"""The four protocols on rendered people, on their smoke data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kpbench.api import EvaluationProtocol, Splits
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.skeleton import COCO_17, JOINTS, OPENPOSE_18
from kpbench.registry import load_protocol

NAMES = ("people_background", "people_plain", "people_fashion", "people_taichi")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Splits]:
    """Return the smoke data of all four."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {name: people(name).splits("smoke") for name in NAMES}


def people(name: str) -> PeopleProtocol:
    protocol = load_protocol(name)
    assert isinstance(protocol, PeopleProtocol) and isinstance(protocol, EvaluationProtocol)
    return protocol


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_person_and_no_image(smoke: dict[str, Splits], name: str) -> None:
    splits = smoke[name]
    assert splits.validation is not None
    parts = [splits.regression, splits.test, splits.validation]
    assert [len(part) for part in parts] == [48, 24, 16]
    for i, one in enumerate(parts):
        for other in parts[i + 1 :]:
            assert one.groups is not None and other.groups is not None
            assert not set(one.groups) & set(other.groups)
            images = {image.tobytes() for image in one.images.images}
            assert not images & {image.tobytes() for image in other.images.images}


@pytest.mark.parametrize("name", NAMES)
def test_discovery_is_the_regression_images(smoke: dict[str, Splits], name: str) -> None:
    splits = smoke[name]
    assert (splits.discovery.images == splits.regression.images.images).all()
    assert splits.discovery.signals == ("depth", "mask")
    assert people(name).sizes("smoke") == {
        "discovery": 48,
        "regression": 48,
        "test": 24,
        "pixels": 32,
    }


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_inside_of_the_image_and_near_the_person(
    smoke: dict[str, Splits], name: str
) -> None:
    for part in (smoke[name].regression, smoke[name].test):
        seen = part.landmarks[part.visible]
        assert seen.min() > 0 and seen.max() < 1
        assert (part.landmarks[~part.visible] == 0).all()
        mask = part.images.mask
        assert mask is not None
        rows, columns = [np.nonzero(mask.any(axis))[1] for axis in (2, 1)]
        images = np.nonzero(mask.any(1))[0]
        for i in range(len(part)):
            x = columns[images == i]
            points = part.landmarks[i][part.visible[i]] * 32
            assert points[:, 0].min() > x.min() - 2 and points[:, 0].max() < x.max() + 3
        assert len(rows)


def test_every_joint_has_a_label_except_in_taichi(smoke: dict[str, Splits]) -> None:
    for name in NAMES[:3]:
        assert smoke[name].regression.visible.all() and smoke[name].test.visible.all()
    visible = smoke["people_taichi"].regression.visible
    assert 0.4 < visible.mean() < 0.95 and visible.any(0).all()


def test_roles_and_landmarks() -> None:
    expected = {
        "people_background": ("human36m", 16, JOINTS, True, "autolink"),
        "people_plain": ("human36m", 16, JOINTS, False, "autolink"),
        "people_fashion": ("deepfashion", 16, COCO_17, True, "autolink"),
        "people_taichi": ("taichi", 10, OPENPOSE_18, True, "siarohin"),
    }
    for name, (role, k, landmarks, default, evaluator) in expected.items():
        p = people(name)
        assert (p.role, p.n_keypoints, tuple(p.landmarks), p.default) == (
            role,
            k,
            landmarks,
            default,
        )
        assert p.evaluator == f"{name}/{evaluator}"
        assert p.evaluator in [spec.name for spec in p.evaluators]


def test_plain_shows_the_people_of_background(smoke: dict[str, Splits]) -> None:
    a, b = smoke["people_background"].test, smoke["people_plain"].test
    assert (a.landmarks == b.landmarks).all() and a.groups is not None
    assert (a.images.images != b.images.images).any()


def test_frames_come_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path))
    protocol = people("people_plain")
    without = protocol.splits("smoke")
    assert without.discovery.frames is None and not list(tmp_path.rglob("*second*"))
    frames = protocol.splits("smoke", signals=("frames",))
    assert (frames.discovery.images == without.discovery.images).all()
    assert frames.discovery.frames is not None
    differ = (frames.discovery.frames != frames.discovery.images).any((1, 2, 3))
    assert differ.all()


def test_validation_and_joints_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path))
    protocol = people("people_fashion")
    validation = protocol.validation("smoke")
    assert len(validation) == 16
    joints = protocol.joints("smoke", "validation")
    assert joints.shape == (16, 17, 3) and (joints[..., 2] > 0).all()


def test_fingerprints_tell_everything_apart() -> None:
    found = {people(name).fingerprint(r) for name in NAMES for r in ("smoke", "quick", "paper")}
    assert len(found) == 12


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no signal 'flow'; it has: depth, mask, frames"):
        people("people_plain").splits("smoke", signals=("flow",))  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="did you mean quick"):
        people("people_plain").splits("quik")  # type: ignore[arg-type]
