"""Score keypoints that were computed elsewhere; see `detection_files` for the formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.errors import KpbenchError
from kpbench.scoring.detection_files import load_detections
from kpbench.scoring.evaluators import Evaluation, evaluate
from kpbench.scoring.named import disagreement_evaluators, get_evaluator


@dataclass(frozen=True)
class Unscored:
    """An evaluator that cannot score the arrays, and why."""

    evaluator: str
    error: str


def score_file(path: Path, evaluator: str, group: str | None = None) -> Evaluation:
    """Score the arrays in `path` under the named evaluator.

    Args:
        path: see `load_detections`.
        evaluator: its name.
        group: prefix of the arrays; the evaluator's data set, or the only one, if left out.

    Raises:
        UnknownNameError: there is no such evaluator.
        InvalidInputError: as `load_detections` and `evaluate`.
        UndefinedScoreError: as `evaluate`.
    """
    spec = get_evaluator(evaluator)
    return evaluate(spec, *load_detections(path, group, spec.dataset))


def score_file_all(
    path: Path, dataset: str, group: str | None = None
) -> list[Evaluation | Unscored]:
    """Score the arrays in `path` under every evaluator of a data set.

    Args:
        path: see `load_detections`.
        dataset: the data set whose evaluators are used.
        group: prefix of the arrays; `dataset`, or the only one, if left out.

    Returns:
        One entry an evaluator; `Unscored` where it cannot score these arrays.

    Raises:
        UnknownNameError: there is no evaluator for that data set.
        InvalidInputError: as `load_detections`.
    """
    specs = disagreement_evaluators(dataset)
    train, test = load_detections(path, group, dataset)
    found: list[Evaluation | Unscored] = []
    for spec in specs:
        try:
            found.append(evaluate(spec, train, test))
        except KpbenchError as error:
            found.append(Unscored(spec.name, str(error)))
    return found


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
