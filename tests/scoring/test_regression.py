"""The regression, in one pass over parts, against scikit-learn, scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from kpbench.api import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.scoring.regression import LandmarkRegressor, RegressionFit, fit_regressor

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


def in_parts(arrays: Data, size: int, *, bias: bool, ridge: float = 0.0) -> LandmarkRegressor:
    fit = RegressionFit(bias=bias, ridge=ridge, min_norm=True)
    for start in range(0, len(arrays[0]), size):
        fit.add(*(array[start : start + size] for array in arrays))
    return fit.solve()


def relative(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize("seen", [1.0, 0.8, 0.1])
def test_parts_do_not_matter(bias: bool, ridge: float, seen: float) -> None:
    """Also where landmarks are seen together at first and apart later, or in no row of a part."""
    keypoints, landmarks, visible = data(seen=seen)
    visible[:20] = visible[:20, :1]
    whole = fit_regressor(keypoints, landmarks, visible, bias=bias, ridge=ridge, min_norm=True)
    for size in (1, 7, 64):
        found = in_parts((keypoints, landmarks, visible), size, bias=bias, ridge=ridge)
        assert found.weights == pytest.approx(whole.weights, abs=1e-11)
        assert found.offset == pytest.approx(whole.offset, abs=1e-11)
        assert found.rank == whole.rank


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cond", [1e2, 1e5, 1e8])
def test_against_lstsq_when_ill_conditioned(cond: float, bias: bool) -> None:
    """Sums of products would have no digit left at a condition of 1e8."""
    rng = np.random.default_rng(3)
    u, v = (np.linalg.qr(rng.normal(size=(n, 12)))[0] for n in (6000, 12))
    x = u * np.geomspace(1, 1 / cond, 12) @ v.T * 20 + 0.5
    y = x @ rng.normal(size=(12, 6)) + 0.02 * rng.normal(size=(6000, 6))
    design = np.hstack([np.ones((6000, 1)), x]) if bias else x
    weights, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    arrays = x.reshape(-1, 6, 2), y.reshape(-1, 3, 2), np.ones((6000, 3), bool)
    found = in_parts(arrays, 512, bias=bias)
    assert found.rank == rank == 12 + bias
    # of what is predicted: the weights themselves are undetermined to cond x 1e-16
    assert relative(found.predict(arrays[0]).reshape(-1, 6), design @ weights) < 1e-10
    assert relative(found.weights.reshape(12, 6), weights[bias:]) < cond * 1e-14


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["duplicate", "constant", "collinear", "all equal", "zero"])
def test_against_lstsq_when_exactly_rank_deficient(kind: str, bias: bool) -> None:
    keypoints, landmarks, visible = data(n=900)
    if kind == "duplicate":
        keypoints[:, 1] = keypoints[:, 0]
    if kind == "constant":
        keypoints[:, 2] = 0.3
    if kind == "collinear":
        keypoints[:, 3] = 0.25 * keypoints[:, 0] + 0.75 * keypoints[:, 1]
    if kind == "all equal":
        keypoints[:] = keypoints[:, :1]
    if kind == "zero":
        keypoints[:, 0] = 0.0
    x, y = keypoints.reshape(900, -1), landmarks.reshape(900, -1)
    found = in_parts((keypoints, landmarks, visible), 100, bias=bias)
    design = np.hstack([np.ones((900, 1)), x]) if bias else x
    weights, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    assert found.rank == rank < found.n_features
    assert relative(found.predict(keypoints).reshape(900, -1), design @ weights) < 1e-10
    if bias:  # of minimum norm without the offset, which is free
        x, y = x - x.mean(0), y - y.mean(0)
    assert found.weights.reshape(8, 6) == pytest.approx(np.linalg.pinv(x, rcond=1e-12) @ y)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 60),
    k=st.integers(1, 5),
    bias=st.booleans(),
    equal=st.booleans(),
)
def test_any_parts_predict_what_lstsq_does_on_a_landmarks_own_rows(
    seed: int, size: int, k: int, bias: bool, equal: bool
) -> None:
    keypoints, landmarks, visible = data(seed, n=60, k=k, seen=0.7)
    if equal:
        keypoints[:, -1] = keypoints[:, 0]
    found = in_parts((keypoints, landmarks, visible), size, bias=bias).predict(keypoints)
    x = keypoints.reshape(60, -1)
    design = np.hstack([np.ones((60, 1)), x]) if bias else x
    for landmark in range(3):
        rows = visible[:, landmark]
        # not SciPy's, whose threshold of the rank leaves out the number of rows: of two equal
        # columns it takes rounding for a direction now and then
        weights = np.linalg.lstsq(design[rows], landmarks[rows, landmark], rcond=None)[0]
        # at the rows of the fit: elsewhere a deficient fit depends on which norm is smallest
        assert found[rows, landmark] == pytest.approx(design[rows] @ weights, abs=1e-10)


def test_keypoints_that_hardly_move_keep_their_digits() -> None:
    """Their mean is subtracted before anything is summed: motion of 1e-7 has 9 digits."""
    keypoints, landmarks, visible = data(n=500)
    found = in_parts((0.5 + 1e-7 * keypoints, landmarks, visible), 64, bias=True)
    expected = fit_regressor(keypoints, landmarks, visible, bias=True).predict(keypoints)
    assert found.rank == 9
    assert relative(found.predict(0.5 + 1e-7 * keypoints), expected) < 1e-8


def test_another_number_of_points_in_a_later_part_is_refused() -> None:
    fit = RegressionFit(bias=True)
    with pytest.raises(InvalidInputError, match="no images were added"):
        fit.solve()
    fit.add(*data())
    with pytest.raises(InvalidInputError, match="3 keypoints and 3 landmarks, but 4 and 3 before"):
        fit.add(*data(k=3))
    with pytest.raises(InvalidInputError, match="4 keypoints and 5 landmarks, but 4 and 3 before"):
        fit.add(*data(n_landmarks=5))


def test_landmarks_may_have_another_centre_than_keypoints() -> None:
    keypoints, landmarks, visible = data()
    fit = RegressionFit(bias=False, centre=0.5, landmark_centre=0.0)
    fit.add(keypoints, landmarks, visible)
    model = LinearRegression(fit_intercept=False)
    model.fit(keypoints.reshape(80, -1) - 0.5, landmarks.reshape(80, -1))
    expected = model.predict(keypoints.reshape(80, -1) - 0.5)
    assert fit.solve().predict(keypoints).reshape(80, -1) == pytest.approx(expected, abs=1e-10)


def test_no_argument_is_written_to() -> None:
    arrays = data(seen=0.8)
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.setflags(write=False)
    fit_regressor(*arrays, bias=True, centre=0.5).predict(arrays[0])
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
