"""Fit an evaluator's regression on labelled detections, part by part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kpbench.contracts.types import Array
from kpbench.scoring.detections import Detections, Part
from kpbench.scoring.flips import Exchanged, exchange, exchange_is_closer, mean_l2, settle
from kpbench.scoring.regression import LandmarkRegressor, RegressionFit
from kpbench.scoring.spec import EvaluatorSpec
from kpbench.scoring.views import seen

Labels = Callable[[Part], Array]
"""The labels (n, L, 2) that are used for a part."""


class Spread:
    """Mean and unbiased standard deviation of numbers that come in parts.

    Source: Chan, Golub and LeVeque, Updating formulae for computing sample variances, 1979.

    Example:
        >>> spread = Spread()
        >>> for values in ([1.0, 2.0], [6.0]):
        ...     spread.add(np.array(values))
        >>> spread.mean, round(spread.deviation, 3)
        (3.0, 2.646)
    """

    def __init__(self) -> None:
        """Start without numbers."""
        self._n = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, values: Array) -> None:
        """Take in more numbers, (n,)."""
        n, mean = len(values), float(values.mean())
        gap, total = mean - self.mean, self._n + n
        self._squares += float(((values - mean) ** 2).sum()) + gap**2 * self._n * n / total
        self.mean += gap * n / total
        self._n = total

    @property
    def deviation(self) -> float:
        """The standard deviation, with n - 1."""
        return float(np.sqrt(self._squares / max(self._n - 1, 1)))


def fit_on(spec: EvaluatorSpec, train: Detections, notes: list[str]) -> LandmarkRegressor:
    """Fit the regression of `spec` on `train`; appends to `notes` what a reader has to know.

    Raises:
        InvalidInputError: fewer rows than features, or `train` lacks what `spec.needs`.
        UndefinedScoreError: a landmark is visible in no training image.
    """
    labels: Labels = _annotated
    if spec.train_flip == "em":
        regressor, labels = _expectation_maximisation(spec, train, notes)
    else:
        regressor = _one_fit(spec, train, labels)
    if spec.trim is not None:
        regressor = _trimmed(spec, train, labels, regressor)
    if regressor.rank < regressor.n_features:
        notes.append(
            f"the keypoints are linearly dependent (rank {regressor.rank} of "
            f"{regressor.n_features}): minimum-norm solution"
        )
    return regressor


def _annotated(part: Part) -> Array:
    return part.landmarks


def _start(spec: EvaluatorSpec) -> RegressionFit:
    return RegressionFit(
        bias=spec.bias,
        centre=spec.centre,
        landmark_centre=spec.landmark_centre,
        ridge=spec.ridge,
        min_norm=spec.min_norm,
    )


def _one_fit(spec: EvaluatorSpec, train: Detections, labels: Labels) -> LandmarkRegressor:
    fit = _start(spec)
    for view in seen(spec, train, fit=True):
        fit.add(view.part.keypoints, labels(view.part), view.part.visible)
    return fit.solve()


def _expectation_maximisation(
    spec: EvaluatorSpec, train: Detections, notes: list[str]
) -> tuple[LandmarkRegressor, Labels]:
    """Exchange labels towards the fit and fit again, one pass a round, until they settle."""
    exchanged = Exchanged(len(train), spec.order)
    regressor = _one_fit(spec, train, _annotated)
    following: RegressionFit | None = None

    def labels(part: Part) -> Array:
        return exchanged.labels(part.landmarks, part.rows)

    def round_() -> Array:
        """Return which labels the last fit contradicts, and fit to the labels without those."""
        nonlocal regressor, following
        regressor = following.solve() if following else regressor
        following = _start(spec)
        closer = np.empty(len(train), bool)
        for view in seen(spec, train, fit=True):
            part, now = view.part, labels(view.part)
            found = exchange_is_closer(regressor.predict(part.keypoints), now, exchanged.order)
            closer[part.rows] = found
            after = exchange(now, exchanged.order, found)
            following.add(part.keypoints, after, part.visible)
        return closer

    if unsettled := settle(exchanged, round_):
        notes.append(f"left/right of {unsettled} training labels had not settled")
        assert following is not None
        regressor = following.solve()
    return regressor, labels


def _trimmed(
    spec: EvaluatorSpec, train: Detections, labels: Labels, regressor: LandmarkRegressor
) -> LandmarkRegressor:
    """Fit again without the samples far above the mean distance.

    Equality counts as near, unlike in AutoLink's `datasets/h36m.py`: equal distances (a perfect
    fit) must not remove every sample.
    """
    assert spec.trim is not None

    def distances(part: Part) -> Array:
        return mean_l2(regressor.predict(part.keypoints), labels(part))

    spread = Spread()
    for view in seen(spec, train, fit=True):
        spread.add(distances(view.part))
    limit = spread.mean + spec.trim * spread.deviation
    fit = _start(spec)
    for view in seen(spec, train, fit=True):
        part, near = view.part, distances(view.part) <= limit
        if near.any():
            fit.add(part.keypoints[near], labels(part)[near], part.visible[near])
    return fit.solve()
