"""Linear regression from discovered keypoints to annotated landmarks: one pass, in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError


@dataclass(frozen=True)
class LandmarkRegressor:
    """A fitted linear map; see `fit_regressor`.

    Attributes:
        weights: (2K, L, 2).
        offset: (L, 2), added to the prediction; the centre of the landmarks without bias.
        centre: subtracted from the keypoints.
        rank: rank of the features, bias included; the smallest of the landmarks' fits.
        n_features: 2K, plus 1 with bias; a rank below it means the minimum-norm solution.
    """

    weights: Array
    offset: Array
    centre: float
    rank: int
    n_features: int

    def predict(self, keypoints: Array) -> Array:
        """Return landmarks (N, L, 2) for keypoints (N, K, 2), in the units of the fit.

        Raises:
            InvalidInputError: another number of keypoints than in the fit.
        """
        features = _features(keypoints) - self.centre
        if features.shape[1] != len(self.weights):
            raise InvalidInputError(
                f"the regressor was fitted on {len(self.weights) // 2} keypoints, "
                f"got {features.shape[1] // 2}"
            )
        return np.tensordot(features, self.weights, axes=1) + self.offset


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
    fit = RegressionFit(bias=bias, centre=centre, ridge=ridge, min_norm=min_norm)
    fit.add(keypoints, landmarks, visible)
    return fit.solve()


@dataclass
class _Group:
    """Landmarks seen together so far: the triangle R of [1, keypoints] = Q R, and Qᵀ landmarks."""

    landmarks: list[int]
    rows: int
    r: Array
    t: Array

    def part(self, which: list[int]) -> _Group:
        columns = [2 * i + axis for i in which for axis in (0, 1)]
        return replace(self, landmarks=[self.landmarks[i] for i in which], t=self.t[:, columns])


class RegressionFit:
    """`fit_regressor` over images that come in parts, in memory that does not grow with them.

    A QR decomposition of the features after a column of ones is updated with each part
    (Householder; Golub and Van Loan, Matrix Computations, 6.5; Demmel et al., TSQR, 2012): it holds
    all that least squares needs. Unlike sums of products it does not square the condition number.

    Args:
        bias: as `fit_regressor`.
        centre: as `fit_regressor`.
        landmark_centre: subtracted from the landmarks, when it is not `centre`.
        ridge: as `fit_regressor`.
        min_norm: as `fit_regressor`.

    Example:
        >>> keypoints = np.random.default_rng(0).random((50, 3, 2))
        >>> visible = np.ones((50, 3), bool)
        >>> fit = RegressionFit(bias=True)
        >>> for rows in (slice(0, 20), slice(20, 50)):
        ...     fit.add(keypoints[rows], keypoints[rows, ::-1], visible[rows])
        >>> bool(np.allclose(fit.solve().predict(keypoints), keypoints[:, ::-1]))
        True
    """

    def __init__(
        self,
        *,
        bias: bool,
        centre: float = 0.0,
        landmark_centre: float | None = None,
        ridge: float = 0.0,
        min_norm: bool = False,
    ) -> None:
        """Start without images."""
        self._bias, self._ridge, self._min_norm = bias, ridge, min_norm
        self._centre = centre
        self._landmark_centre = centre if landmark_centre is None else landmark_centre
        self._shift = np.empty(0)
        self._groups: list[_Group] = []

    def add(self, keypoints: Array, landmarks: Array, visible: Array) -> None:
        """Take in more images.

        Args:
            keypoints: (n, K, 2).
            landmarks: (n, L, 2).
            visible: (n, L) bool, the rows that a landmark is fitted on.

        Raises:
            InvalidInputError: wrong shapes or types, NaN, or another K or L than before.
        """
        features = _features(keypoints)
        _check(features, landmarks, visible)
        if not self._groups:
            self._start(features, landmarks.shape[1])
        known = (len(self._shift), sum(len(group.landmarks) for group in self._groups))
        if known != (features.shape[1], landmarks.shape[1]):
            raise InvalidInputError(
                f"{features.shape[1] // 2} keypoints and {landmarks.shape[1]} landmarks, but "
                f"{known[0] // 2} and {known[1]} before"
            )
        columns = np.hstack([np.ones((len(features), 1)), features - self._shift])
        targets = np.asarray(landmarks, np.float64) - self._landmark_centre
        self._groups = [
            _extended(part, columns, targets, visible)
            for group in self._groups
            for part in _split(group, visible)
        ]

    def solve(self) -> LandmarkRegressor:
        """Return the fit to all images so far.

        Raises:
            UndefinedScoreError: as `fit_regressor`.
            InvalidInputError: as `fit_regressor`; or there were no images.
        """
        if not self._groups:
            raise InvalidInputError("nothing to fit: no images were added")
        n_features = len(self._shift) + self._bias
        n_landmarks = sum(len(group.landmarks) for group in self._groups)
        weights = np.empty((len(self._shift), n_landmarks, 2))
        offset = np.empty((n_landmarks, 2))
        ranks = []
        for group in self._groups:
            enough = 1 if self._min_norm or self._ridge > 0 else n_features
            _check_rows(group.rows, enough, n_features, group.landmarks)
            w, b, rank = self._solved(group)
            weights[:, group.landmarks] = w.reshape(-1, len(group.landmarks), 2)
            offset[group.landmarks] = b.reshape(-1, 2) + self._landmark_centre
            ranks.append(rank)
        return LandmarkRegressor(weights, offset, self._centre, min(ranks), n_features)

    def _start(self, features: Array, n_landmarks: int) -> None:
        # near their mean the features lose no digits to it; `_solved` moves them back exactly
        self._shift = features.mean(0)
        empty = np.empty((0, 1 + len(self._shift))), np.empty((0, 2 * n_landmarks))
        self._groups = [_Group(list(range(n_landmarks)), 0, *empty)]

    def _solved(self, group: _Group) -> tuple[Array, Array, int]:
        """Return weights, offset and rank; of minimum norm where the rank is deficient."""
        ones, x, y = group.r[:, :1], group.r[:, 1:], group.t
        x = x + ones * (self._shift - self._centre)
        # relative to the features before centring: constant keypoints leave pure rounding error
        size = float(np.linalg.norm(x))
        mean_x, mean_y = np.zeros(x.shape[1]), np.zeros(y.shape[1])
        if self._bias:  # the first row is what the column of ones explains
            mean_x, mean_y = x[0] / ones[0], y[0] / ones[0]
            x, y = x[1:], y[1:]
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        kept = s > np.finfo(np.float64).eps * max(group.rows, x.shape[1]) * size
        u, s, vt = u[:, kept], s[kept], vt[kept]
        weights = vt.T @ ((s / (s**2 + self._ridge))[:, None] * (u.T @ y))
        return weights, mean_y - mean_x @ weights, len(s) + self._bias


def _split(group: _Group, visible: Array) -> list[_Group]:
    """Return the landmarks of a group, apart where these images show one but not the other."""
    together: dict[bytes, list[int]] = {}
    for i, landmark in enumerate(group.landmarks):
        together.setdefault(visible[:, landmark].tobytes(), []).append(i)
    return [group] if len(together) == 1 else [group.part(which) for which in together.values()]


def _extended(group: _Group, columns: Array, targets: Array, visible: Array) -> _Group:
    rows = visible[:, group.landmarks[0]]
    if len(group.landmarks) < targets.shape[1]:
        targets = targets[:, group.landmarks]
    y = targets.reshape(len(targets), -1)
    if not rows.all():
        columns, y = columns[rows], y[rows]
    if not len(columns):
        return group
    q, r = np.linalg.qr(np.vstack([group.r, columns]))
    before = len(group.r)
    t = q[:before].T @ group.t + q[before:].T @ y
    return replace(group, rows=group.rows + len(columns), r=r, t=t)


def _features(keypoints: Array) -> Array:
    if keypoints.ndim != 3 or keypoints.shape[2] != 2 or 0 in keypoints.shape:
        raise InvalidInputError(f"keypoints must have shape (N, K, 2), got {keypoints.shape}")
    return np.asarray(keypoints, np.float64).reshape(len(keypoints), -1)


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
