"""Score a fitted method on a protocol: predict, check, regress, evaluate."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kpbench.api import Array, EvaluationProtocol, Keypoints, Labelled, LabelReader, Method, Splits
from kpbench.evaluators import Detections, Evaluation, EvaluatorSpec, evaluate
from kpbench.records import Score
from kpbench.stats import save_scores


@dataclass(frozen=True)
class Measured:
    """Scores by evaluator, and the files to keep: predictions and per-image scores."""

    scores: Mapping[str, Score]
    foreground_hits: float | None
    files: Mapping[str, bytes]
    seconds: Mapping[str, float]


def measure(
    method: Method, protocol: EvaluationProtocol, splits: Splits, n_keypoints: int | None = None
) -> Measured:
    """Predict both labelled splits and score them under every evaluator of the protocol.

    Args:
        method: fitted.
        protocol: scores.
        splits: its data.
        n_keypoints: K of the method, where it was trained for another protocol.

    Raises:
        ContractError: the predictions break the contract.
        UndefinedScoreError: an evaluator has nothing to average.
    """
    clock = time.perf_counter()
    k = n_keypoints or protocol.n_keypoints
    train = predict(method, splits.regression, k)
    test = predict(method, splits.test, k)
    predicted = time.perf_counter()
    evaluations = [
        evaluate(spec, detections(train, splits.regression), detections(test, splits.test))
        for spec in protocol.evaluators
    ]
    scores = {
        spec.name: as_score(found, spec)
        for spec, found in zip(protocol.evaluators, evaluations, strict=True)
    }
    files = {
        "predictions": _pack(train, splits.regression, test, splits.test),
        "scores": save_scores(evaluations),
    }
    seconds = {
        "predict": round(predicted - clock, 3),
        "score": round(time.perf_counter() - predicted, 3),
    }
    return Measured(scores, foreground_hits(test.points, splits.test.images.mask), files, seconds)


def predict(method: Method, labelled: Labelled, n_keypoints: int) -> Keypoints:
    """Return checked keypoints; the oracle alone is shown the labels.

    Raises:
        ContractError: wrong shape, NaN or a wrong unit.
    """
    if isinstance(method, LabelReader) and method.task == "labels->2D":
        return method.read(labelled).checked(len(labelled), None, method.name)
    found = method.predict(labelled.images.restricted(method.inputs))
    return found.checked(len(labelled), n_keypoints, method.name)


def detections(found: Keypoints, labelled: Labelled) -> Detections:
    """Pair predictions with the annotation, as the evaluators read them."""
    return Detections(np.asarray(found.points), labelled.landmarks, labelled.visible)


def as_score(found: Evaluation, spec: EvaluatorSpec) -> Score:
    """Return what a record keeps of an evaluation."""
    return Score(
        metric=found.metric,
        unit=found.unit,
        higher_is_better=found.higher_is_better,
        oracle_used=spec.oracle_used,
        value=found.value,
        ci95=found.ci95,
        n_images=found.n_images,
        rank=found.rank,
        n_features=found.n_features,
        notes=found.notes,
    )


def foreground_hits(points: Array, mask: Array | None) -> float | None:
    """Return the share of keypoints on the object.

    Args:
        points: (N, K, 2), (x, y) in [0, 1]; a point outside of the image is a miss.
        mask: (N, H, W) bool, or None.

    Example:
        >>> mask = np.array([[[True, False], [False, False]]])
        >>> foreground_hits(np.array([[[0.2, 0.2], [0.7, 0.2]]]), mask)
        0.5
    """
    if mask is None:
        return None
    height, width = mask.shape[1:]
    inside = ((points >= 0) & (points < 1)).all(-1)
    column = np.clip((points[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip((points[..., 1] * height).astype(int), 0, height - 1)
    hit = mask[np.arange(len(mask))[:, None], row, column] & inside
    return float(hit.mean())


def _pack(train: Keypoints, train_set: Labelled, test: Keypoints, test_set: Labelled) -> bytes:
    """Return an npz as `kpbench score` reads it."""
    arrays: dict[str, Array] = {}
    for split, found, labelled in (("train", train, train_set), ("test", test, test_set)):
        arrays[f"{split}_keypoints"] = np.asarray(found.points, np.float32)
        arrays[f"{split}_landmarks"] = np.asarray(labelled.landmarks, np.float32)
        arrays[f"{split}_visible"] = labelled.visible
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
