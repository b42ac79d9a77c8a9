"""Score keypoints that were computed elsewhere; see `detection_files` for the formats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.errors import InvalidInputError, KpbenchError
from kpbench.scoring.detection_files import IN_UNIT, Ranges, load_detections
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import Evaluation, EvaluatorSpec, evaluate
from kpbench.scoring.file_notes import copied_rows, order_notes
from kpbench.scoring.named import disagreement_evaluators, get_evaluator


@dataclass(frozen=True)
class Unscored:
    """An evaluator that cannot score the arrays, and why."""

    evaluator: str
    error: str


def score_file(
    path: Path, evaluator: str, group: str | None = None, ranges: Ranges = IN_UNIT
) -> Evaluation:
    """Score the arrays in `path` under the named evaluator.

    Args:
        path: see `load_detections`.
        evaluator: its name.
        group: prefix of the arrays; the evaluator's data set, or the only one, if left out.
        ranges: see `load_detections`.

    Raises:
        UnknownNameError: there is no such evaluator.
        InvalidInputError: as `load_detections` and `evaluate`, or all test images are training
            images.
        UndefinedScoreError: as `evaluate`.
    """
    spec = get_evaluator(evaluator)
    train, test = load_detections(path, group, spec.dataset, ranges)
    return _noted(spec, train, test, _copied(path, train, test))


def score_file_all(
    path: Path, dataset: str, group: str | None = None, ranges: Ranges = IN_UNIT
) -> list[Evaluation | Unscored]:
    """Score the arrays in `path` under every evaluator of a data set.

    Args:
        path: see `load_detections`.
        dataset: the data set whose evaluators are used.
        group: prefix of the arrays; `dataset`, or the only one, if left out.
        ranges: see `load_detections`.

    Returns:
        One entry an evaluator; `Unscored` where it cannot score these arrays.

    Raises:
        UnknownNameError: there is no evaluator for that data set.
        InvalidInputError: as `load_detections`, or all test images are training images.
    """
    specs = disagreement_evaluators(dataset)
    train, test = load_detections(path, group, dataset, ranges)
    copied = _copied(path, train, test)
    found: list[Evaluation | Unscored] = []
    for spec in specs:
        try:
            found.append(_noted(spec, train, test, copied))
        except KpbenchError as error:
            found.append(Unscored(spec.name, str(error)))
    return found


def _noted(
    spec: EvaluatorSpec, train: Detections, test: Detections, copied: tuple[str, ...]
) -> Evaluation:
    """Return the evaluation with what a reader has to know of the file."""
    found = evaluate(spec, train, test)
    notes = (*found.notes, *copied, *order_notes(spec, train, test))
    return replace(found, notes=notes)


def _copied(path: Path, train: Detections, test: Detections) -> tuple[str, ...]:
    """Return a note where test images are training images."""
    count = copied_rows(train, test)
    if count == len(test):
        raise InvalidInputError(
            f"{path}: all {count} test images are training images; a regression scored on the "
            "images that it was fitted on says nothing"
        )
    return (f"{count} of {len(test)} test images are training images",) if count else ()


def as_json(found: Evaluation | Unscored) -> dict[str, Any]:
    """Return what `kpbench score --json` prints; holds no NaN."""
    if isinstance(found, Unscored):
        return {"evaluator": found.evaluator, "error": found.error}
    by_landmark = [None if np.isnan(v) else float(v) for v in found.landmark_values]
    return {
        "evaluator": found.evaluator,
        "metric": found.metric,
        "value": found.value,
        "unit": found.unit,
        "ci95": list(found.ci95),
        "higher_is_better": found.higher_is_better,
        "oracle_used": found.oracle_used,
        "n": found.n_images,
        "rank": found.rank,
        "n_features": found.n_features,
        "notes": list(found.notes),
        "landmark_values": by_landmark,
        "activity_values": dict(found.group_values),
    }
