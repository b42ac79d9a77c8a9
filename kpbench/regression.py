"""Linear regression from discovered keypoints to annotated landmarks, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.types import Array


@dataclass(frozen=True)
class LandmarkRegressor:
    """A fitted linear map; see `fit_regressor`.

    Attributes:
        weights: (2K, L, 2).
        offset: (L, 2), zero without bias.
        centre: subtracted from the keypoints and added to the prediction.
        rank: rank of the features, bias included; the smallest of the landmarks' fits.
        n_features: 2K, plus 1 with bias; a rank below it means the minimum-norm solution.
    """

    weights: Array
    offset: Array
    centre: float
    rank: int
    n_features: int

    def predict(self, keypoints: Array) -> Array:
        """Return landmarks (N, L, 2) in [0, 1] for keypoints (N, K, 2).

        Raises:
            InvalidInputError: another number of keypoints than in the fit.
        """
        features = _features(keypoints, self.centre)
        if features.shape[1] != len(self.weights):
            raise InvalidInputError(
                f"the regressor was fitted on {len(self.weights) // 2} keypoints, "
                f"got {features.shape[1] // 2}"
            )
        return np.tensordot(features, self.weights, axes=1) + self.offset + self.centre


def fit_regressor(
    keypoints: Array,
    landmarks: Array,
    visible: Array,
    *,
    bias: bool,
    centre: float = 0.0,
    ridge: float = 0.0,
    min_norm: bool = False,
) -> LandmarkRegressor:
    """Fit landmarks from all 2K keypoint coordinates by (ridge) least squares.

    Each landmark is fitted on the images where it is visible. The scale of the landmarks has no
    effect (the solution is linear in them), so there is no argument for it.

    Args:
        keypoints: (N, K, 2) in [0, 1].
        landmarks: (N, L, 2) in [0, 1].
        visible: (N, L) bool, the rows that a landmark is fitted on.
        bias: fit an offset, which `ridge` does not penalise.
        centre: subtracted from keypoints and landmarks; matters only without bias.
        ridge: penalty on the squared weights of keypoints in [0, 1].
        min_norm: take the minimum-norm solution where a landmark has fewer rows than features.

    Raises:
        UndefinedScoreError: a landmark is visible in no row; names the landmark.
        InvalidInputError: fewer rows than features without `min_norm` or `ridge`; wrong shapes.

    Example:
        >>> keypoints = np.random.default_rng(0).random((50, 3, 2))
        >>> landmarks = keypoints[:, ::-1] * 0.5 + 0.1
        >>> visible = np.ones((50, 3), bool)
        >>> regressor = fit_regressor(keypoints, landmarks, visible, bias=True)
        >>> bool(np.allclose(regressor.predict(keypoints), landmarks)), regressor.rank
        (True, 7)
    """
    features = _features(keypoints, centre)
    _check(features, landmarks, visible)
    targets = np.asarray(landmarks, np.float64) - centre
    n_features = features.shape[1] + bias
    weights = np.empty((features.shape[1], *landmarks.shape[1:]))
    offset = np.empty(landmarks.shape[1:])
    ranks = []
    for columns in _seen_together(visible):
        rows = visible[:, columns[0]]
        enough = 1 if min_norm or ridge > 0 else n_features
        _check_rows(int(rows.sum()), enough, n_features, columns)
        y = targets[rows][:, columns].reshape(int(rows.sum()), -1)
        w, b, rank = _least_squares(features[rows], y, bias, ridge)
        weights[:, columns] = w.reshape(-1, len(columns), 2)
        offset[columns] = b.reshape(-1, 2)
        ranks.append(rank)
    return LandmarkRegressor(weights, offset, centre, min(ranks), n_features)


def fitted_values(
    keypoints: Array, *, bias: bool, centre: float = 0.0, ridge: float = 0.0
) -> Callable[[Array], Array]:
    """Return the function from labels to their regression on `keypoints`, at the same rows.

    It equals fitting on all rows and predicting them, but the keypoints are factored only once, for
    rules that fit many labellings of the same images.

    Args:
        keypoints: (N, K, 2) in [0, 1].
        bias: as `fit_regressor`.
        centre: as `fit_regressor`.
        ridge: as `fit_regressor`.
    """
    u, s, _, _ = _factored(_features(keypoints, centre), bias)
    gain = s**2 / (s**2 + ridge)

    def fitted(landmarks: Array) -> Array:
        y = landmarks.reshape(len(landmarks), -1) - centre
        mean = y.mean(0) if bias else np.zeros(y.shape[1])
        values = (u * gain) @ (u.T @ (y - mean)) + mean + centre
        return np.asarray(values).reshape(landmarks.shape)

    return fitted


def inliers(distances: Array, sigmas: float) -> Array:
    """Return which samples are at most `sigmas` standard deviations above the mean, (N,) bool.

    The standard deviation is the unbiased one (AutoLink, `datasets/h36m.py`). Equality counts,
    unlike there: equal distances (a perfect fit) must not remove every sample.

    Args:
        distances: (N,).
        sigmas: how far.

    Example:
        >>> inliers(np.array([0.0] * 9 + [1.0]), 2.9).all(), inliers(np.zeros(5), 3.0).all()
        (np.True_, np.True_)
        >>> int(inliers(np.array([0.0] * 9 + [1.0]), 2.8).sum())
        9
    """
    return np.asarray(distances <= distances.mean() + sigmas * distances.std(ddof=1))


def _least_squares(x: Array, y: Array, bias: bool, ridge: float) -> tuple[Array, Array, int]:
    """Return weights, offset and rank; the minimum-norm solution where the rank is deficient."""
    u, s, vt, mean_x = _factored(x, bias)
    mean_y = y.mean(0) if bias else np.zeros(y.shape[1])
    weights = vt.T @ ((s / (s**2 + ridge))[:, None] * (u.T @ (y - mean_y)))
    return weights, mean_y - mean_x @ weights, len(s) + bias


def _factored(x: Array, bias: bool) -> tuple[Array, Array, Array, Array]:
    """Return u, s, vt of the features without their mean, of full rank, and the mean."""
    mean = x.mean(0) if bias else np.zeros(x.shape[1])
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    # relative to the features before centring: constant keypoints leave pure rounding error
    kept = s > np.finfo(np.float64).eps * max(x.shape) * float(np.linalg.norm(x))
    return u[:, kept], s[kept], vt[kept], mean


def _seen_together(visible: Array) -> list[list[int]]:
    """Return the landmarks grouped by equal visibility: they share rows and so one fit."""
    groups: dict[bytes, list[int]] = {}
    for landmark, column in enumerate(np.ascontiguousarray(visible.T)):
        groups.setdefault(column.tobytes(), []).append(landmark)
    return list(groups.values())


def _features(keypoints: Array, centre: float) -> Array:
    if keypoints.ndim != 3 or keypoints.shape[2] != 2 or 0 in keypoints.shape:
        raise InvalidInputError(f"keypoints must have shape (N, K, 2), got {keypoints.shape}")
    return np.asarray(keypoints, np.float64).reshape(len(keypoints), -1) - centre


def _check(features: Array, landmarks: Array, visible: Array) -> None:
    n = len(features)
    if landmarks.ndim != 3 or landmarks.shape[::2] != (n, 2) or landmarks.shape[1] == 0:
        raise InvalidInputError(f"landmarks must have shape ({n}, L, 2), got {landmarks.shape}")
    if visible.shape != landmarks.shape[:2] or visible.dtype != np.bool_:
        raise InvalidInputError(
            f"visible must be bool of shape {landmarks.shape[:2]}, got {visible.dtype} "
            f"{visible.shape}"
        )
    bad = ~np.isfinite(features).all(1) | ~np.isfinite(landmarks).all((1, 2))
    if bad.any():
        raise InvalidInputError(
            f"keypoints or landmarks are NaN or infinite in {int(bad.sum())} of {n} rows"
        )


def _check_rows(rows: int, enough: int, n_features: int, landmarks: list[int]) -> None:
    which = f"landmark{'s' if len(landmarks) > 1 else ''} {', '.join(map(str, landmarks))}"
    if rows == 0:
        raise UndefinedScoreError(
            f"{which}: visible in no training image, so nothing can be fitted; leave it out or "
            "annotate it"
        )
    if rows < enough:
        raise InvalidInputError(
            f"{which}: {rows} training rows for {n_features} features, the regression is "
            "under-determined; annotate more images or use fewer keypoints"
        )
