"""One set of detections under every evaluator: how far the papers' rules disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError, KpbenchError
from kpbench.records.evaluated import as_score
from kpbench.records.folders import Folders
from kpbench.records.record import Record, Score, folder_of, stored_artifact
from kpbench.scoring.detection_files import load_detections
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import Evaluation, EvaluatorSpec, evaluate
from kpbench.scoring.metrics import Aggregation
from kpbench.scoring.named import disagreement_evaluators
from kpbench.scoring.spec import by_rule

PREDICTIONS = "predictions"
ROUNDING = 1e-3
"""Smaller errors are those of the oracle: rounding, to which nothing can be compared."""
SUMS: tuple[Aggregation, ...] = ("image_sum", "component_sum")


@dataclass(frozen=True)
class Verdict:
    """What one evaluator says of the detections, or why it says nothing.

    Attributes:
        spec: the evaluator.
        score: its number, or None.
        reason: why there is none.
        percent: the score as an error a landmark in % of the image's side; see `landmark_percent`.
        ratio: printed number / that of the reference, where a reader might compare the two: both
            hits, both mean errors, or both sums of errors over landmarks; else None.
        percent_ratio: the same of `percent`: what is left when unit and sum are the same.
        also: evaluators of other names that are the same rule.
    """

    spec: EvaluatorSpec
    score: Score | None
    reason: str = ""
    percent: float | None = None
    ratio: float | None = None
    percent_ratio: float | None = None
    also: tuple[EvaluatorSpec, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the evaluator, its own first."""
        return [spec.name for spec in (self.spec, *self.also)]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "spec"}
        plain["also"] = self.names[1:]
        named = ("metric", "unit", "paper", "formula", "oracle_used", "known_fault")
        return {
            "evaluator": self.spec.name,
            **{name: getattr(self.spec, name) for name in named},
            **plain,
            "score": None if self.score is None else self.score.model_dump(mode="json"),
        }


def disagreement(
    specs: Sequence[EvaluatorSpec],
    default: str,
    train: Detections,
    test: Detections,
    identities: Array | None = None,
) -> list[Verdict]:
    """Score the same detections under several evaluators of a data set, each rule once.

    Ratios refer to `<dataset>/strict`, or to the default evaluator where that has no score.

    Args:
        specs: the evaluators.
        default: name of the protocol's default evaluator.
        train: what the regressions are fitted on.
        test: what is scored.
        identities: (N,) who or what each test image shows, for the intervals.
    """
    found = [_verdict(same, train, test, identities) for same in by_rule(specs)]
    by_name = {name: each for each in found if each.score is not None for name in each.names}
    strict = default.partition("/")[0] + "/strict"
    reference = by_name.get(strict, by_name.get(default))
    return [verdict if reference is None else _compared(verdict, reference) for verdict in found]


def landmark_percent(spec: EvaluatorSpec, found: Evaluation) -> float | None:
    """Return a score as the mean error of one landmark, in % of the image's side.

    The unit's factor is undone and a sum over landmarks is divided by their number (by the mean
    number of visible ones where each image is summed). Sums of absolute coordinate errors stay so:
    |dx| + |dy| is up to 1.41 times the distance.

    Returns:
        None for hits, and for errors in units of the object or of the distance of the eyes.

    Args:
        spec: the evaluator.
        found: what it said.
    """
    if spec.error == "hit" or spec.frame != "image" or spec.eyes is not None:
        return None
    summed = 1.0
    if spec.aggregation == "image_sum":
        summed = float(found.valid.sum(1).mean())
    elif spec.aggregation == "component_sum":
        summed = float(len(found.landmark_values))
    return 100 * found.value / spec.scale / summed


def of_run(results: Folders, record: Record) -> list[Verdict]:
    """Return the disagreement over the kept predictions of a run.

    Raises:
        InvalidInputError: the predictions were not kept; holds the command that makes them.
        RecordError: the predictions were altered.
        UnknownNameError: there is no evaluator for the data set.
    """
    path = kept_predictions(results, record)
    if path is None:
        who, folder = record.identity, folder_of(results, record)
        raise InvalidInputError(
            f"the predictions of {record.path(folder)} are not there; run: kpbench evaluate "
            f"-m {who.method} -p {who.protocol} --seeds {who.seed} --recipe {who.recipe} "
            f"--results {folder} --rerun"
        )
    train, test = load_detections(path)
    with np.load(path) as arrays:
        identities = arrays["test_groups"] if "test_groups" in arrays else None
    specs = disagreement_evaluators(record.evaluator.partition("/")[0])
    return disagreement(specs, record.evaluator, train, test, identities)


def kept_predictions(results: Folders, record: Record) -> Path | None:
    """Return the checked file of a run's predictions, None where it is not kept.

    Raises:
        RecordError: the file was altered.
    """
    artifact, path = record.artifacts.get(PREDICTIONS), record.path(folder_of(results, record))
    if artifact is None or not path.with_name(artifact.file).is_file():
        return None
    return stored_artifact(results, record, PREDICTIONS)


def _verdict(
    same: Sequence[EvaluatorSpec], train: Detections, test: Detections, identities: Array | None
) -> Verdict:
    spec, *also = same
    try:
        found = evaluate(spec, train, test)
        score = as_score(found, spec, identities)
    except KpbenchError as error:
        return Verdict(spec, None, str(error), also=tuple(also))
    return Verdict(spec, score, percent=landmark_percent(spec, found), also=tuple(also))


def _compared(verdict: Verdict, reference: Verdict) -> Verdict:
    values = [None if v.score is None else v.score.value for v in (verdict, reference)]
    return replace(
        verdict,
        ratio=_ratio(values) if _kind(verdict.spec) == _kind(reference.spec) else None,
        percent_ratio=_ratio([verdict.percent, reference.percent]),
    )


def _kind(spec: EvaluatorSpec) -> tuple[bool, bool]:
    return spec.higher_is_better, spec.aggregation in SUMS


def _ratio(values: Sequence[float | None]) -> float | None:
    above, below = values
    return None if above is None or below is None or below < ROUNDING else above / below
