"""Few labels: the penalty against scikit-learn and brute force, the curve against theory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.diagnosis.label_efficiency import RIDGES, best_ridge, label_efficiency
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import evaluate
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.regression import fit_regressor

STRICT = get_evaluator("deepfashion/strict")
L2 = replace(get_evaluator("human36m/strict"), n_landmarks=None)


def linear(n: int, *, k: int = 6, noise: float = 0.02, seed: int = 0) -> Detections:
    """Return landmarks that are linear in keypoints, but for noise."""
    rng = np.random.default_rng(1)
    weights = rng.normal(0, 0.3, (2 * k, 10))
    rng = np.random.default_rng(seed + 2)
    keypoints = rng.uniform(0.2, 0.8, (n, k, 2))
    landmarks = 0.5 + (keypoints.reshape(n, -1) - 0.5) @ weights + rng.normal(0, noise, (n, 10))
    return Detections(keypoints, landmarks.reshape(n, 5, 2), np.ones((n, 5), bool))


def brute_force(data: Detections, *, bias: bool) -> list[float]:
    """Leave every image out in turn, with the regression that evaluators use."""
    errors = []
    for ridge in RIDGES:
        total = 0.0
        for i in range(len(data)):
            kept = np.arange(len(data)) != i
            fitted = fit_regressor(
                data.keypoints[kept],
                data.landmarks[kept],
                data.visible[kept],
                bias=bias,
                ridge=ridge,
            )
            gap = fitted.predict(data.keypoints[i : i + 1])[0] - data.landmarks[i]
            total += float((gap[data.visible[i]] ** 2).sum())
        errors.append(total)
    return errors


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [8, 40])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_penalty_is_that_of_leaving_one_out(n: int, noise: float, bias: bool) -> None:
    data = linear(n, noise=noise)
    errors = brute_force(data, bias=bias)
    found = best_ridge(data.keypoints, data.landmarks, data.visible, bias=bias)
    assert errors[RIDGES.index(found)] == pytest.approx(min(errors), rel=1e-6)


def test_penalty_with_missing_labels() -> None:
    data = linear(25, noise=0.1)
    visible = np.random.default_rng(3).random((25, 5)) < 0.7
    some = Detections(data.keypoints, np.where(visible[..., None], data.landmarks, 0), visible)
    errors = brute_force(some, bias=True)
    found = best_ridge(some.keypoints, some.landmarks, some.visible, bias=True)
    assert found == RIDGES[int(np.argmin(errors))]


def test_penalty_is_scikit_learns() -> None:
    from sklearn.linear_model import RidgeCV

    for seed in range(5):
        data = linear(30, noise=0.15, seed=seed)
        x, y = data.keypoints.reshape(30, -1), data.landmarks.reshape(30, -1)
        expected = RidgeCV(alphas=RIDGES).fit(x, y).alpha_
        assert best_ridge(data.keypoints, data.landmarks, data.visible, bias=True) == expected


def test_more_labels_are_better_and_all_are_the_score() -> None:
    train, test = linear(1200), linear(300, seed=1)
    curve = label_efficiency(L2, train, test, counts=(10, 30, 100, 300, 5000))
    assert curve.evaluator == "human36m/strict"
    assert [point.n_labelled for point in curve.points] == [10, 30, 100, 300, 1200]
    assert [point.n_draws for point in curve.points] == [10, 10, 10, 10, 1]
    means = [point.mean for point in curve.points]
    assert means == sorted(means, reverse=True)
    assert means[-1] == pytest.approx(evaluate(L2, train, test).value, rel=1e-3)
    # noise alone remains: the mean of a Rayleigh distribution of 0.02, in %
    assert means[-1] == pytest.approx(2 * np.sqrt(np.pi / 2), rel=0.03)
    # least squares on n rows of p features has (n - 1) / (n - p - 1) times the noise's variance
    n, p = 100, 13
    expected = means[-1] * np.sqrt((n - 1) / (n - p - 1))
    assert means[2] == pytest.approx(expected, rel=0.02)


def test_few_labels_are_never_much_worse_than_the_mean_shape() -> None:
    """Keypoints that say nothing: least squares on 14 labels of 13 features would explode."""
    rng = np.random.default_rng(4)

    def noise(n: int) -> Detections:
        data = linear(n, noise=0.1, seed=n)
        return replace(data, keypoints=rng.uniform(0.2, 0.8, data.keypoints.shape))

    train, test = noise(600), noise(200)
    constant = replace(train, keypoints=np.full(train.keypoints.shape, 0.5))
    still = replace(test, keypoints=np.full(test.keypoints.shape, 0.5))
    floor = evaluate(L2, constant, still).value
    curve = label_efficiency(L2, train, test, counts=(14, 50))
    assert all(point.mean < 1.15 * floor for point in curve.points)
    rows = slice(0, 14)
    few = Detections(train.keypoints[rows], train.landmarks[rows], train.visible[rows])
    assert evaluate(L2, few, test).value > 1.5 * floor


def test_curve_is_reproducible_and_rises_for_hits() -> None:
    train, test = linear(400), linear(100, seed=1)
    first = label_efficiency(STRICT, train, test, counts=(10, 100))
    assert label_efficiency(STRICT, train, test, counts=(10, 100)) == first
    assert label_efficiency(STRICT, train, test, counts=(10, 100), seed=1) != first
    assert first.points[0].mean < first.points[1].mean
    assert first.points[1].sd > 0 == first.points[2].sd


def test_mean_and_deviation_are_those_of_the_draws() -> None:
    train, test = linear(60, noise=0.1), linear(50, seed=1)
    curve = label_efficiency(L2, train, test, counts=(20,), n_draws=3, seed=5)
    rng = np.random.default_rng(5)
    values = []
    for _ in range(3):
        rows = rng.choice(60, 20, replace=False)
        arrays = train.keypoints[rows], train.landmarks[rows], train.visible[rows]
        ridge = best_ridge(*arrays, bias=True)
        fitted = fit_regressor(*arrays, bias=True, ridge=ridge)
        gap = fitted.predict(test.keypoints) - test.landmarks
        values.append(100 * np.linalg.norm(gap, axis=-1).mean())
    assert curve.points[0].mean == pytest.approx(np.mean(values))
    assert curve.points[0].sd == pytest.approx(np.std(values, ddof=1))


def test_draws_without_a_landmark_are_left_out() -> None:
    train, test = linear(300), linear(100, seed=1)
    shown = np.ones((300, 5), bool)
    shown[:, 4] = np.arange(300) % 4 == 0  # fewer than 2 of 10 in 24 % of the draws
    some = Detections(train.keypoints, train.landmarks * shown[..., None], shown)
    taichi = replace(L2, rows="visible", aggregation="pooled_mean")
    curve = label_efficiency(taichi, some, test, counts=(3, 10), n_draws=20)
    assert [point.n_labelled for point in curve.points] == [10, 300]
    assert 10 < curve.points[0].n_draws < 20
    never: Array = shown.copy()
    never[:, 4] = np.arange(300) == 7
    rare = Detections(train.keypoints, train.landmarks * never[..., None], never)
    with pytest.raises(UndefinedScoreError, match="fewer than two training images"):
        label_efficiency(taichi, rare, test, counts=(10,))
    with pytest.raises(InvalidInputError, match="two labels of each landmark"):
        best_ridge(rare.keypoints, rare.landmarks, rare.visible, bias=True)


def test_a_large_test_set_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpbench.diagnosis.label_efficiency.ENOUGH", 40)
    train, test = linear(100), linear(100, seed=1)
    thin = Detections(test.keypoints[::3], test.landmarks[::3], test.visible[::3])
    curve = label_efficiency(L2, train, test, counts=())
    assert curve.points[0].mean == label_efficiency(L2, train, thin, counts=()).points[0].mean
    fewer = Detections(train.keypoints[::3], train.landmarks[::3], train.visible[::3])
    assert curve.points[0].mean < label_efficiency(L2, fewer, thin, counts=()).points[0].mean
