"""The regression against scikit-learn, scipy and numpy, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from kpbench.api import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.regression import fit_regressor, fitted_values, inliers

Data = tuple[Array, Array, Array]


def data(seed: int = 0, n: int = 80, k: int = 4, n_landmarks: int = 3, seen: float = 1.0) -> Data:
    rng = np.random.default_rng(seed)
    keypoints = rng.random((n, k, 2))
    mix = rng.normal(size=(2 * k, 2 * n_landmarks)) / k
    noise = 0.05 * rng.normal(size=(n, 2 * n_landmarks))
    landmarks = (0.3 + keypoints.reshape(n, -1) @ mix + noise).reshape(n, n_landmarks, 2)
    return keypoints, landmarks, rng.random((n, n_landmarks)) < seen


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("centre", [0.0, 0.5])
def test_against_sklearn_on_each_landmarks_own_rows(
    bias: bool, ridge: float, centre: float
) -> None:
    keypoints, landmarks, visible = data(seen=0.8)
    found = fit_regressor(keypoints, landmarks, visible, bias=bias, ridge=ridge, centre=centre)
    predicted = found.predict(keypoints)
    x = keypoints.reshape(len(keypoints), -1) - centre
    for index in range(landmarks.shape[1]):
        rows = visible[:, index]
        model = (
            Ridge(alpha=ridge, fit_intercept=bias)
            if ridge
            else LinearRegression(fit_intercept=bias)
        )
        model.fit(x[rows], landmarks[rows, index] - centre)
        assert predicted[:, index] == pytest.approx(model.predict(x) + centre, abs=1e-10)
    assert (found.rank, found.n_features) == (8 + bias, 8 + bias)


@pytest.mark.parametrize("bias", [True, False])
def test_rank_deficiency_gives_the_minimum_norm_solution_and_is_reported(bias: bool) -> None:
    keypoints, landmarks, visible = data()
    keypoints[:, 1] = keypoints[:, 0]
    keypoints[:, 2] = 0.25
    found = fit_regressor(keypoints, landmarks, visible, bias=bias)
    # two equal keypoints lose 2; a constant one loses 2 with bias, 1 without (it is a bias)
    assert (found.rank, found.n_features) == ((5, 9) if bias else (5, 8))
    x, y = keypoints.reshape(80, -1), landmarks.reshape(80, -1)
    if bias:
        x, y = x - x.mean(0), y - y.mean(0)
    weights = scipy.linalg.lstsq(x, y, cond=1e-10)[0]
    assert found.weights.reshape(8, 6) == pytest.approx(weights, abs=1e-9)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [50, 333])
def test_constant_keypoints_predict_the_mean(value: float, n: int) -> None:
    """Centred features are then pure rounding error, which must not be fitted."""
    _, landmarks, visible = data(n=n)
    keypoints = np.full((n, 4, 2), value)
    found = fit_regressor(keypoints, landmarks, visible, bias=True)
    assert found.rank == 1
    assert (found.weights == 0).all()
    assert found.predict(keypoints + 0.1) == pytest.approx(
        np.broadcast_to(landmarks.mean(0), landmarks.shape)
    )


def test_fewer_rows_than_features_is_an_error_unless_asked_for() -> None:
    keypoints, landmarks, visible = data(n=8)
    assert fit_regressor(keypoints, landmarks, visible, bias=False).rank == 8
    with pytest.raises(InvalidInputError, match="landmarks 0, 1, 2: 8 training rows for 9 feat"):
        fit_regressor(keypoints, landmarks, visible, bias=True)
    visible[0, 1] = False
    with pytest.raises(InvalidInputError, match="landmark 1: 7 training rows for 8 features"):
        fit_regressor(keypoints, landmarks, visible, bias=False)
    found = fit_regressor(keypoints, landmarks, visible, bias=False, min_norm=True)
    pinv = np.linalg.pinv(keypoints[1:].reshape(7, 8)) @ landmarks[1:, 1]
    assert found.weights[:, 1] == pytest.approx(pinv, abs=1e-8)
    assert found.rank == 7


def test_a_landmark_that_is_never_visible_is_named() -> None:
    keypoints, landmarks, visible = data(n_landmarks=4)
    visible[:, [1, 3]] = False
    with pytest.raises(UndefinedScoreError, match=r"landmarks 1, 3: visible in no training image"):
        fit_regressor(keypoints, landmarks, visible, bias=True, min_norm=True)


@pytest.mark.parametrize("which", [0, 1])
def test_nan_raises(which: int) -> None:
    arrays = data()
    arrays[which][3, 1, 0] = np.nan
    with pytest.raises(InvalidInputError, match="1 of 80 rows"):
        fit_regressor(*arrays, bias=True)


def test_wrong_shapes_raise() -> None:
    keypoints, landmarks, visible = data()
    with pytest.raises(InvalidInputError, match="keypoints must have shape"):
        fit_regressor(keypoints.reshape(80, -1), landmarks, visible, bias=True)
    with pytest.raises(InvalidInputError, match=r"landmarks must have shape \(80"):
        fit_regressor(keypoints, landmarks[:-1], visible, bias=True)
    with pytest.raises(InvalidInputError, match="visible must be bool"):
        fit_regressor(keypoints, landmarks, visible.astype(int), bias=True)
    with pytest.raises(InvalidInputError, match="fitted on 4 keypoints, got 3"):
        fit_regressor(keypoints, landmarks, visible, bias=True).predict(keypoints[:, :3])


def test_bad_labels_of_unseen_landmarks_do_not_matter() -> None:
    keypoints, landmarks, visible = data(seen=0.7)
    found = fit_regressor(keypoints, landmarks, visible, bias=True)
    landmarks[~visible] = 17.0
    again = fit_regressor(keypoints, landmarks, visible, bias=True)
    assert np.array_equal(found.weights, again.weights)


@settings(max_examples=25)
@given(seed=st.integers(0, 500), shift=st.floats(-0.5, 0.5), stretch=st.floats(0.2, 3.0))
def test_with_bias_affine_maps_of_the_keypoints_change_nothing(
    seed: int, shift: float, stretch: float
) -> None:
    keypoints, landmarks, visible = data(seed, seen=0.8)
    mix = np.array([[stretch, 0.3], [-0.2, 1.0]])
    moved = keypoints @ mix + shift
    plain = fit_regressor(keypoints, landmarks, visible, bias=True).predict(keypoints)
    found = fit_regressor(moved, landmarks, visible, bias=True).predict(moved)
    assert found == pytest.approx(plain, abs=1e-8)


def test_without_bias_a_shift_matters_but_a_scale_does_not() -> None:
    keypoints, landmarks, visible = data()

    def fit(points: Array) -> Array:
        return fit_regressor(points, landmarks, visible, bias=False).predict(points)

    assert fit(keypoints * 255) == pytest.approx(fit(keypoints), abs=1e-10)
    assert np.abs(fit(keypoints - 0.5) - fit(keypoints)).max() > 1e-3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_fitted_values_are_those_of_a_fit_on_all_rows(bias: bool, ridge: float) -> None:
    keypoints, landmarks, visible = data()
    keypoints[:, 1] = keypoints[:, 0]  # rank-deficient as well
    fitted = fitted_values(keypoints, bias=bias, centre=0.5, ridge=ridge)
    for labels in (landmarks, landmarks[:, ::-1]):
        found = fit_regressor(keypoints, labels, visible, bias=bias, centre=0.5, ridge=ridge)
        assert fitted(labels) == pytest.approx(found.predict(keypoints), abs=1e-10)


def test_no_argument_is_written_to() -> None:
    arrays = data(seen=0.8)
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.setflags(write=False)
    fit_regressor(*arrays, bias=True, centre=0.5).predict(arrays[0])
    fitted_values(arrays[0], bias=True)(arrays[1])
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_trimming_uses_the_unbiased_standard_deviation() -> None:
    """One of ten at 1: mean 0.1, sd 0.316 unbiased and 0.3 biased, so 2.9 sd tell them apart."""
    distances = np.array([0.0] * 9 + [1.0])
    assert inliers(distances, 2.9).all()
    assert inliers(distances, 2.8).tolist() == [True] * 9 + [False]
    assert inliers(np.full(4, 0.2), 3.0).all()
