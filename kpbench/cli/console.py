"""What the command line prints: one line a cell, progress with time left, tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from kpbench.api import Progress
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
FINISHED = "finished"
"""What progress says of a cell that is done."""


@contextmanager
def progress_bar(console: Console | None = None, cells: int = 0) -> Iterator[Progress]:
    """Show what runs, how far it is and the time left; silent when output is no terminal.

    What is told as "NAME: DETAIL" has a line of its own until "NAME: finished".

    Args:
        console: where to draw.
        cells: how many cells there are; 0 leaves out their bar.
    """
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        whole = bar.add_task("cells", total=cells) if cells else None
        lines: dict[str, TaskID] = {}
        before: dict[str, tuple[int, int]] = {}

        def show(done: int, total: int, text: str) -> None:
            name = text.partition(": ")[0] if ": " in text else ""
            if text == f"{name}: {FINISHED}":
                if whole is not None:
                    bar.advance(whole)
                if name in lines:
                    bar.remove_task(lines.pop(name))
                return
            if name not in lines:
                lines[name] = bar.add_task(escape(text), total=total)
            elif total != before[name][1] or done < before[name][0]:
                bar.reset(lines[name])
            before[name] = done, total
            bar.update(lines[name], completed=done, total=total, description=escape(text))

        yield show


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
    from kpbench.cli.score_table import print_scores
    from kpbench.running.engines.local_processes import default_jobs

    console = Console(highlight=False)
    work = [(cell, settings) for cell in cells]
    outcomes = run_work(console, work, jobs=jobs or default_jobs(settings), verbose=verbose)
    if outcomes is None:
        return 130
    records = [found.record for found in outcomes if found.record is not None]
    print_scores(console, records, settings.results)
    return print_summary(console, outcomes, settings.results)


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
        console.print(f"stopped; {len(outcomes)} of {len(work)} cells are kept in {results}")
        return None
    return outcomes


def print_summary(console: Console, outcomes: Sequence[Outcome], results: Path) -> int:
    """Print how many cells came to what, and return the exit code: 1 if one failed."""
    counts = {status: sum(o.status == status for o in outcomes) for status in COLOURS}
    console.print(", ".join(f"{n} {status}" for status, n in counts.items() if n))
    console.print(f"records: {results}", soft_wrap=True)
    return int(counts["failed"] > 0)


def _print_outcome(console: Console, outcome: Outcome, verbose: bool) -> None:
    colour = COLOURS[outcome.status]
    text = f"[{colour}]{outcome.status:8}[/] {escape(outcome.title)}"
    if outcome.record is not None and (arguments := outcome.record.identity.arguments):
        text += f" ({', '.join(f'{name}={value}' for name, value in arguments.items())})"
    if outcome.status in ("ok", "cached") and outcome.record is not None:
        record = outcome.record
        text += f": {_value(record.scores[record.evaluator])}"
        if outcome.status == "ok":
            text += f" in {sum(record.seconds.values()):.0f} s"
    console.print(f"{text} ({escape(outcome.reason)})", soft_wrap=True)
    for further in _remarks(outcome.record) if outcome.record is not None else ():
        console.print(f"{'':9}{further}", markup=False, soft_wrap=True)
    if verbose and outcome.trace:
        console.print(outcome.trace, markup=False, soft_wrap=True)


def _remarks(record: Record) -> list[str]:
    """Return where the data is not the published, and which evaluators could not be applied."""
    remarks = [f"data: {text}" for text in record.provenance.get("deviations", [])]
    return remarks + [f"{name}: {text}" for name, text in sorted(record.unscored.items())]


def _value(score: Score | Evaluation) -> str:
    value, low, high = (round(number, 9) for number in (score.value, *score.ci95))
    return f"{value:.4g} {score.unit} [{low:.4g}, {high:.4g}]".replace("[", r"\[")


def print_evaluations(found: Sequence[Evaluation | Unscored], *, as_json: bool, many: bool) -> None:
    """Print evaluations of one set of detections, one row each."""
    from kpbench.scoring.scorefile import as_json as to_dict

    if as_json:
        rows = [to_dict(evaluation) for evaluation in found]
        print(json.dumps(rows if many else rows[0], allow_nan=False))  # noqa: T201
        return
    console = Console(highlight=False)
    table = Table(Column("evaluator", no_wrap=True))
    for name in ("value", "95 % interval", "unit", "n"):
        table.add_column(name, no_wrap=True)
    table.add_column("notes")
    for row in map(to_dict, found):
        if "error" in row:
            table.add_row(row["evaluator"], "–", "–", "–", "–", escape(row["error"]))
            continue
        low, high = row["ci95"]
        notes = [*row["notes"], *(["reads test labels"] if row["oracle_used"] else [])]
        table.add_row(
            row["evaluator"], f"{row['value']:.6g}", f"{low:.4g} to {high:.4g}",
            row["unit"], str(row["n"]), escape("; ".join([row["metric"], *notes])),
        )  # fmt: skip
    console.print(table)


def print_disagreement(record: Record, verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    """Print what every evaluator says of the detections of one run."""
    from kpbench.boards.pages.disagreement import COLUMNS, cells, factors, remarks
    from kpbench.records.find import described

    if as_json:
        print(json.dumps([v.as_dict() for v in verdicts], allow_nan=False))  # noqa: T201
        return
    console = Console(highlight=False)
    console.print(described(record.identity), markup=False, soft_wrap=True)
    table = Table()
    for name in COLUMNS:
        table.add_column(name, no_wrap=name == COLUMNS[0], overflow="fold")
    for verdict in verdicts:
        table.add_row(*map(escape, cells(verdict)))
    console.print(table)
    for line in [*factors(verdicts), *remarks(verdicts)]:
        console.print(line, markup=False, soft_wrap=True)


def print_throughput(found: Sequence[SpeedRecord | Unmeasured], *, as_json: bool) -> None:
    """Print throughput measurements as a table or as JSON."""
    from kpbench.speed.table import table

    if as_json:
        print(json.dumps([row.as_json() for row in found], allow_nan=False))  # noqa: T201
        return
    console = Console(highlight=False)
    for row in found:
        console.print(table(row))


def report_checks(found: Sequence[Checked]) -> int:
    """Print the result of conformance checks and return the exit code."""
    console = Console(highlight=False)
    for checked in found:
        colour = COLOURS[checked.status]
        console.print(
            f"[{colour}]{checked.status:8}[/] {checked.kind[:-1]} {checked.name}"
            + (f": {escape(checked.reason)}" if checked.reason else ""),
            soft_wrap=True,
        )
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
