"""Every named evaluator: what it promises whatever its rules."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest

from kpbench.scoring.evaluators import Detections, evaluate
from kpbench.scoring.metrics import aggregate
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.statistics.resampling import bootstrap_interval
from tests.scoring.evaluator_toys import (
    IN_IMAGE,
    MISSING_LABELS,
    NAMES,
    ON_TRAIN,
    shapes,
    subset,
    toy,
)

FLIPS = [name for name in NAMES if get_evaluator(name).pairs]
STILL = [name for name in IN_IMAGE if name in ON_TRAIN]
"""Those that see constant keypoints as constant, and do not fit on test."""


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are not what these many tests are about."""
    few = partial(bootstrap_interval, n_resamples=100)
    monkeypatch.setattr("kpbench.scoring.evaluators.bootstrap_interval", few)


@pytest.mark.parametrize("name", ON_TRAIN)
def test_oracle_is_perfect(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    seen = [shapes(spec, n, seed)[0] for n, seed in ((200, 0), (90, 1))]
    train, test = replace(train, keypoints=seen[0]), replace(test, keypoints=seen[1])
    found = evaluate(spec, train, test)
    assert found.value == pytest.approx(100.0 if spec.higher_is_better else 0.0, abs=1e-8)
    assert found.ci95 == pytest.approx((found.value, found.value), abs=1e-8)


@pytest.mark.parametrize("name", STILL)
def test_constant_is_not_better_than_the_mean_shape(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    ring = np.array([[0.3, 0.4], [0.6, 0.7], [0.5, 0.2]])
    floor = evaluate(
        spec,
        *(replace(d, keypoints=np.tile(ring, (len(d), 1, 1))) for d in (train, test)),
    )
    assert floor.notes[0].startswith("the keypoints are linearly dependent (rank 1 of ")
    sign = -1 if spec.higher_is_better else 1
    for constant in (0.0, 0.1, 0.5, 0.9):
        points = [replace(d, keypoints=np.full((len(d), 3, 2), constant)) for d in (train, test)]
        assert sign * evaluate(spec, *points).value >= sign * floor.value - 1e-9
    informed = evaluate(spec, train, test)
    assert sign * informed.value < sign * floor.value


@pytest.mark.parametrize("name", [n for n in STILL if n not in FLIPS])
def test_constant_keypoints_score_as_the_mean_shape_computed_directly(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    points = [replace(d, keypoints=np.full((len(d), 3, 2), 0.7)) for d in (train, test)]
    found = evaluate(spec, *points)
    weight = train.visible[..., None].astype(float)
    mean = (train.landmarks * weight).sum(0) / weight.sum(0)
    assert found.predicted == pytest.approx(np.broadcast_to(mean, test.landmarks.shape))
    distance = np.linalg.norm(mean - test.landmarks, axis=-1)
    if spec.aggregation == "component_sum":
        absolute = np.abs(mean - test.landmarks) * test.visible[..., None] * 256
        expected = (absolute.sum(0) / test.visible.sum(0)[:, None]).sum()
    elif spec.error == "hit":
        expected = 100 * (distance * 256 < 6).mean()
    elif spec.eyes:
        left, right = spec.eyes
        eyes = np.linalg.norm(test.landmarks[:, left] - test.landmarks[:, right], axis=-1)
        expected = 100 * (distance / eyes[:, None]).mean()
    elif spec.aggregation == "image_sum":
        expected = 256 * (distance * test.visible).sum(1).mean()
    elif spec.aggregation == "pooled_mean":
        expected = spec.scale * distance[test.visible].mean()
    else:
        expected = spec.scale * ((distance * test.visible).sum(1) / test.visible.sum(1)).mean()
    assert found.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_holds_what_resampling_needs(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    found = evaluate(spec, train, test)
    again = aggregate(found.errors, found.valid, found.aggregation, found.groups)
    assert again == found.value
    assert found.ci95[0] < found.value < found.ci95[1]
    n_landmarks = len(spec.joints or range(test.landmarks.shape[1]))
    assert found.predicted.shape == (90, n_landmarks, 2)
    assert found.landmark_values.shape == (n_landmarks,)
    combined = found.landmark_values
    if spec.aggregation in ("component_sum", "image_sum"):
        assert combined.sum() == pytest.approx(found.value)
    elif spec.rows == "all":
        assert combined.mean() == pytest.approx(found.value)
    assert (found.rank, found.n_features) == (12 + spec.bias, 12 + spec.bias)
    assert (found.n_images, found.unit, found.oracle_used) == (90, spec.unit, spec.oracle_used)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_handed_in_is_written_to_and_a_second_call_agrees(name: str) -> None:
    """Published code exchanges labels in place, so that its second call sees other labels."""
    spec = get_evaluator(name)
    arrays = [[np.array(getattr(d, f.name)) for f in fields(d)] for d in toy(name, noise=0.1)]
    before = [[a.copy() for a in part] for part in arrays]
    values = [evaluate(spec, *(Detections(*part) for part in arrays)).value for _ in range(2)]
    assert values[0] == values[1]
    for part, old in zip(arrays, before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(part, old, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_order_of_images_and_keypoints_does_not_matter(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    value = evaluate(spec, train, test).value
    rng = np.random.default_rng(3)
    keypoints = rng.permutation(6)
    shuffled = []
    for part in (train, test):
        rows = rng.permutation(len(part))
        same = subset(part, rows)
        shuffled.append(replace(same, keypoints=same.keypoints[:, keypoints]))
    assert evaluate(spec, *shuffled).value == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", [n for n in IN_IMAGE if get_evaluator(n).bias])
def test_with_bias_an_affine_map_of_the_keypoints_does_not_matter(name: str) -> None:
    train, test = toy(name)
    mix = np.array([[0.5, 0.2], [-0.1, 0.7]])
    moved = [replace(d, keypoints=d.keypoints @ mix + 0.1) for d in (train, test)]
    expected = evaluate(get_evaluator(name), train, test).value
    assert evaluate(get_evaluator(name), *moved).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", MISSING_LABELS)
def test_what_is_written_where_nothing_is_visible_does_not_matter(name: str) -> None:
    spec = get_evaluator(name)
    parts = toy(name)
    value = evaluate(spec, *parts).value
    garbage = []
    for part in parts:
        landmarks = np.where(part.visible[..., None], part.landmarks, np.nan)
        garbage.append(replace(part, landmarks=landmarks))
    assert evaluate(spec, *garbage).value == value


@pytest.mark.parametrize("name", NAMES)
def test_the_size_of_the_parts_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = toy(name, noise=0.1)
    whole = evaluate(get_evaluator(name), train, test)
    monkeypatch.setattr("kpbench.scoring.detections.ROWS", 7)
    found = evaluate(get_evaluator(name), train, test)
    assert found.value == pytest.approx(whole.value, rel=1e-10)
    assert found.predicted == pytest.approx(whole.predicted, abs=1e-10)
    assert (found.rank, found.notes) == (whole.rank, whole.notes)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_activities_average_to_the_score(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    found = evaluate(spec, train, test)
    if spec.aggregation != "group_mean":
        assert found.group_values == {}
        return
    assert set(found.group_values) == {"walk", "pose", "wait"}
    assert np.mean(list(found.group_values.values())) == pytest.approx(found.value)
    assert test.activities is not None
    walking = subset(test, test.activities == "walk")
    assert found.group_values["walk"] == pytest.approx(evaluate(spec, train, walking).value)
