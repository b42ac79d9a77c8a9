"""Readers of labels: the annotation itself, and the K joints of it that regress best."""

from __future__ import annotations

import importlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpbench import mirrored_pairs
from kpbench.api import Array, FitContext, ImageSet, Labelled, Splits
from kpbench.errors import CheckpointError, ContractError, KpbenchError
from kpbench.registry import load_method
from kpbench.running.image_2d import IMAGE_2D
from kpbench.running.measure import predict
from kpbench.scoring.regression import fit_regressor
from kpbench.testing import check_method, toy_labelled

NAMES = ("nose", "l_hand", "r_hand", "l_foot", "r_foot", "tail")


def plugin(name: str) -> Any:
    found = importlib.import_module(f"kpbench_methods.{name}").PLUGIN
    return found.configured(role="human36m", recipe="quick", overrides={})


def bodies(n: int = 60, seed: int = 0, hidden: float = 0.0) -> Labelled:
    """Six landmarks that follow three hidden causes, loosely; some are not visible."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(0, 0.06, (6, 12))
    points = 0.5 + rng.normal(size=(n, 6)) @ mixing + rng.normal(0, 0.01, (n, 12))
    visible = rng.random((n, 6)) >= hidden
    landmarks = points.clip(0.02, 0.98).reshape(n, 6, 2) * visible[..., None]
    return Labelled(ImageSet(np.zeros((n, 8, 8, 3), np.uint8)), landmarks, visible, names=NAMES)


def fitted(name: str, labelled: Labelled, k: int) -> Any:
    method = plugin(name)
    splits = Splits(labelled.images, labelled, bodies(seed=99))
    found = IMAGE_2D.discovery(splits, method, "bodies")
    method.fit(found, n_keypoints=k, seed=0, context=FitContext())
    return method


def error(points: Array, labelled: Labelled) -> float:
    """Return the squared error of all visible labels, by the library's own regression."""
    seen = labelled.visible
    regressor = fit_regressor(points, labelled.landmarks, seen, bias=False, min_norm=True)
    gap = regressor.predict(points) - labelled.landmarks
    return float((gap**2).sum(-1)[seen].sum())


def chosen(method: Any) -> list[int]:
    found: list[int] = method.state()["chosen"].tolist()
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [("oracle", "other"), ("joint_ceiling", "ceiling"), ("joint_ceiling_unsided", "other")],
)
def test_they_keep_the_contract_and_are_never_ranked(name: str, kind: str) -> None:
    method = load_method(name)
    check_method(method)
    assert (getattr(method, "reference", ""), method.paper) == (kind, "")
    assert IMAGE_2D.supervision(method) == "labels"


@pytest.mark.parametrize("hidden", [0.0, 0.2])
@pytest.mark.parametrize("name", ["joint_ceiling", "joint_ceiling_unsided"])
def test_every_choice_is_the_best_beside_those_before_it(name: str, hidden: float) -> None:
    labelled = bodies(hidden=hidden)
    everything = fitted(name, labelled, 6)
    joints = everything.read(labelled).points[:, np.argsort(chosen(everything))]
    picked = chosen(fitted(name, labelled, 3))
    for at in range(3):
        before = picked[:at]
        errors = {j: error(joints[:, [*before, j]], labelled) for j in set(range(6)) - {*before}}
        assert picked[at] == min(errors, key=lambda j: errors[j])
        assert len({round(value, 9) for value in errors.values()}) > 1


@pytest.mark.parametrize("hidden", [0.0, 0.2])
def test_more_joints_are_never_worse_and_begin_with_the_same(hidden: float) -> None:
    labelled = bodies(hidden=hidden)
    methods = [fitted("joint_ceiling", labelled, k) for k in range(1, 7)]
    errors = [error(method.read(labelled).points, labelled) for method in methods]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(errors))
    assert [chosen(method) for method in methods] == [chosen(methods[-1])[:k] for k in range(1, 7)]


def test_of_two_joints_in_one_place_one_is_enough() -> None:
    labelled = bodies()
    landmarks = np.array(labelled.landmarks)
    landmarks[:, 5] = landmarks[:, 0]
    found = chosen(fitted("joint_ceiling", replace(labelled, landmarks=landmarks), 6))
    assert found[-1] in (0, 5)


def led_by(joint: int, labelled: Labelled) -> Labelled:
    """Return labels of which all but one follow `joint`, loosely; that one is apart."""
    rng = np.random.default_rng(joint)
    lead = rng.uniform(0.1, 0.9, (len(labelled), 1, 2))
    landmarks = lead + rng.normal(0, 0.05, (len(labelled), 6, 2))
    landmarks[:, [joint]] = lead
    landmarks[:, 5 - joint] = rng.uniform(0.3, 0.7, (len(labelled), 2))
    return replace(labelled, landmarks=landmarks)


