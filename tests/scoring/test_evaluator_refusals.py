"""What evaluators refuse, and what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.scoring.evaluators import evaluate
from kpbench.scoring.named import get_evaluator
from tests.scoring.evaluator_toys import ALL_LABELS, MISSING_LABELS, NAMES, subset, toy

FLIPS = [name for name in NAMES if get_evaluator(name).pairs]


@pytest.mark.parametrize("name", ALL_LABELS)
@pytest.mark.parametrize("part", [0, 1])
def test_without_a_rule_for_missing_labels_they_are_an_error(name: str, part: int) -> None:
    parts = list(toy(name))
    visible = parts[part].visible.copy()
    visible[[3, 5], 1] = False
    parts[part] = replace(parts[part], visible=visible)
    with pytest.raises(InvalidInputError, match="no rule for missing labels, and 2 of"):
        evaluate(get_evaluator(name), *parts)


@pytest.mark.parametrize("name", MISSING_LABELS)
def test_all_landmarks_invisible_is_an_error(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    nothing = np.zeros_like(test.visible)
    with pytest.raises(UndefinedScoreError, match="90"):
        evaluate(spec, train, replace(test, visible=nothing))
    with pytest.raises(UndefinedScoreError, match="visible in no training image"):
        evaluate(spec, replace(train, visible=np.zeros_like(train.visible)), test)


def test_an_image_without_visible_landmark_where_its_mean_is_taken() -> None:
    train, test = toy("cub/stablekeypoints")
    visible = test.visible.copy()
    visible[[4, 8]] = False
    test = replace(test, visible=visible)
    with pytest.raises(UndefinedScoreError, match="2 of 90 test images"):
        evaluate(get_evaluator("cub/stablekeypoints"), train, test)
    assert evaluate(get_evaluator("cub/autolink"), train, test).value > 0


@pytest.mark.parametrize("name", ["taichi/siarohin", "taichi/strict"])
def test_a_landmark_never_visible_in_test_leaves_cumulative_mae_undefined(name: str) -> None:
    train, test = toy(name)
    visible = test.visible.copy()
    visible[:, 4] = False
    with pytest.raises(
        UndefinedScoreError, match=r"landmark 4 \(counted from 0\) is visible in none of the 90"
    ):
        evaluate(get_evaluator(name), train, replace(test, visible=visible))


def test_a_landmark_never_visible_in_test_is_nan_in_the_breakdown_alone() -> None:
    train, test = toy("cub/strict")
    visible = test.visible.copy()
    visible[:, 4] = False
    found = evaluate(get_evaluator("cub/strict"), train, replace(test, visible=visible))
    assert np.flatnonzero(np.isnan(found.landmark_values)).tolist() == [4]


@pytest.mark.parametrize("name", [n for n in NAMES if get_evaluator(n).eyes])
def test_faces_without_eye_distance(name: str) -> None:
    spec = get_evaluator(name)
    assert spec.eyes is not None
    left, right = spec.eyes
    train, test = toy(name)
    test = replace(test, visible=np.ones_like(test.visible))
    landmarks = test.landmarks.copy()
    landmarks[[2, 7, 30], right] = landmarks[[2, 7, 30], left]
    broken = replace(test, landmarks=landmarks)
    if name != "celeba/zhang":
        with pytest.raises(UndefinedScoreError, match=r"coincide .*in 3 of"):
            evaluate(spec, train, broken)
        return
    rest = subset(test, np.setdiff1d(np.arange(90), [2, 7, 30]))
    found = evaluate(spec, train, broken)
    assert found.value == pytest.approx(evaluate(spec, train, rest).value)
    [note] = found.notes
    assert note.startswith("3 of 90 test images left out: landmarks (0, 1) coincide")


def test_eyes_that_coincide_in_training_matter_only_where_coordinates_are_divided() -> None:
    train, test = toy("celeba/huang")
    landmarks = train.landmarks.copy()
    landmarks[3, 1] = landmarks[3, 0]
    broken = replace(train, landmarks=landmarks)
    with pytest.raises(UndefinedScoreError, match="in 1 of the images 0 to 199, so celeba/huang"):
        evaluate(get_evaluator("celeba/huang"), broken, test)
    assert evaluate(get_evaluator("celeba/scops"), broken, test).value > 0


@pytest.mark.parametrize("name", [n for n in NAMES if get_evaluator(n).needs])
@pytest.mark.parametrize("part", [0, 1])
def test_what_an_evaluator_needs_besides_points_must_be_there(name: str, part: int) -> None:
    spec = get_evaluator(name)
    parts = list(toy(name))
    [needed] = spec.needs
    without: dict[str, Any] = {needed: None}
    parts[part] = replace(parts[part], **without)
    with pytest.raises(InvalidInputError, match=f"{name} needs the {needed} of the images"):
        evaluate(spec, *parts)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_rows_than_features(name: str) -> None:
    """Single-class CUB has ~30 images; StableKeypoints' pseudo-inverse is defined there."""
    spec = get_evaluator(name)
    train, test = toy(name, n=(11, 30))
    if spec.rows != "all":
        train = replace(train, visible=np.ones_like(train.visible))
    if spec.fit_on == "test":
        return
    if not spec.min_norm:
        with pytest.raises(InvalidInputError, match=r"rows for 1[23] features"):
            evaluate(spec, train, test)
        return
    train, test = (replace(part, aspect=np.ones(len(part))) for part in (train, test))
    found = evaluate(spec, train, test)
    x = [d.keypoints.reshape(len(d), -1) for d in (train, test)]
    y = train.landmarks.reshape(11, -1)
    # StableKeypoints' origin is the image's centre; with a bias it is that of the training rows
    at, to = (x[0].mean(0), y.mean(0)) if spec.bias else (0.5, 0.5)
    predicted = (x[1] - at) @ np.linalg.pinv(x[0] - at) @ (y - to) + to
    assert found.predicted.reshape(30, -1) == pytest.approx(predicted, abs=1e-8)
    rank = f"rank 11 of {12 + spec.bias}"
    assert f"the keypoints are linearly dependent ({rank}): minimum-norm solution" in found.notes


def test_one_test_image_has_no_interval() -> None:
    train, test = toy("celeba/strict", n=(200, 1))
    with pytest.raises(UndefinedScoreError, match="at least two test images"):
        evaluate(get_evaluator("celeba/strict"), train, test)


@pytest.mark.parametrize("name", FLIPS)
def test_evaluators_with_a_joint_list_refuse_another_number_of_joints(name: str) -> None:
    train, test = toy(name)
    fewer = [
        replace(d, landmarks=d.landmarks[:, :17], visible=d.visible[:, :17]) for d in (train, test)
    ]
    with pytest.raises(InvalidInputError, match="is defined on 32 landmarks, got 17"):
        evaluate(get_evaluator(name), *fewer)


def test_train_and_test_must_match() -> None:
    spec = get_evaluator("cub/strict")
    train, test = toy("cub/strict")
    with pytest.raises(InvalidInputError, match="train has 6 keypoints an image, but test 5"):
        evaluate(spec, train, replace(test, keypoints=test.keypoints[:, :5]))
    one = replace(test, landmarks=test.landmarks[:, :1], visible=test.visible[:, :1])
    with pytest.raises(InvalidInputError, match="train has 15 landmarks an image, but test 1"):
        evaluate(spec, train, one)
    with pytest.raises(InvalidInputError, match="at least 2 landmarks, got 1"):
        evaluate(get_evaluator("celeba/strict"), one, one)
