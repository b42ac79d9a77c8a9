"""The page on how far evaluators disagree about the same detections."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kpbench.boards.pages.markdown import HEAD, MISSING, interval, number, settings, table
from kpbench.diagnosis.disagreement import Verdict, kept_predictions, of_run
from kpbench.errors import KpbenchError
from kpbench.records.folders import Folders
from kpbench.records.record import Record, all_records
from kpbench.registry import on_boards
from kpbench.scoring.named import disagreement_evaluators
from kpbench.scoring.spec import by_rule

NAME = "disagreement.md"
_EXPLAIN = """\
Papers print numbers that look alike and are not. Each table scores one set of detections, of one
trained model on one test set, under every evaluator of its data set; those that are one rule under
several names share a row. The first ratio compares the printed numbers, as a reader of two papers
would. "% a landmark" is the mean error of one landmark in % of the image's side, so that the second
ratio shows what is left when the unit is the same: bias, exchange of left and right, trimming,
visibility, |dx| + |dy| for a distance. Ratios refer to the strict evaluator, which looks at no test
label ("test labels" says which do). An evaluator compares methods, never papers that used another
one.
"""
COLUMNS = (
    *("evaluator", "paper", "metric", "value", "95 % interval", "÷ strict"),
    *("% a landmark", "÷ strict", "test labels", "fault"),
)


def disagreement_page(results: Folders, elsewhere: Collection[str] = ()) -> str | None:
    """Return the page of the runs whose predictions are kept, None without one.

    Runs on data that has one evaluator alone, or whose plugin is not installed, are left out.

    Args:
        results: folder of records.
        elsewhere: digests of runs that are shown on other pages alone.

    Raises:
        RecordError: a record or a predictions file is corrupt.
    """
    kept = [
        record
        for record in all_records(results)
        if record.status == "ok"
        and on_boards(record.identity.recipe)
        and record.identity.digest() not in elsewhere
        and _several(record.evaluator.partition("/")[0])
        and kept_predictions(results, record) is not None
    ]
    if not kept:
        return None
    lines = ["# The same detections under every evaluator", "", HEAD, _EXPLAIN]
    for record in kept:
        lines += _section(record, of_run(results, record))
    return "\n".join(lines).rstrip() + "\n"


def _several(dataset: str) -> bool:
    try:
        return len(by_rule(disagreement_evaluators(dataset))) > 1
    except KpbenchError:
        return False


def _section(record: Record, verdicts: list[Verdict]) -> list[str]:
    who = record.identity
    trained = "" if who.trained_on is None else f", trained on {who.trained_on.protocol}"
    arguments = settings({name: v for name, v in who.arguments.items() if name != "k"})
    arguments += ", shipped weights" if who.pretrained else ""
    rows = [
        [" = ".join(f"`{name}`" for name in verdict.names), *cells(verdict)[1:]]
        for verdict in verdicts
    ]
    below = remarks(verdicts)
    return [
        f"## {who.protocol} v{who.protocol_version}: {who.method} v{who.method_version}, "
        f"seed {who.seed}, {who.recipe} recipe, K = {who.n_keypoints}{arguments}{trained}",
        "",
        *factors(verdicts),
        "",
        *table(COLUMNS, rows),
        *(f"- {remark}" for remark in below),
        *([""] if below else []),
    ]


def factors(verdicts: Sequence[Verdict]) -> list[str]:
    """Return sentences on how far the largest of comparable numbers is from the smallest."""
    found = []
    kinds = {
        "Printed errors": [v.ratio for v in verdicts if not v.spec.higher_is_better],
        "Printed hit rates": [v.ratio for v in verdicts if v.spec.higher_is_better],
        "Errors a landmark": [v.percent_ratio for v in verdicts],
    }
    for what, ratios in kinds.items():
        known = [ratio for ratio in ratios if ratio]
        if len(known) > 1:
            found.append(f"{what} differ by a factor of {max(known) / min(known):.2f}.")
    return found


def remarks(verdicts: Sequence[Verdict]) -> list[str]:
    """Return what a reader has to know of single evaluators: faults, and why a score is missing."""
    faults = [f"{v.spec.name}: known fault: {v.spec.known_fault}" for v in verdicts]
    return [
        *(text for text, v in zip(faults, verdicts, strict=True) if v.spec.known_fault),
        *(f"{v.spec.name}: no score: {v.reason}" for v in verdicts if v.score is None),
    ]


def cells(verdict: Verdict) -> list[str]:
    """Return the row of an evaluator, in order of `COLUMNS`."""
    spec, score = verdict.spec, verdict.score
    return [
        " = ".join(verdict.names),
        "; ".join(each.paper.partition(";")[0] for each in (spec, *verdict.also)),
        f"{spec.metric} {'↑' if spec.higher_is_better else '↓'}",
        MISSING if score is None else f"{number(score.value)} {score.unit}",
        MISSING if score is None else interval(score.ci95),
        _ratio(verdict.ratio),
        number(verdict.percent),
        _ratio(verdict.percent_ratio),
        "yes" if spec.oracle_used else "no",
        "yes" if spec.known_fault else "no",
    ]


def _ratio(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"