def test_the_choice_is_made_on_training_labels_alone() -> None:
    train, test = led_by(0, bodies()), led_by(4, bodies())
    method = plugin("joint_ceiling")
    splits = Splits(train.images, train, test)
    found = IMAGE_2D.discovery(splits, method, "bodies")
    method.fit(found, n_keypoints=2, seed=0, context=FitContext())
    assert set(chosen(method)) == {0, 5}
    assert set(chosen(fitted("joint_ceiling", test, 2))) == {4, 1}
    assert np.array_equal(predict(method, test, 2).points, test.landmarks[:, chosen(method)])


def test_a_joint_without_a_label_is_guessed_from_the_others() -> None:
    labelled = bodies(400, hidden=0.2)
    rows = ~labelled.visible
    truth = np.array(bodies(400).landmarks)
    method = fitted("joint_ceiling", labelled, 6)
    points = method.read(labelled).points[:, np.argsort(chosen(method))]
    assert np.array_equal(points[labelled.visible], labelled.landmarks[labelled.visible])
    mean = np.array([truth[labelled.visible[:, j], j].mean(0) for j in range(6)])
    of_mean = np.linalg.norm((truth - mean)[rows], axis=-1).mean()
    of_guess = np.linalg.norm((truth - points)[rows], axis=-1).mean()
    assert of_guess < 0.5 * of_mean
    nothing = replace(labelled, visible=np.zeros_like(rows), landmarks=np.zeros_like(truth))
    assert np.allclose(method.read(nothing).points, method.read(nothing[:1]).points)
    found = method.read(nothing).points[0][np.argsort(chosen(method))]
    assert found == pytest.approx(mean, abs=0.02)


def test_a_guess_stays_inside_the_image() -> None:
    labelled = bodies(hidden=0.2)
    method = fitted("joint_ceiling", labelled, 6)
    far = labelled.landmarks + np.array([0.9, -0.9]) * labelled.visible[..., None]
    points = method.read(replace(labelled, landmarks=far)).points[:, np.argsort(chosen(method))]
    guessed = points[~labelled.visible]
    assert guessed.min() >= 0 and guessed.max() <= 1 and points.max() > 1


def test_who_cannot_tell_sides_reads_the_same_from_exchanged_labels() -> None:
    labelled = bodies()
    order = [0, 2, 1, 4, 3, 5]
    exchanged = replace(labelled, landmarks=labelled.landmarks[:, order])
    told, untold = (fitted(n, labelled, 6) for n in ("joint_ceiling", "joint_ceiling_unsided"))
    assert np.array_equal(untold.read(exchanged).points, untold.read(labelled).points)
    assert not np.array_equal(told.read(exchanged).points, told.read(labelled).points)
    points = untold.read(labelled).points[:, np.argsort(chosen(untold))]
    for left, right in mirrored_pairs(NAMES):
        assert (points[:, left, 0] <= points[:, right, 0]).all()
        pair = points[:, [left, right]].sum(1)
        assert pair == pytest.approx(labelled.landmarks[:, [left, right]].sum(1))
    assert error(untold.read(labelled).points, labelled) > error(
        told.read(labelled).points, labelled
    )
    anonymous = replace(labelled, names=())
    assert chosen(fitted("joint_ceiling_unsided", anonymous, 3)) == chosen(
        fitted("joint_ceiling", labelled, 3)
    )


def test_with_fewer_landmarks_than_keypoints_all_are_taken(tmp_path: Path) -> None:
    labelled = bodies()
    method = fitted("joint_ceiling", labelled, 20)
    assert sorted(chosen(method)) == list(range(6))
    assert predict(method, labelled, 20).points.shape == (60, 6, 2)
    method.save(tmp_path)
    other = plugin("joint_ceiling")
    other.load(tmp_path)
    assert np.array_equal(other.read(labelled).points, method.read(labelled).points)


def test_a_landmark_that_is_never_seen_does_no_harm() -> None:
    labelled = bodies()
    visible = np.array(labelled.visible)
    visible[:, 2] = False
    method = fitted("joint_ceiling", replace(labelled, visible=visible), 5)
    assert 2 not in chosen(method)


def test_what_they_cannot_do_is_said() -> None:
    labelled = bodies()
    with pytest.raises(CheckpointError, match="not fitted"):
        plugin("joint_ceiling").read(labelled)
    with pytest.raises(ContractError, match="chooses on labels"):
        plugin("joint_ceiling").fit(labelled.images, n_keypoints=2, seed=0, context=FitContext())
    with pytest.raises(ContractError, match="chose among 6 landmarks, here are 4"):
        fitted("joint_ceiling", labelled, 2).read(toy_labelled())
    for name in ("oracle", "joint_ceiling"):
        with pytest.raises(KpbenchError, match=f"{name} reads labels"):
            plugin(name).predict(labelled.images)
