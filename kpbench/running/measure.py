"""Score a fitted method on a protocol: predict, check, regress, evaluate, diagnose."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kpbench.api import (
    Array,
    EvaluationProtocol,
    ImageSet,
    Keypoints,
    Labelled,
    LabelReader,
    Method,
    Splits,
)
from kpbench.diagnosis.equivariance import equivariance
from kpbench.diagnosis.label_efficiency import label_efficiency
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.records.record import LabelCurve, Score
from kpbench.scoring.evaluators import Detections, Evaluation, EvaluatorSpec, evaluate
from kpbench.scoring.per_image import save_scores
from kpbench.scoring.stats import bootstrap_interval, clusters_of

KNOWN = ("activities", "boxes", "aspect")
"""What a `Labelled` may know of its images besides the landmarks, and evaluators may read."""


@dataclass(frozen=True)
class Measured:
    """What a record keeps of a run, and the files to keep: predictions and per-image scores."""

    scores: Mapping[str, Score]
    unscored: Mapping[str, str]
    foreground_hits: float | None
    equivariance: Mapping[str, float]
    label_efficiency: LabelCurve | None
    files: Mapping[str, bytes]
    seconds: Mapping[str, float]


def measure(
    method: Method, protocol: EvaluationProtocol, splits: Splits, n_keypoints: int | None = None
) -> Measured:
    """Predict both labelled splits and score them under every evaluator of the protocol.

    Linear algebra runs on one thread: another number of them would sum in another order, and a
    score depend on the machine, or on how many cells are run side by side.

    Args:
        method: fitted.
        protocol: scores.
        splits: its data.
        n_keypoints: K of the method, where it was trained for another protocol.

    Raises:
        ContractError: the predictions break the contract.
        UndefinedScoreError: the default evaluator has nothing to average.
        InvalidInputError: the default evaluator cannot be applied, e.g. for want of rows. Any other
            evaluator that cannot be is reported in `Measured.unscored`.
    """
    import scipy.linalg  # noqa: F401 - the limit binds what is loaded, and this has a BLAS of its own
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return _measure(method, protocol, splits, n_keypoints)


def _measure(
    method: Method, protocol: EvaluationProtocol, splits: Splits, n_keypoints: int | None
) -> Measured:
    clock = time.perf_counter()
    k = n_keypoints or protocol.n_keypoints
    train, test = predict(method, splits.regression, k), predict(method, splits.test, k)
    predicted = time.perf_counter()
    pair = detections(train, splits.regression), detections(test, splits.test)
    found, unscored = _evaluations(protocol, *pair)
    evaluations = list(found.values())
    specs = [spec for spec in protocol.evaluators if spec.name in found]
    scores = {spec.name: as_score(found[spec.name], spec, splits.test.groups) for spec in specs}
    files = {
        "predictions": _pack(train, splits.regression, test, splits.test),
        "scores": save_scores(evaluations, splits.test.groups, _landmarks(protocol, evaluations)),
    }
    scored = time.perf_counter()
    return Measured(
        scores=scores,
        unscored=unscored,
        foreground_hits=foreground_hits(test.points, splits.test.images.mask),
        equivariance=_equivariance(method, splits.test.images, test),
        label_efficiency=_label_efficiency(specs, *pair),
        files=files,
        seconds={
            "predict": round(predicted - clock, 3),
            "score": round(scored - predicted, 3),
            "diagnose": round(time.perf_counter() - scored, 3),
        },
    )


def _evaluations(
    protocol: EvaluationProtocol, train: Detections, test: Detections
) -> tuple[dict[str, Evaluation], dict[str, str]]:
    """Return evaluations by evaluator, and why the others could not be made."""
    found: dict[str, Evaluation] = {}
    unscored: dict[str, str] = {}
    for spec in protocol.evaluators:
        try:
            found[spec.name] = evaluate(spec, train, test)
        except (InvalidInputError, UndefinedScoreError) as error:
            if spec.name == protocol.evaluator:
                raise
            unscored[spec.name] = str(error)
    return found, unscored


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
    known = {name: getattr(labelled, name) for name in KNOWN}
    return Detections(np.asarray(found.points), labelled.landmarks, labelled.visible, **known)


def as_score(found: Evaluation, spec: EvaluatorSpec, identities: Array | None = None) -> Score:
    """Return what a record keeps of an evaluation.

    Args:
        found: the evaluation.
        spec: its evaluator.
        identities: (N,) who or what each test image shows; where these are enough, the interval is
            over them (see `clusters_of`).
    """
    clusters = clusters_of(identities)
    ci95 = found.ci95
    if clusters is not None:
        ci95 = bootstrap_interval(
            found.errors, found.valid, found.aggregation, found.groups, clusters=clusters
        )
    return Score(
        metric=found.metric,
        unit=found.unit,
        higher_is_better=found.higher_is_better,
        oracle_used=spec.oracle_used,
        value=found.value,
        ci95=ci95,
        n_images=found.n_images,
        rank=found.rank,
        n_features=found.n_features,
        notes=found.notes,
        resampled="images" if clusters is None else "identities",
    )


def foreground_hits(points: Array, mask: Array | None) -> float | None:
    """Return the share of keypoints on the object: the foreground-hit rate.

    The object may be given by any mask: rendered, segmented, or a filled box. A keypoint counts as
    a hit when its pixel of the mask is set; images whose mask is empty show no object and are left
    out. Reading the share needs the object's own share of the image, which random points hit.

    Args:
        points: (N, K, 2), (x, y) in [0, 1]; a point outside of the image is a miss.
        mask: (N, H, W) bool of any size, or None.

    Returns:
        In [0, 1]; None without masks, or when all are empty.

    Raises:
        InvalidInputError: not a mask for each image.

    Example:
        >>> mask = np.array([[[True, False], [False, False]]])
        >>> foreground_hits(np.array([[[0.2, 0.2], [0.7, 0.2]]]), mask)
        0.5
    """
    if mask is None:
        return None
    if mask.ndim != 3 or len(mask) != len(points) or mask.dtype != np.bool_:
        raise InvalidInputError(
            f"a mask must be bool of shape ({len(points)}, H, W), got {mask.dtype} {mask.shape}"
        )
    shown = mask.any((1, 2))
    if not shown.any():
        return None
    height, width = mask.shape[1:]
    inside = ((points >= 0) & (points < 1)).all(-1)
    column = np.clip((points[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip((points[..., 1] * height).astype(int), 0, height - 1)
    hit = mask[np.arange(len(mask))[:, None], row, column] & inside
    return float(hit[shown].mean())


def _equivariance(method: Method, images: ImageSet, found: Keypoints) -> dict[str, float]:
    """Return the equivariance errors; the oracle, which reads labels, has none."""
    if method.task == "labels->2D":
        return {}
    k = np.asarray(found.points).shape[1]

    def again(warped: ImageSet) -> Array:
        return np.asarray(method.predict(warped).checked(len(warped), k, method.name).points)

    return equivariance(again, images.restricted(method.inputs), found.points)


def _label_efficiency(
    specs: Sequence[EvaluatorSpec], train: Detections, test: Detections
) -> LabelCurve | None:
    """Return the curve under the strict evaluator; None if it is not among those that could score.

    Also None with too few labels.
    """
    strict = [spec for spec in specs if spec.name.endswith("/strict")]
    try:
        return label_efficiency(strict[0], train, test) if strict else None
    except (InvalidInputError, UndefinedScoreError):
        return None


def _landmarks(protocol: EvaluationProtocol, evaluations: list[Evaluation]) -> dict[str, list[str]]:
    """Return the names of the landmarks that each evaluator scores, one by one."""
    names = {}
    specs = {spec.name: spec for spec in protocol.evaluators}
    for found in evaluations:
        spec = specs[found.evaluator]
        joints = range(len(protocol.landmarks)) if spec.joints is None else spec.joints
        if len(joints) == len(found.landmark_values):
            names[spec.name] = [protocol.landmarks[joint] for joint in joints]
    return names


def _pack(train: Keypoints, train_set: Labelled, test: Keypoints, test_set: Labelled) -> bytes:
    """Return an npz as `kpbench score` reads it."""
    arrays: dict[str, Array] = {}
    for split, found, labelled in (("train", train, train_set), ("test", test, test_set)):
        arrays[f"{split}_keypoints"] = np.asarray(found.points, np.float32)
        arrays[f"{split}_landmarks"] = np.asarray(labelled.landmarks, np.float32)
        arrays[f"{split}_visible"] = labelled.visible
        for name in (*KNOWN, "groups"):
            if (known := getattr(labelled, name)) is not None:
                kind = np.float32 if name in ("boxes", "aspect") else str
                arrays[f"{split}_{name}"] = np.asarray(known).astype(kind)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
