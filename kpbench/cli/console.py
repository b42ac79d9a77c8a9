"""What the command line prints: one line a cell, progress with time left, tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from kpbench.cli.progress import FINISHED as FINISHED
from kpbench.cli.progress import progress_bar as progress_bar
from kpbench.cli.tables import plain_console, print_fitting
from kpbench.files.folders import readable

if TYPE_CHECKING:
    from kpbench.diagnosis.disagreement import Verdict
    from kpbench.records.record import Record, Score
    from kpbench.running.execute import Outcome, Settings
    from kpbench.running.own_images import Predicted
    from kpbench.running.plan import Cell
    from kpbench.scoring.evaluators import Evaluation
    from kpbench.scoring.scorefile import Unscored
    from kpbench.speed.measure import Unmeasured
    from kpbench.speed.record import SpeedRecord
    from kpbench.testing import Checked

COLOURS = {"ok": "green", "cached": "cyan", "skipped": "yellow", "failed": "red"}


def run_and_report(
    cells: Sequence[Cell], settings: Settings, *, jobs: int = 0, verbose: bool
) -> int:
    """Run the grid, print a line a cell and the scores, and return the exit code.

    Args:
        cells: the grid.
        settings: how it is run.
        jobs: cells side by side; 0: `default_jobs`.
        verbose: print the traceback of a failure.
    """
    from kpbench.cli.score_table import leaderboard_command, print_scores
    from kpbench.registry import on_boards
    from kpbench.running.engines.local_processes import default_jobs

    console = plain_console()
    work = [(cell, settings) for cell in cells]
    outcomes = run_work(console, work, jobs=jobs or default_jobs(settings), verbose=verbose)
    if outcomes is None:
        return 130
    records = [found.record for found in outcomes if found.record is not None]
    print_scores(console, records, settings.results)
    code = print_summary(console, outcomes, settings.results)
    if records and on_boards(settings.recipe):
        console.print(f"pages of them: {leaderboard_command(settings.results)}", soft_wrap=True)
    return code


def run_work(
    console: Console, work: Sequence[tuple[Cell, Settings]], *, jobs: int, verbose: bool
) -> list[Outcome] | None:
    """Run cells, print a line each, and return what became of them, None if it was interrupted.

    Args:
        console: where to print.
        work: what to run, and how.
        jobs: cells side by side.
        verbose: print the traceback of a failure.
    """
    from kpbench.running.execute import evaluate_all

    outcomes: list[Outcome] = []
    try:
        with (
            progress_bar(console, len(work)) as progress,
            closing(evaluate_all(work, jobs, progress)) as found,
        ):
            for outcome in found:
                outcomes.append(outcome)
                progress(1, 1, f"{outcome.title}: {FINISHED}")
                _print_outcome(console, outcome, verbose)
    except KeyboardInterrupt:
        results = work[0][1].results
        told = f"stopped; {len(outcomes)} of {len(work)} cells are kept in {results}"
        console.print(told, soft_wrap=True)
        return None
    return outcomes


def print_summary(console: Console, outcomes: Sequence[Outcome], results: Path) -> int:
    """Print how many cells came to what, and return the exit code: 1 if one failed."""
    counts = {status: sum(o.status == status for o in outcomes) for status in COLOURS}
    console.print(", ".join(f"{n} {status}" for status, n in counts.items() if n))
    console.print(f"records: {results}", soft_wrap=True)
    return int(counts["failed"] > 0)


def _print_outcome(console: Console, outcome: Outcome, verbose: bool) -> None:
    text = outcome.title
    if outcome.record is not None and (arguments := outcome.record.identity.arguments):
        text += f" ({', '.join(f'{name}={value}' for name, value in arguments.items())})"
    if outcome.status in ("ok", "cached") and outcome.record is not None:
        record = outcome.record
        text += f": {_value(record.scores[record.evaluator])}"
        if outcome.status == "ok":
            text += f" in {sum(record.seconds.values()):.0f} s"
    status = f"{outcome.status:8}", COLOURS[outcome.status]
    console.print(Text.assemble(status, f" {text} ({outcome.reason})"), soft_wrap=True)
    for further in _remarks(outcome.record) if outcome.record is not None else ():
        console.print(f"{'':9}{further}", soft_wrap=True)
    if verbose and outcome.trace:
        console.print(outcome.trace, soft_wrap=True)


def _remarks(record: Record) -> list[str]:
    """Return where the data is not the published, and which evaluators could not be applied."""
    remarks = [f"data: {text}" for text in record.provenance.get("deviations", [])]
    return remarks + [f"{name}: {text}" for name, text in sorted(record.unscored.items())]


def _value(score: Score | Evaluation) -> str:
    value, low, high = (round(number, 9) for number in (score.value, *score.ci95))
    return f"{value:.4g} {score.unit} [{low:.4g}, {high:.4g}]"


def print_evaluations(found: Sequence[Evaluation | Unscored], *, as_json: bool, many: bool) -> None:
    """Print evaluations of one set of detections, one row each."""
    from kpbench.scoring.scorefile import as_json as to_dict

    if as_json:
        rows = [to_dict(evaluation) for evaluation in found]
        print(json.dumps(rows if many else rows[0], allow_nan=False))  # noqa: T201
        return
    console = plain_console()
    heads = ("evaluator", "value", "95 % interval", "unit", "n", "notes")
    lines = [*map(_evaluated, map(to_dict, found))]
    if left_out := print_fitting(console, heads, lines, text=len(heads)):
        for line in lines:
            told = f"{line[0]}: " + "; ".join(
                f"{head} {cell}" for head, cell in zip(heads, line, strict=True) if head in left_out
            )
            console.print(told, soft_wrap=True)


def _evaluated(row: Mapping[str, Any]) -> list[str]:
    if "error" in row:
        return [row["evaluator"], "–", "–", "–", "–", row["error"]]
    low, high = row["ci95"]
    notes = [*row["notes"], *(["reads test labels"] if row["oracle_used"] else [])]
    return [
        row["evaluator"], f"{row['value']:.6g}", f"{low:.4g} to {high:.4g}",
        row["unit"], str(row["n"]), "; ".join([row["metric"], *notes]),
    ]  # fmt: skip


def print_disagreement(record: Record, verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    """Print what every evaluator says of the detections of one run."""
    from kpbench.boards.pages.disagreement import COLUMNS, cells, factors, remarks
    from kpbench.records.find import described

    if as_json:
        print(json.dumps([v.as_dict() for v in verdicts], allow_nan=False))  # noqa: T201
        return
    console = plain_console()
    console.print(described(record.identity), soft_wrap=True)
    order = (0, 3, 4, 5, 6, 7, 8, 2, 9, 1)  # what compares first, who and how last
    rows = [[row[i].replace(" = ", " =\n") for i in order] for row in map(cells, verdicts)]
    if left_out := print_fitting(console, [COLUMNS[i] for i in order], rows, text=len(order)):
        rest = f"not shown, as the terminal is narrow: {', '.join(left_out)} (all with --json)"
        console.print(rest, soft_wrap=True)
    for line in [*factors(verdicts), *remarks(verdicts)]:
        console.print(line, soft_wrap=True)


def print_throughput(found: Sequence[SpeedRecord | Unmeasured], *, as_json: bool) -> None:
    """Print throughput measurements as a table or as JSON."""
    from kpbench.speed.table import table

    if as_json:
        print(json.dumps([row.as_json() for row in found], allow_nan=False))  # noqa: T201
        return
    console = plain_console()
    for row in found:
        console.print(table(row))


def report_checks(found: Sequence[Checked]) -> int:
    """Print the result of conformance checks and return the exit code."""
    console = plain_console()
    for checked in found:
        status = f"{checked.status:8}", COLOURS[checked.status]
        text = f" {checked.kind[:-1]} {checked.name}"
        text += f": {checked.reason}" if checked.reason else ""
        console.print(Text.assemble(status, text), soft_wrap=True)
    return int(any(checked.status == "failed" for checked in found))


def report_predicted(found: Iterable[Predicted]) -> int:
    """Print what was written of each file when it is done; return 1 if one failed, else 0."""
    failed = 0
    for file in found:
        for path in file.files:
            typer.echo(readable(path))
        if file.damaged:
            name = readable(file.files[0].name)
            typer.echo(
                f"kpbench: {len(file.damaged)} frames of {name} are damaged, "
                f"the first is frame {file.damaged[0]}",
                err=True,
            )
        if file.fault:
            typer.echo(f"kpbench: {file.fault}", err=True)
            failed = 1
    return failed
