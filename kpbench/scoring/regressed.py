"""Score the landmarks that a fitted regression predicts for test images, part by part."""

from __future__ import annotations

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import UndefinedScoreError
from kpbench.scoring.detections import Detections
from kpbench.scoring.flips import Exchanged, exchange_is_closer, nearer_estimate, settle
from kpbench.scoring.metrics import absolute_errors, hits, interocular_distances, l2_errors
from kpbench.scoring.regression import LandmarkRegressor
from kpbench.scoring.spec import EvaluatorSpec
from kpbench.scoring.views import seen


def score_on(
    spec: EvaluatorSpec, regressor: LandmarkRegressor, test: Detections, notes: list[str]
) -> tuple[Array, Array, Array]:
    """Return predicted landmarks, their errors, and which errors count; may append to `notes`.

    Args:
        spec: the evaluator.
        regressor: fitted by `kpbench.scoring.fitting.fit_on` for it.
        test: the test images.
        notes: what a reader of the number has to know.

    Returns:
        Landmarks (N, L, 2) in [0, 1] of the image, before any exchange of left and right; errors
        (N, C) in the evaluator's unit, one column a landmark or coordinate; and (N, C) bool.

    Raises:
        UndefinedScoreError: eyes that coincide, or an image that has nothing to average.
        InvalidInputError: `test` lacks what `spec.needs`.
    """
    exchanged = _settled(spec, regressor, test)
    n_landmarks = test.landmarks.shape[1] if spec.joints is None else len(spec.joints)
    predictions = np.empty((len(test), n_landmarks, 2))
    errors = np.empty((len(test), n_landmarks * (2 if spec.error == "absolute" else 1)))
    valid = np.empty(errors.shape, bool)
    zero = empty = 0
    for view in seen(spec, test, fit=False):
        part, predicted = view.part, regressor.predict(view.part.keypoints)
        predictions[part.rows] = view.in_image(predicted)
        landmarks = exchanged.labels(part.landmarks, part.rows) if exchanged else part.landmarks
        if spec.test_flip == "estimate":
            predicted = nearer_estimate(predicted, landmarks, spec.order)
        found, counts = _errors(spec, predicted, landmarks, part.visible)
        if spec.eyes is not None and spec.frame != "eyes":
            both = part.visible[:, list(spec.eyes)].all(1)
            distance = np.where(both, interocular_distances(landmarks, spec.eyes), 0)[:, None]
            zero += int((distance == 0).sum())
            found, counts = found / np.where(distance == 0, 1.0, distance), counts & (distance > 0)
        empty += int((~part.visible.any(1)).sum())
        errors[part.rows], valid[part.rows] = found * spec.scale, counts
    _report(spec, zero, empty, len(test), notes)
    return predictions, errors, valid


def _settled(
    spec: EvaluatorSpec, regressor: LandmarkRegressor, test: Detections
) -> Exchanged | None:
    """Return the test labels, exchanged towards the prediction, if the evaluator does so."""
    if spec.test_flip != "labels":
        return None
    exchanged = Exchanged(len(test), spec.order)

    def closer() -> Array:
        found = np.empty(len(test), bool)
        for view in seen(spec, test, fit=False):
            part = view.part
            labels = exchanged.labels(part.landmarks, part.rows)
            predicted = regressor.predict(part.keypoints)
            found[part.rows] = exchange_is_closer(predicted, labels, exchanged.order)
        return found

    settle(exchanged, closer)
    return exchanged


def _errors(
    spec: EvaluatorSpec, predicted: Array, landmarks: Array, visible: Array
) -> tuple[Array, Array]:
    if spec.error == "absolute":
        return absolute_errors(predicted, landmarks), np.repeat(visible, 2, axis=1)
    if spec.threshold is not None:
        return hits(predicted, landmarks, spec.threshold), visible
    return l2_errors(predicted, landmarks), visible


def _report(spec: EvaluatorSpec, zero: int, empty: int, n: int, notes: list[str]) -> None:
    """Refuse test images on which the evaluator has no value, or note that they are left out."""
    if zero and not spec.skip_zero_eyes:
        raise UndefinedScoreError(
            f"{spec.name} divides by the distance of landmarks {spec.eyes}, which coincide or are "
            f"not both visible in {zero} of {n} test images; correct the landmarks or leave these "
            "images out"
        )
    if zero:
        notes.append(
            f"{zero} of {n} test images left out: landmarks {spec.eyes} coincide or are "
            "not both visible"
        )
    if empty and spec.aggregation in ("image_mean", "group_mean"):
        raise UndefinedScoreError(
            f"{spec.name} averages inside each image, and {empty} of {n} test images have "
            "no visible landmark; leave these images out"
        )
