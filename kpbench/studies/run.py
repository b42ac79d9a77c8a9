"""Runs a study: says what is missing and how long it takes, runs it, writes the pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from rich.console import Console

from kpbench.errors import RecordError
from kpbench.records.record import Record, read_record, record_files
from kpbench.running.execute import Runner
from kpbench.running.resolve import Run
from kpbench.studies.plan import Work


def run_study(work: Sequence[Work], folder: Path, *, jobs: int = 0, verbose: bool = False) -> int:
    """Run what has no record yet, write all pages and plots, and return the exit code.

    A failed cell is reported and kept as a record, and the rest goes on. Interrupted, it is
    started again with the same work.

    Args:
        work: of `study`; its records go to `folder / "results"`.
        folder: of the pages.
        jobs: cells side by side; 0: `default_jobs`.
        verbose: print the traceback of a failure.

    Raises:
        InvalidInputError: a file in the place of a page is not ours; nothing was run.
        RecordError: a record or an artifact in the folder is corrupt; the runs are kept.
        StorageError: the folder cannot be written.
    """
    from kpbench.boards.leaderboard import check_replaceable, write_pages
    from kpbench.cli.console import print_summary, run_work
    from kpbench.running.local_processes import default_jobs
    from kpbench.studies.page import NAME

    console = Console(highlight=False)
    _, settings = work[0]
    names = {"README.md", NAME, *(f"{cell.protocol}.md" for cell, _ in work)}
    check_replaceable(folder / name for name in sorted(names))
    jobs = jobs or default_jobs(settings)
    console.print(forecast(work, jobs), soft_wrap=True)
    outcomes = run_work(console, work, jobs=jobs, verbose=verbose)
    if outcomes is None:
        console.print("the same command goes on from here")
        return 130
    code = print_summary(console, outcomes, settings.results)
    written = write_pages(folder)
    console.print(f"pages: {len(written)} files in {folder}", soft_wrap=True)
    return code


def forecast(work: Sequence[Work], jobs: int) -> str:
    """Say how many cells are missing, and how long they take by the median of earlier runs.

    Args:
        work: of `study`.
        jobs: cells side by side.
    """
    _, settings = work[0]
    missing = []
    for cell, each in work:
        runner = Runner(each)
        run = runner.resolved(cell)
        if isinstance(run, Run) and isinstance(runner.kept(run), str):
            missing.append(run)
    text = f"{len(work)} cells, {len(missing)} of them to run"
    if not missing:
        return text
    before = _seconds_by_method(_readable(settings.results), missing[0])
    if not before:
        return f"{text}; no earlier run of this recipe says how long they take"
    usual = [value for values in before.values() for value in values]
    total = sum(median(before.get(run.identity.method, usual)) for run in missing)
    minutes = total / min(jobs, len(missing)) / 60
    time = f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
    return f"{text}: about {time} at {jobs} side by side, if runs take as long as earlier ones"


def _readable(results: Path) -> Iterator[Record]:
    """Yield the records that can be read: another is of no concern before the runs."""
    for path in record_files(results):
        with suppress(RecordError):
            yield read_record(path)


def _seconds_by_method(records: Iterable[Record], like: Run) -> dict[str, list[float]]:
    """Return how long trainings of a recipe on a class of device took, by method."""
    found: dict[str, list[float]] = {}
    for record in records:
        who = record.identity
        if (who.recipe, who.device) == (like.identity.recipe, like.identity.device) and (
            "fit" in record.seconds
        ):
            found.setdefault(who.method, []).append(sum(record.seconds.values()))
    return found
