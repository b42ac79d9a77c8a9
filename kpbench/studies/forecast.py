"""What of a study is missing, and how long it will take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from kpbench.errors import KpbenchError, RecordError
from kpbench.records.folders import record_files
from kpbench.records.record import Record, read_record
from kpbench.running.execute import resolved
from kpbench.running.resolve import Run
from kpbench.running.reuse import kept
from kpbench.studies.plan import Work


def forecast(work: Sequence[Work], jobs: int) -> str:
    """Say how many cells are missing, and how long they take by the median of earlier runs.

    Args:
        work: of `study`.
        jobs: cells side by side.
    """
    _, settings = work[0]
    runs = [resolved(cell, each) for cell, each in work]
    missing = [run for run in runs if isinstance(run, Run) and _is_missing(run)]
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


def _is_missing(run: Run) -> bool:
    try:
        return kept(run).record is None
    except KpbenchError:
        return False  # it fails without being run


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
