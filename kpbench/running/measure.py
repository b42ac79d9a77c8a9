"""Measure a fitted method of task image->2D: predict, check, regress, evaluate, diagnose."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kpbench.contracts.method import LabelReader, Method
from kpbench.contracts.protocol import EvaluationProtocol
from kpbench.contracts.task import Measured
from kpbench.contracts.types import Array, ImageSet, Keypoints, Labelled, Splits
from kpbench.diagnosis.equivariance import equivariance
from kpbench.diagnosis.foreground import foreground_hits
from kpbench.diagnosis.label_efficiency import label_efficiency
from kpbench.diagnosis.shares import shares
from kpbench.errors import ContractError, InvalidInputError, UndefinedScoreError
from kpbench.records.evaluated import as_score
from kpbench.records.record import LabelCurve
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import Evaluation, evaluate
from kpbench.scoring.per_image import save_scores
from kpbench.scoring.spec import EvaluatorSpec

KNOWN = ("activities", "boxes", "aspect")
"""What a `Labelled` may know of its images besides the landmarks, and evaluators may read."""


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
        InvalidInputError: the default evaluator cannot be applied, e.g. for want of rows, or an
            extremity is no landmark. Any other evaluator that cannot be applied is reported in
            `Measured.unscored`.
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
        diagnostics=shares(test, splits.test, extremities(protocol)),
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


@dataclass(frozen=True)
class Way:
    """A way of predicting keypoints of images, named by `Method.task`.

    Attributes:
        predict: of a method in the images of a labelled part; checked.
        sees: whether the method sees the images, so that other images can be shown to it.
        told: what it is told besides RGB; None: its signals.
    """

    predict: Callable[[Method, Labelled, int], Keypoints]
    sees: bool
    told: str | None = None


def _from_images(method: Method, labelled: Labelled, n_keypoints: int) -> Keypoints:
    found = method.predict(labelled.images.restricted(method.inputs))
    return found.checked(len(labelled), n_keypoints, method.name)


def _from_labels(method: Method, labelled: Labelled, n_keypoints: int) -> Keypoints:
    if not isinstance(method, LabelReader):
        raise ContractError(f"{method.name} is of task {method.task} and has no method `read`")
    return method.read(labelled).checked(len(labelled), None, method.name)


WAYS = {
    "image->2D": Way(_from_images, sees=True),
    "labels->2D": Way(_from_labels, sees=False, told="labels"),
}
"""Every method sees images, and the oracle alone the labels; what it finds is measured alike."""


def predict(method: Method, labelled: Labelled, n_keypoints: int) -> Keypoints:
    """Return checked keypoints.

    Raises:
        ContractError: wrong shape, NaN or a wrong unit.
    """
    return WAYS[method.task].predict(method, labelled, n_keypoints)


def detections(found: Keypoints, labelled: Labelled) -> Detections:
    """Pair predictions with the annotation, as the evaluators read them."""
    known = {name: getattr(labelled, name) for name in KNOWN}
    return Detections(np.asarray(found.points), labelled.landmarks, labelled.visible, **known)


def _equivariance(method: Method, images: ImageSet, found: Keypoints) -> dict[str, float]:
    """Return the equivariance errors; who sees no image has none."""
    if not WAYS[method.task].sees:
        return {}
    k = np.asarray(found.points).shape[1]

    def again(warped: ImageSet) -> Array:
        return np.asarray(method.predict(warped).checked(len(warped), k, method.name).points)

    return equivariance(again, images.restricted(method.inputs), found.points)


def extremities(protocol: EvaluationProtocol) -> list[int]:
    """Return the places of the landmarks that the protocol calls extremities; [] if it does not.

    Raises:
        InvalidInputError: one of them is no landmark.
    """
    named: Sequence[str] = getattr(protocol, "extremities", ())
    if unknown := [name for name in named if name not in protocol.landmarks]:
        raise InvalidInputError(
            f"{protocol.name}: its extremities {unknown} are not among its landmarks "
            f"({', '.join(protocol.landmarks)}); name landmarks, as they are spelt there"
        )
    return [list(protocol.landmarks).index(name) for name in named]


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
    if test.graph is not None:
        arrays["graph"] = np.asarray(test.graph, np.float32)
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
