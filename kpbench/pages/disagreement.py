"""The page on how far evaluators disagree about the same detections."""

from __future__ import annotations

from pathlib import Path

from kpbench.disagreement import Verdict, kept_predictions, of_run
from kpbench.evaluators import EVALUATORS
from kpbench.pages.markdown import HEAD, MISSING, interval, number, settings, table
from kpbench.records import Record, all_records

NAME = "disagreement.md"
DATASETS = {spec.dataset for spec in EVALUATORS.values()}
"""Those that need no installed protocol, so that the page depends on the records alone."""
_EXPLAIN = """\
Papers print numbers that look alike and are not. Each table scores one set of detections, of one
trained model on one test set, under every evaluator of its data set. The first ratio compares the
printed numbers, as a reader of two papers would; the second compares the errors a landmark in % of
the image, so that it shows what is left when the unit is the same: bias, exchange of left and
right, trimming, visibility. Both refer to the strict evaluator, which looks at no test label. An
evaluator compares methods, never papers that used another one.
"""
_COLUMNS = (
    *("evaluator", "metric", "value", "95 % interval", "÷ strict"),
    *("a landmark, % of the image", "÷ strict", "looks at test labels"),
)


def disagreement_page(results: Path) -> str | None:
    """Return the page of the runs whose predictions are kept, None without one.

    Raises:
        RecordError: a record or a predictions file is corrupt.
    """
    kept = [
        record
        for record in all_records(results)
        if record.status == "ok"
        and record.identity.recipe != "smoke"
        and record.evaluator.partition("/")[0] in DATASETS
        and kept_predictions(results, record) is not None
    ]
    if not kept:
        return None
    lines = ["# The same detections under every evaluator", "", HEAD, _EXPLAIN]
    for record in kept:
        lines += _section(record, of_run(results, record))
    return "\n".join(lines).rstrip() + "\n"


def _section(record: Record, verdicts: list[Verdict]) -> list[str]:
    who = record.identity
    trained = "" if who.trained_on is None else f", trained on {who.trained_on.protocol}"
    printed = [v.ratio for v in verdicts if v.ratio]
    comparable = [v.percent_ratio for v in verdicts if v.percent_ratio]
    remarks = [f"`{v.spec.name}`: {v.spec.known_fault}" for v in verdicts if v.spec.known_fault]
    remarks += [f"`{v.spec.name}` has no score: {v.reason}" for v in verdicts if v.score is None]
    return [
        f"## {who.protocol} v{who.protocol_version}: {who.method} v{who.method_version}, "
        f"seed {who.seed}, {who.recipe} recipe, K = {who.n_keypoints}"
        f"{settings({k: v for k, v in who.arguments.items() if k != 'k'})}{trained}",
        "",
        *_factors("Printed errors", printed),
        *_factors("Errors a landmark", comparable),
        "",
        *table(_COLUMNS, [_cells(verdict) for verdict in verdicts]),
        *(f"- {remark}" for remark in remarks),
        *([""] if remarks else []),
    ]


def _factors(what: str, ratios: list[float]) -> list[str]:
    if len(ratios) < 2:
        return []
    return [f"{what} differ by a factor of {max(ratios) / min(ratios):.2f}."]


def _cells(verdict: Verdict) -> list[str]:
    spec, score = verdict.spec, verdict.score
    arrow = "↑" if spec.higher_is_better else "↓"
    value, ends = MISSING, MISSING
    if score is not None:
        value, ends = f"{number(score.value)} {score.unit}", interval(score.ci95)
    return [
        f"`{spec.name}`",
        f"{spec.metric} {arrow}",
        value,
        ends,
        ratio(verdict.ratio),
        number(verdict.percent),
        ratio(verdict.percent_ratio),
        "yes" if spec.oracle_used else "no",
    ]


def ratio(value: float | None) -> str:
    """Return a ratio with two decimals, "–" for None."""
    return MISSING if value is None else f"{value:.2f}"
