"""Named evaluators against their papers' rules written out, and what follows from the rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from kpbench.evaluators import evaluate, get_evaluator
from kpbench.flips import permutation
from kpbench.presets import BKIND_JOINTS, HUMAN36M_PAIRS, PEOPLE_PAIRS
from tests.evaluator_toys import toy


def test_bkind_against_its_rules_written_out() -> None:
    """Ridge(alpha=0) without intercept in [-1, 1]; labels of the 16 joints; mean of activities."""
    name = "human36m/bkind"
    train, test = toy(name, noise=0.05)
    rng = np.random.default_rng(5)
    activities = np.array(["Walking", "Posing", "Waiting"])[rng.integers(0, 3, 90)]
    test = replace(test, activities=activities)
    behind = train.landmarks.copy()
    behind[:50] = behind[:50, permutation(HUMAN36M_PAIRS, 32)]
    train = replace(train, landmarks=behind)
    left, right = (np.array(side) for side in zip(*HUMAN36M_PAIRS, strict=True))
    assert sorted([*left, *right]) == [*range(1, 11), *range(16, 32)]
    labels = train.landmarks.copy()
    flipped = 0
    for n in range(len(labels)):
        if sum(labels[n, left, 0] > labels[n, right, 0]) < 9:
            labels[n, left], labels[n, right] = labels[n, right].copy(), labels[n, left].copy()
            flipped += 1
    assert flipped == 50
    model = Ridge(alpha=0, fit_intercept=False)
    model.fit(
        train.keypoints.reshape(200, -1) * 2 - 1, labels[:, BKIND_JOINTS].reshape(200, -1) * 2 - 1
    )
    predicted = (model.predict(test.keypoints.reshape(90, -1) * 2 - 1) + 1) / 2
    gap = predicted.reshape(90, 16, 2) - test.landmarks[:, BKIND_JOINTS]
    distance = np.linalg.norm(gap, axis=-1).mean(1)
    expected = 100 * np.mean([distance[activities == a].mean() for a in set(activities.tolist())])
    found = evaluate(get_evaluator(name), train, test)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.notes == ()
    plain = evaluate(get_evaluator(name), train, replace(test, activities=None))
    assert plain.value == pytest.approx(100 * distance.mean(), rel=1e-9)
    assert plain.notes == ("no activities given: all test images count as one activity",)


@pytest.mark.parametrize("name", ["celeba/scops", "cub/scops"])
def test_scops_is_a_standardised_fit_without_intercept(name: str) -> None:
    train, test = toy(name, noise=0.05)
    distance = np.empty(test.visible.shape)
    for index in range(test.landmarks.shape[1]):
        rows = train.visible[:, index]
        x = StandardScaler().fit(train.keypoints[rows].reshape(rows.sum(), -1))
        y = StandardScaler().fit(train.landmarks[rows, index])
        model = LinearRegression(fit_intercept=False)
        model.fit(
            x.transform(train.keypoints[rows].reshape(rows.sum(), -1)),
            y.transform(train.landmarks[rows, index]),
        )
        predicted = y.inverse_transform(model.predict(x.transform(test.keypoints.reshape(90, -1))))
        distance[:, index] = np.linalg.norm(predicted - test.landmarks[:, index], axis=-1)
    if name == "celeba/scops":
        eyes = np.linalg.norm(test.landmarks[:, 0] - test.landmarks[:, 1], axis=-1)
        expected = (distance / eyes[:, None]).mean()
    else:
        expected = distance[test.visible].mean()
    found = evaluate(get_evaluator(name), train, test)
    assert found.value == pytest.approx(100 * expected, rel=1e-9)


def test_stablekeypoints_drops_labels_on_the_border_but_siarohin_keeps_them() -> None:
    train, test = toy("taichi/strict")
    landmarks = test.landmarks.copy()
    landmarks[:5, 0, 0] = 0.0  # visible, at the left border
    test = replace(test, landmarks=landmarks)
    stable = evaluate(get_evaluator("taichi/stablekeypoints"), train, test)
    assert not stable.valid[:5, 0].any() and test.visible[:5, 0].all()
    siarohin = evaluate(get_evaluator("taichi/siarohin"), train, test)
    assert siarohin.valid[:5, :2].all()


def test_autolink_trims_outliers_before_its_last_fit() -> None:
    spec = get_evaluator("people_plain/autolink")
    train, test = toy(spec.name, noise=0.0)
    clean = evaluate(spec, train, test).value
    landmarks = train.landmarks.copy()
    landmarks[:3] = 1 - landmarks[:3]
    outliers = replace(train, landmarks=landmarks)
    assert evaluate(spec, outliers, test).value < clean * 1.05
    assert evaluate(replace(spec, trim=None), outliers, test).value > clean * 1.05


@pytest.mark.parametrize("paper", ["autolink", "stablekeypoints"])
def test_left_right_symmetric_scores_forgive_exchanged_people_and_strict_does_not(
    paper: str,
) -> None:
    train, test = toy("people_background/autolink")
    landmarks = test.landmarks.copy()
    landmarks[:40] = landmarks[:40, permutation(PEOPLE_PAIRS, 32)]
    exchanged = replace(test, landmarks=landmarks)
    spec, strict = (get_evaluator(f"people_background/{e}") for e in (paper, "strict"))
    straight = evaluate(spec, train, test)
    found = evaluate(spec, train, exchanged)
    assert found.value == pytest.approx(straight.value, rel=1e-9)
    assert np.array_equal(found.predicted, straight.predicted)
    values = [evaluate(strict, train, d).value for d in (test, exchanged)]
    assert values[1] > 1.5 * values[0]


def test_em_recovers_exchanged_training_labels() -> None:
    spec = get_evaluator("people_background/autolink")
    train, test = toy(spec.name)
    landmarks = train.landmarks.copy()
    landmarks[:60] = landmarks[:60, permutation(PEOPLE_PAIRS, 32)]
    exchanged = replace(train, landmarks=landmarks)
    found = evaluate(spec, exchanged, test).value
    # up to ten labels may stay exchanged, and are then trimmed as outliers
    assert found == pytest.approx(evaluate(spec, train, test).value, rel=0.02)
    no_em = replace(spec, train_flip="none")
    assert evaluate(no_em, exchanged, test).value > 1.5 * found


def test_the_faulty_list_gives_another_number_than_the_correct_one() -> None:
    spec = get_evaluator("human36m/autolink")
    train, test = toy(spec.name)
    landmarks = test.landmarks.copy()
    landmarks[:40] = landmarks[:40, permutation(HUMAN36M_PAIRS, 32)]
    exchanged = replace(test, landmarks=landmarks)
    correct = evaluate(replace(spec, pairs=HUMAN36M_PAIRS), train, exchanged).value
    assert evaluate(spec, train, exchanged).value > correct * 1.01
