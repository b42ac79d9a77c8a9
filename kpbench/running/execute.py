"""Execute a grid: what is reused, what waits for what and where data is made, for every engine.

A failure is a record, and the rest goes on.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kpbench.api import Progress, no_progress
from kpbench.errors import (
    CheckpointError,
    ContractError,
    KpbenchError,
    MissingDataError,
    MissingPackageError,
    MissingWeightsError,
    ProcessDiedError,
)
from kpbench.files.atomic import check_writable
from kpbench.running.engines.engine import Engine
from kpbench.running.engines.here import Here
from kpbench.running.engines.local_processes import LocalProcesses
from kpbench.running.one_run import Data, Outcome, Status, failed
from kpbench.running.plan import Cell
from kpbench.running.resolve import Run, Settings, resolve
from kpbench.running.reuse import kept

__all__ = ["Outcome", "Settings", "evaluate", "evaluate_all", "execute_all", "resolved"]

TICK = 0.2
"""Seconds between two looks at how far the runs are."""


def evaluate(
    cells: Sequence[Cell], settings: Settings, progress: Progress = no_progress
) -> Iterator[Outcome]:
    """Run cells one after another in this process; see `evaluate_all`."""
    return evaluate_all([(cell, settings) for cell in cells], 1, progress)


def evaluate_all(
    work: Sequence[tuple[Cell, Settings]], jobs: int, progress: Progress = no_progress
) -> Generator[Outcome, None, None]:
    """Run cells, several at a time, and yield what became of each as soon as it is known.

    Every finished cell is on disk before its outcome is yielded, so a kill loses at most those that
    run. The results are those of one job; only the order differs. Closing the generator, an
    interrupt or SIGTERM stops all processes.

    Args:
        work: what to run, and how.
        jobs: processes; with 1 everything runs in this one, in the order given.
        progress: told how far each running cell is.

    Raises:
        StorageError: a results folder cannot be written; nothing was run.
    """
    slots = min(jobs, len(work))
    engine: Engine = LocalProcesses(slots) if slots > 1 else Here()
    yield from execute_all(work, engine, progress)


def execute_all(
    work: Sequence[tuple[Cell, Settings]], engine: Engine, progress: Progress = no_progress
) -> Iterator[Outcome]:
    """Run cells on an engine.

    With one slot they run in the order given. With several, what others wait for comes first and
    reference rows last. A method that others build on is trained once and before them, whether or
    not it has a cell of its own.

    Args:
        work: what to run, and how.
        engine: where.
        progress: told how far each running cell is.

    Raises:
        StorageError: a results folder cannot be written; nothing was run.
    """
    for folder in dict.fromkeys(settings.results for _, settings in work):
        check_writable(folder)
    grid = _Grid(engine, progress)
    with engine:
        if engine.slots > 1:
            yield from grid.executed(work)
            return
        for item in work:  # each is resolved when the one before it is finished
            yield from grid.executed([item])


def resolved(cell: Cell, settings: Settings, progress: Progress = no_progress) -> Run | Outcome:
    """Return what a cell trains and scores, or what became of it when it cannot run."""

    def ended(status: Status, reason: str, trace: str = "") -> Outcome:
        return Outcome(cell, status, reason, trace=trace, title=settings.title(cell))

    try:
        run = resolve(cell, settings, progress)
    except (MissingPackageError, MissingDataError, MissingWeightsError) as error:
        return ended("skipped", str(error))
    except KpbenchError as error:
        return ended("failed", str(error), traceback.format_exc())
    return ended("skipped", run.obstacle) if run.obstacle else run


@dataclass(frozen=True, eq=False)
class _Step:
    """A run and what it reads and writes, named by the stems of the records.

    Attributes:
        run: resolved.
        title: of the cell that is asked for, under which progress is told.
        hidden: whether it is such a step, of which nothing is told.
    """

    run: Run
    title: str
    hidden: bool = False

    @cached_property
    def own(self) -> Path:
        return self.run.file("json")

    @cached_property
    def needs(self) -> list[Run]:
        """What it builds on, the nearest first."""
        found, run = [], self.run
        while run.needed is not None:
            run = run.needed
            found.append(run)
        return found

    @cached_property
    def touched(self) -> set[Path]:
        return {self.own, *(run.file("json") for run in self.needs)}


class _Grid:
    """Executes steps on an engine, and remembers what was trained and what failed."""

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self.engine = engine
        self._progress = progress
        self._data = Data()
        self._done: dict[Path, Outcome] = {}

    def executed(self, work: Iterable[tuple[Cell, Settings]]) -> Iterator[Outcome]:
        """Execute cells in a good order."""
        waiting: list[_Step] = []
        for cell, settings in work:
            run = resolved(cell, settings, self._titled(settings.title(cell)))
            if isinstance(run, Outcome):
                yield run
            else:
                waiting.append(_Step(run, run.title))
        waiting = _ordered(waiting)
        running: dict[Future[Outcome], tuple[_Step, str]] = {}
        while waiting or running:
            yield from self._start(waiting, running)
            done, _ = wait(running, TICK, FIRST_COMPLETED)
            for future in done:
                yield from self._finished(future, *running.pop(future))
            self.engine.report()

    def _start(
        self, waiting: list[_Step], running: dict[Future[Outcome], tuple[_Step, str]]
    ) -> Iterator[Outcome]:
        """Start what can be, and yield what is over without."""
        while len(running) < self.engine.slots:
            step = _startable(waiting, [step for step, _ in running.values()])
            if step is None:
                return
            before = self._before(step)
            if isinstance(before, _Step):
                waiting.insert(waiting.index(step), before)
                continue
            waiting.remove(step)
            if isinstance(before, Outcome):
                yield from self._over(step, before)
                continue
            progress = self._titled(step.title)
            try:
                self._data.make(step.run, progress)
            except Exception as error:
                yield from self._over(step, failed(step.run, error, traceback.format_exc()))
                continue
            running[self.engine.start(step.run, self._data, progress)] = step, before

    def _before(self, step: _Step) -> _Step | Outcome | str:
        """Return what has to be trained first, or what became of the step, or why it has to run."""
        run = step.run
        reason = f"needed by {step.title}"
        if not step.hidden:
            try:
                found = kept(run)
            except KpbenchError as error:
                trace = traceback.format_exc()
                return Outcome(run.cell, "failed", str(error), trace=trace, title=run.title)
            if found.record is not None:
                return Outcome(run.cell, "cached", found.reason, found.record, title=run.title)
            reason = found.reason
        needed = run.needed
        if needed is None or _is_fitted(needed):
            return reason
        before = self._done.get(needed.file("json"))
        if before is None or before.status == "cached":  # its record is there, its model is not
            return _Step(needed, step.title, hidden=True)
        if before.status == "failed":
            name = needed.method.name
            why = f"{run.method.name} needs {name}, which failed: {before.reason}"
            return failed(run, ContractError(why))
        return reason

    def _finished(self, future: Future[Outcome], step: _Step, reason: str) -> Iterator[Outcome]:
        error = future.exception()
        if error is None:
            outcome = future.result()
            outcome = replace(outcome, reason=reason) if outcome.status == "ok" else outcome
        else:
            outcome = failed(step.run, ProcessDiedError(_how(step.run.cell, error)))
        yield from self._over(step, outcome)

    def _over(self, step: _Step, outcome: Outcome) -> Iterator[Outcome]:
        self._done[step.own] = outcome
        if not step.hidden:
            yield outcome

    def _titled(self, title: str) -> Progress:
        def tell(done: int, total: int, text: str) -> None:
            self._progress(done, total, f"{title}: {text}")

        return tell


def _is_fitted(run: Run) -> bool:
    try:
        run.method.load(run.file("model"))
    except CheckpointError:
        return False
    except Exception:
        return True  # it is raised again where it becomes a record
    return True


def _ordered(steps: Sequence[_Step]) -> list[_Step]:
    """Sort by how many others build on a run; reference rows, which train nothing, come last.

    What a run builds on is wanted by more than the run is, so it always comes before.
    """
    wanted = Counter(run.file("json") for step in steps for run in step.needs)
    return sorted(steps, key=lambda step: (-wanted[step.own], step.run.method.paper == ""))


def _startable(waiting: Sequence[_Step], running: Sequence[_Step]) -> _Step | None:
    """Return the first that touches nothing which one before it writes, None if there is none."""
    taken = {step.own for step in running}
    for step in waiting:
        if not step.touched & taken:
            return step
        taken.add(step.own)
    return None


def _how(cell: Cell, error: BaseException) -> str:
    """Say how the process that ran a cell ended."""
    if isinstance(error, BrokenProcessPool):
        return (
            f"the process that ran {cell} was killed, perhaps for want of memory; "
            f"try --jobs 1 ({error})"
        )
    return f"the process that ran {cell} was stopped ({type(error).__name__}: {error})"
