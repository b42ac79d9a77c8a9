"""The four protocols on rendered people, on their smoke data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from kpbench.api import Array, EvaluationProtocol, Labelled, Splits
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.people.body.skeleton import COCO_17, JOINTS, OPENPOSE_18
from kpbench.people.protocol import PeopleProtocol
from kpbench.registry import load_protocol

NAMES = (
    "people_background", "people_plain", "people_fashion", "people_taichi", "people_rooms"
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Render into one temporary cache for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("KPBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def smoke(cache: Path) -> dict[str, Splits]:
    """Return the smoke data of all four."""
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
    assert [len(part) for part in parts] == [96, 24, 16]
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
        "discovery": 96,
        "regression": 96,
        "test": 24,
        "pixels": 32,
    }


def share_on_people(part: Labelled, points: Array) -> float:
    """Return the share of visible points within two pixels of the mask."""
    assert part.images.mask is not None
    near = binary_dilation(part.images.mask, np.ones((1, 5, 5), bool))
    column, row = (points[part.visible] * near.shape[1]).astype(int).T
    return float(near[np.nonzero(part.visible)[0], row, column].mean())


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_inside_of_the_image_and_on_the_person(
    smoke: dict[str, Splits], name: str
) -> None:
    for part in (smoke[name].regression, smoke[name].test):
        seen = part.landmarks[part.visible]
        assert seen.min() > 0 and seen.max() < 1
        assert (part.landmarks[~part.visible] == 0).all()
        right_way = share_on_people(part, part.landmarks)
        assert right_way > 0.95
        assert share_on_people(part, part.landmarks[..., ::-1]) < right_way - 0.2, "x before y"


def test_every_joint_has_a_label_except_in_taichi(smoke: dict[str, Splits]) -> None:
    for name in NAMES[:3]:
        assert smoke[name].regression.visible.all() and smoke[name].test.visible.all()
    visible = smoke["people_taichi"].regression.visible
    assert 0.4 < visible.mean() < 0.95 and visible.any(0).all()


def test_roles_and_landmarks() -> None:
    expected = {
        "people_background": ("human36m_background", 16, JOINTS, True, "autolink"),
        "people_plain": ("human36m", 16, JOINTS, False, "autolink"),
        "people_fashion": ("deepfashion", 16, COCO_17, True, "autolink"),
        "people_taichi": ("taichi", 10, OPENPOSE_18, False, "siarohin"),
        "people_rooms": ("human36m_background", 16, JOINTS, False, "autolink"),
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


def test_frames_come_only_when_asked_for(smoke: dict[str, Splits], cache: Path) -> None:
    without = smoke["people_plain"]
    assert without.discovery.frames is None and not list(cache.rglob("*second*"))
    frames = people("people_plain").splits("smoke", signals=("frames",))
    assert (frames.discovery.images == without.discovery.images).all()
    assert frames.discovery.frames is not None
    differ = (frames.discovery.frames != frames.discovery.images).any((1, 2, 3))
    assert differ.all()


def test_validation_and_joints_on_demand(smoke: dict[str, Splits]) -> None:
    protocol = people("people_fashion")
    assert len(protocol.validation("smoke")) == 16
    joints = protocol.joints("smoke", "validation")
    assert joints.shape == (16, 17, 3) and (joints[..., 2] > 0).all()


def test_fingerprints_tell_everything_apart() -> None:
    found = {people(name).fingerprint(r) for name in NAMES for r in ("smoke", "quick", "paper")}
    assert len(found) == 15


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no signal 'flow'; it has: depth, mask, frames"):
        people("people_plain").splits("smoke", signals=("flow",))  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="did you mean quick"):
        people("people_plain").splits("quik")


def test_validation_takes_the_place_of_test_when_asked() -> None:
    from kpbench.data.variants import configured

    protocol, said = configured("people_taichi", {"split": "validation"})
    plain, nothing = configured("people_taichi", {"split": "test"})
    assert said == {"split": "validation"} and nothing == {}
    assert protocol.sizes("quick")["test"] == plain.sizes("quick")["test"] == 300
    assert protocol.fingerprint("smoke") != plain.fingerprint("smoke")
    tuned, tested = protocol.splits("smoke"), plain.splits("smoke")
    assert tested.validation is not None
    assert (tuned.test.images.images == tested.validation.images.images).all()
    assert (tuned.discovery.images == tested.discovery.images).all()
    with pytest.raises(UnknownNameError, match="value of split called 'train'"):
        configured("people_taichi", {"split": "train"})
