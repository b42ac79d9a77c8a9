"""The one parametrised evaluator: fit keypoints to landmarks on train, score on test.

The named evaluators are data, in `kpbench.presets`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kpbench.detections import Detections
from kpbench.errors import InvalidInputError, UndefinedScoreError, UnknownNameError
from kpbench.flips import (
    exchange_back_facing,
    mean_l2,
    nearer_estimate,
    permutation,
    settle,
)
from kpbench.metrics import (
    Aggregation,
    absolute_errors,
    aggregate,
    hits,
    interocular_distances,
    l2_errors,
)
from kpbench.presets import EVALUATORS
from kpbench.regression import LandmarkRegressor, fit_regressor, fitted_values, inliers
from kpbench.spec import EvaluatorSpec
from kpbench.stats import bootstrap_interval
from kpbench.types import Array, read_only

__all__ = [
    "EVALUATORS",
    "Detections",
    "Evaluation",
    "EvaluatorSpec",
    "evaluate",
    "evaluators_of",
    "get_evaluator",
]


@dataclass(frozen=True)
class Evaluation:
    """A score, and what resampling its test images needs.

    Attributes:
        evaluator: name of the evaluator.
        metric: short name of the metric.
        unit: unit of all the numbers here.
        higher_is_better: whether a larger value is the better one.
        oracle_used: whether test labels took part in the choice of what was scored.
        value: the score.
        ci95: percentile bootstrap interval of `value` over the test images.
        n_images: N, number of test images.
        errors: (N, C) float64, one column a landmark or coordinate.
        valid: (N, C) bool, the errors that count.
        aggregation: `aggregate(errors, valid, aggregation, groups)` is `value`.
        groups: (N,) activities, for an evaluator that averages over them, else None.
        landmark_values: (L,) the score of each landmark alone; NaN where it is never visible.
        predicted: (N, L, 2) regressed landmarks in [0, 1], made without test labels.
        rank: rank of the features in the fit (bias included).
        n_features: number of features (bias included); a rank below it is reported in `notes`.
        notes: what a reader of the number has to know.
    """

    evaluator: str
    metric: str
    unit: str
    higher_is_better: bool
    oracle_used: bool
    value: float
    ci95: tuple[float, float]
    n_images: int
    errors: Array
    valid: Array
    aggregation: Aggregation
    groups: Array | None
    landmark_values: Array
    predicted: Array
    rank: int
    n_features: int
    notes: tuple[str, ...]


def get_evaluator(name: str) -> EvaluatorSpec:
    """Return the named evaluator.

    Raises:
        UnknownNameError: there is none of that name.

    Example:
        >>> get_evaluator("taichi/siarohin").metric
        'cumulative MAE'
    """
    if name not in EVALUATORS:
        raise UnknownNameError.of("evaluator", name, EVALUATORS)
    return EVALUATORS[name]


def evaluators_of(dataset: str) -> list[EvaluatorSpec]:
    """Return the evaluators of a data set, the papers' first and the strict one last.

    Raises:
        UnknownNameError: there is none for that data set.

    Example:
        >>> [spec.name for spec in evaluators_of("deepfashion")]
        ['deepfashion/autolink', 'deepfashion/stablekeypoints', 'deepfashion/strict']
    """
    found = [spec for spec in EVALUATORS.values() if spec.dataset == dataset]
    if not found:
        datasets = {spec.dataset for spec in EVALUATORS.values()}
        raise UnknownNameError.of("data set with evaluators", dataset, datasets)
    return found


def evaluate(spec: EvaluatorSpec, train: Detections, test: Detections) -> Evaluation:
    """Fit the regression on `train` and score its prediction on `test` under `spec`.

    Raises:
        InvalidInputError: the two do not belong together, the evaluator has no rule for a missing
            label, or there are fewer rows than features.
        UndefinedScoreError: nothing to average, no distance between the eyes, or a landmark that
            is visible in no training image.
    """
    _check(spec, train, test)
    notes: list[str] = []
    regressor = _fit(spec, _selected(spec, train, fit=True), notes)
    test = _selected(spec, test, fit=False)
    predicted = regressor.predict(test.keypoints)
    errors, valid = _errors(spec, predicted, test, notes)
    groups = _groups(spec, test, notes)
    columns = errors.reshape(len(errors), test.landmarks.shape[1], -1).shape[2]
    return Evaluation(
        evaluator=spec.name,
        metric=spec.metric,
        unit=spec.unit,
        higher_is_better=spec.higher_is_better,
        oracle_used=spec.oracle_used,
        value=aggregate(errors, valid, spec.aggregation, groups),
        ci95=bootstrap_interval(errors, valid, spec.aggregation, groups),
        n_images=len(test),
        errors=read_only(errors),
        valid=read_only(valid),
        aggregation=spec.aggregation,
        groups=groups,
        landmark_values=_breakdown(errors, valid, spec.aggregation, groups, columns),
        predicted=read_only(predicted),
        rank=regressor.rank,
        n_features=regressor.n_features,
        notes=tuple(notes),
    )


def _check(spec: EvaluatorSpec, train: Detections, test: Detections) -> None:
    for name in ("keypoints", "landmarks"):
        sizes = [getattr(part, name).shape[1] for part in (train, test)]
        if sizes[0] != sizes[1]:
            raise InvalidInputError(f"train has {sizes[0]} {name} an image, but test {sizes[1]}")
    n_landmarks = test.landmarks.shape[1]
    needed = max(spec.eyes or (0,)) + 1
    if n_landmarks < needed or n_landmarks != (spec.n_landmarks or n_landmarks):
        raise InvalidInputError(
            f"{spec.name} is defined on {spec.n_landmarks or f'at least {needed}'} landmarks, "
            f"got {n_landmarks}"
        )
    for part, data in (("train", train), ("test", test)):
        missing = int((~data.visible.all(1)).sum())
        if spec.rows == "all" and missing:
            raise InvalidInputError(
                f"{spec.name} has no rule for missing labels, and {missing} of {len(data)} {part} "
                "images lack one; leave these images out"
            )


def _selected(spec: EvaluatorSpec, data: Detections, *, fit: bool) -> Detections:
    """Apply the rules that look at labels alone: facing (for the fit), joints, visibility."""
    landmarks, visible = data.landmarks, data.visible
    if fit and spec.train_flip == "back_facing":
        landmarks = exchange_back_facing(landmarks, spec.pairs)
    if spec.joints is not None:
        landmarks, visible = landmarks[:, spec.joints], visible[:, spec.joints]
    if spec.rows == "positive":
        visible = visible & (landmarks > 0).all(2)
    return replace(data, landmarks=landmarks, visible=visible)


def _fit(spec: EvaluatorSpec, train: Detections, notes: list[str]) -> LandmarkRegressor:
    def fit(labels: Array, rows: Array | slice = slice(None)) -> LandmarkRegressor:
        return fit_regressor(
            train.keypoints[rows],
            labels[rows],
            train.visible[rows],
            bias=spec.bias,
            centre=spec.centre,
            ridge=spec.ridge,
            min_norm=spec.min_norm,
        )

    labels = train.landmarks
    if spec.train_flip == "em":
        order = permutation(spec.pairs, labels.shape[1])
        fitted = fitted_values(
            train.keypoints, bias=spec.bias, centre=spec.centre, ridge=spec.ridge
        )
        labels, unsettled = settle(labels, order, fitted)
        if unsettled:
            notes.append(f"left/right of {unsettled} training labels had not settled")
    regressor = fit(labels)
    if spec.trim is not None:
        distances = mean_l2(regressor.predict(train.keypoints), labels)
        regressor = fit(labels, inliers(distances, spec.trim))
    if regressor.rank < regressor.n_features:
        notes.append(
            f"the keypoints are linearly dependent (rank {regressor.rank} of "
            f"{regressor.n_features}): minimum-norm solution"
        )
    return regressor


def _errors(
    spec: EvaluatorSpec, predicted: Array, test: Detections, notes: list[str]
) -> tuple[Array, Array]:
    landmarks, visible = test.landmarks, test.visible
    if spec.test_flip != "none":
        order = permutation(spec.pairs, landmarks.shape[1])
        if spec.test_flip == "labels":
            landmarks, _ = settle(landmarks, order, lambda _: predicted)
        else:
            predicted = nearer_estimate(predicted, landmarks, order)
    if spec.error == "absolute":
        errors, visible = absolute_errors(predicted, landmarks), np.repeat(visible, 2, axis=1)
    elif spec.threshold is not None:
        errors = hits(predicted, landmarks, spec.threshold)
    else:
        errors = l2_errors(predicted, landmarks)
    if spec.eyes is not None:
        errors, visible = _by_eyes(spec, errors, visible, landmarks, notes)
    elif spec.aggregation == "image_mean" and (empty := int((~visible.any(1)).sum())):
        raise UndefinedScoreError(
            f"{spec.name} averages inside each image, and {empty} of {len(test)} test images have "
            "no visible landmark; leave these images out"
        )
    return errors * spec.scale, visible


def _by_eyes(
    spec: EvaluatorSpec, errors: Array, valid: Array, landmarks: Array, notes: list[str]
) -> tuple[Array, Array]:
    assert spec.eyes is not None
    distance = interocular_distances(landmarks, spec.eyes)[:, None]
    zero = distance == 0
    if count := int(zero.sum()):
        if not spec.skip_zero_eyes:
            raise UndefinedScoreError(
                f"the eyes coincide in {count} of {len(errors)} test images, so {spec.name} "
                "divides by zero; correct the landmarks or leave these images out"
            )
        notes.append(f"{count} of {len(errors)} test images left out: the eyes coincide")
    return errors / np.where(zero, 1.0, distance), valid & ~zero


def _groups(spec: EvaluatorSpec, test: Detections, notes: list[str]) -> Array | None:
    if spec.aggregation != "group_mean":
        return None
    if test.activities is None:
        notes.append("no activities given: all test images count as one activity")
        return np.full(len(test), "all")
    return test.activities


def _breakdown(
    errors: Array, valid: Array, aggregation: Aggregation, groups: Array | None, columns: int
) -> Array:
    values = []
    for first in range(0, errors.shape[1], columns):
        part = slice(first, first + columns)
        try:
            values.append(aggregate(errors[:, part], valid[:, part], aggregation, groups))
        except UndefinedScoreError:
            values.append(np.nan)
    return np.array(values)
