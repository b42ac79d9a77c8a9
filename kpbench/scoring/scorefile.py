"""Score keypoints that were computed elsewhere; see `detection_files` for the formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.errors import KpbenchError, UnknownNameError
from kpbench.registry import available, load_protocol
from kpbench.scoring.detection_files import load_detections
from kpbench.scoring.evaluators import EVALUATORS, Evaluation, EvaluatorSpec, evaluate
from kpbench.scoring.evaluators import disagreement_evaluators as built_in


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
    spec = find_evaluator(evaluator)
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
    specs = find_evaluators(dataset)
    train, test = load_detections(path, group, dataset)
    found: list[Evaluation | Unscored] = []
    for spec in specs:
        try:
            found.append(evaluate(spec, train, test))
        except KpbenchError as error:
            found.append(Unscored(spec.name, str(error)))
    return found


def find_evaluator(name: str) -> EvaluatorSpec:
    """Return the evaluator of that name, kpbench's own or an installed protocol's.

    Protocols are imported only for a name that is not kpbench's own.

    Raises:
        UnknownNameError: there is none; names the protocols that could not be asked.
    """
    if name in EVALUATORS:
        return EVALUATORS[name]
    specs, broken = _of_protocols()
    if name not in specs:
        raise _unknown("evaluator", name, [*EVALUATORS, *specs], broken)
    return specs[name]


def find_evaluators(dataset: str) -> list[EvaluatorSpec]:
    """Return all evaluators of a data set, kpbench's own or the installed protocols'.

    Raises:
        UnknownNameError: as `find_evaluator`.
    """
    datasets = {spec.dataset for spec in EVALUATORS.values()}
    if dataset in datasets:
        return built_in(dataset)
    specs, broken = _of_protocols()
    found = [spec for spec in specs.values() if spec.dataset == dataset]
    if not found:
        known = datasets | {spec.dataset for spec in specs.values()}
        raise _unknown("data set with evaluators", dataset, sorted(known), broken)
    return found


def _of_protocols() -> tuple[dict[str, EvaluatorSpec], list[str]]:
    """Return the evaluators of installed protocols, and which protocols could not be asked."""
    specs: dict[str, EvaluatorSpec] = {}
    broken = []
    for name in available("protocols"):
        try:
            for spec in load_protocol(name).evaluators:
                specs.setdefault(spec.name, spec)
        except Exception:  # whatever a plugin does must not keep the others from being asked
            broken.append(name)
    return specs, broken


def _unknown(kind: str, name: str, known: list[str], broken: list[str]) -> UnknownNameError:
    error = UnknownNameError.of(kind, name, known)
    if not broken:
        return error
    return UnknownNameError(f"{error} (these protocols cannot be loaded: {', '.join(broken)})")


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
