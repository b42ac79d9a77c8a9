"""The one parametrised evaluator: fit keypoints to landmarks on train, score on test.

The named evaluators are data and lie with their data sets; `kpbench.scoring.named` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kpbench.contracts.types import Array, read_only
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.scoring.detections import Detections
from kpbench.scoring.fitting import fit_on
from kpbench.scoring.metrics import Aggregation, aggregate
from kpbench.scoring.places import looks_exchanged
from kpbench.scoring.regressed import score_on
from kpbench.scoring.regression import LandmarkRegressor
from kpbench.scoring.spec import EvaluatorSpec
from kpbench.scoring.statistics.resampling import bootstrap_interval

__all__ = [
    "Detections",
    "Evaluation",
    "EvaluatorSpec",
    "evaluate",
    "score_alone",
]

EXCHANGED = (
    "the keypoints look like (y, x): their centre follows the landmarks' with x and y exchanged; "
    "kpbench's points are (x, y)"
)
NO_ACTIVITY = ("", "nan", "none", "nat", "<na>")
"""How an activity that is missing reads as text."""


@dataclass(frozen=True)
class Evaluation:
    """A score, and what resampling its test images needs.

    Attributes:
        evaluator: name of the evaluator.
        metric: short name of the metric.
        unit: unit of all the numbers here.
        higher_is_better: whether a larger number is the better one.
        oracle_used: whether labels of test images took part in what was predicted for them.
        value: the score.
        ci95: percentile bootstrap interval of `value` over the test images.
        n_images: N, number of test images.
        errors: (N, C) float64, one column a landmark or coordinate.
        valid: (N, C) bool, the errors that count.
        aggregation: `aggregate(errors, valid, aggregation, groups)` is `value`.
        groups: (N,) activities, for an evaluator that averages over them, else None.
        group_values: the score of each activity alone, of which `value` is the mean; else empty.
        landmark_values: (L,) the score of each landmark alone; NaN where it is never visible.
        predicted: (N, L, 2) regressed landmarks in [0, 1] of the image, before any exchange of left
            and right.
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
    group_values: Mapping[str, float]
    landmark_values: Array
    predicted: Array
    rank: int
    n_features: int
    notes: tuple[str, ...]


def evaluate(spec: EvaluatorSpec, train: Detections, test: Detections) -> Evaluation:
    """Fit the regression on `train` and score its prediction on `test` under `spec`.

    Images are read part by part: memory grows with the test images by what is returned alone, and
    with the training images by two bytes an image where labels are exchanged.

    Raises:
        InvalidInputError: the two do not belong together or lack what the evaluator needs, the
            evaluator has no rule for a missing label, or there are fewer rows than features.
        UndefinedScoreError: nothing to average, no distance between the eyes, or a landmark that
            is visible in no training image.
    """
    notes: list[str] = []
    regressor, predicted, errors, valid, groups = _fitted_and_scored(spec, train, test, notes)
    columns = errors.shape[1] // predicted.shape[1]
    some = test.thinned()
    if looks_exchanged(some.keypoints, some.landmarks, some.visible):
        notes.append(EXCHANGED)
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
        group_values=_by_group(errors, valid, groups),
        landmark_values=_breakdown(errors, valid, spec.aggregation, groups, columns),
        predicted=read_only(predicted),
        rank=regressor.rank,
        n_features=regressor.n_features,
        notes=tuple(notes),
    )


def score_alone(spec: EvaluatorSpec, train: Detections, test: Detections) -> float:
    """Return `evaluate(spec, train, test).value`, without the time that interval and parts take.

    Raises:
        InvalidInputError: as `evaluate`.
        UndefinedScoreError: as `evaluate`, but for the interval.
    """
    _, _, errors, valid, groups = _fitted_and_scored(spec, train, test, [])
    return aggregate(errors, valid, spec.aggregation, groups)


def _fitted_and_scored(
    spec: EvaluatorSpec, train: Detections, test: Detections, notes: list[str]
) -> tuple[LandmarkRegressor, Array, Array, Array, Array | None]:
    """Return the regressor, predictions, errors, which of them count, and groups."""
    _check(spec, train, test)
    regressor = fit_on(spec, test if spec.fit_on == "test" else train, notes)
    predicted, errors, valid = score_on(spec, regressor, test, notes)
    _check_scored(spec, valid)
    return regressor, predicted, errors, valid, _groups(spec, test, notes)


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
    if spec.rows != "all":
        return
    for part, data in (("train", train), ("test", test)):
        missing = sum(int((~column.all(1)).sum()) for column in data.column("visible"))
        if missing:
            raise InvalidInputError(
                f"{spec.name} has no rule for missing labels, and {missing} of {len(data)} {part} "
                "images lack one; leave these images out"
            )


def _check_scored(spec: EvaluatorSpec, valid: Array) -> None:
    """Refuse a sum over landmarks of which one is never visible."""
    if spec.aggregation != "component_sum" or not valid.any():
        return
    each = 2 if spec.error == "absolute" else 1
    empty = np.flatnonzero(~np.atleast_1d(valid.any(0))[::each])
    if len(empty):
        joints = empty if spec.joints is None else np.array(spec.joints)[empty]
        raise UndefinedScoreError(
            f"{spec.name} sums over the landmarks, and landmark{'s' if len(joints) > 1 else ''} "
            f"{', '.join(map(str, joints))} (counted from 0) {'are' if len(joints) > 1 else 'is'} "
            f"visible in none of the {len(valid)} test images; leave "
            f"{'them' if len(joints) > 1 else 'it'} out of train and test"
        )


def _groups(spec: EvaluatorSpec, test: Detections, notes: list[str]) -> Array | None:
    if spec.aggregation != "group_mean":
        return None
    if test.activities is None:
        notes.append("no activities given: all test images count as one activity")
        return np.full(len(test), "all")
    if missing := int(np.isin(np.char.lower(test.activities), NO_ACTIVITY).sum()):
        raise InvalidInputError(
            f"{spec.name} averages over activities, and {missing} of {len(test)} test images have "
            "none (NaN or empty); name them, leave these images out, or give no activities"
        )
    return test.activities


def _by_group(errors: Array, valid: Array, groups: Array | None) -> Mapping[str, float]:
    values: dict[str, float] = {}
    for name in [] if groups is None else np.unique(groups).tolist():
        rows = groups == name
        values[name] = aggregate(errors[rows], valid[rows], "image_mean")
    return values


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
