"""Run a grid in several processes: a small training keeps one core busy, and gains nothing by two.

What is run, in which order, is decided here; `kpbench.running.workers` holds the processes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from kpbench.api import Progress, no_progress
from kpbench.errors import ProcessDiedError
from kpbench.files.atomic import check_writable
from kpbench.files.checkpoint import checkpoint_hash
from kpbench.running.execute import Outcome, Runner, evaluate
from kpbench.running.plan import Cell
from kpbench.running.provenance import now
from kpbench.running.resolve import Run, Settings
from kpbench.running.workers import TICK, Worker, sigterm_raises, workers

MOST_JOBS = 8
"""By default; each holds torch, a net and its data: about a gigabyte."""


def default_jobs(settings: Settings) -> int:
    """Return how many cells are run side by side.

    On a GPU it is one, because one training fills it. On CPU cores it is as many as fit: a step of
    `paper` uses two cores, one of `quick` a single core. `smoke` is over before a process starts.
    """
    from joblib import cpu_count

    if settings.device != "cpu" or settings.recipe == "smoke":
        return 1
    cores = int(cpu_count()) // (2 if settings.recipe == "paper" else 1)
    return max(1, min(cores, MOST_JOBS))


def evaluate_all(
    work: Sequence[tuple[Cell, Settings]], jobs: int, progress: Progress = no_progress
) -> Generator[Outcome, None, None]:
    """Run cells, several at a time, and yield what became of each as soon as it is known.

    Every finished cell is on disk before its outcome is yielded. A method that others build on is
    trained once and before them. The results are those of one job; only the order differs: what
    others wait for comes first, reference rows last. Closing the generator, an interrupt or SIGTERM
    stops all processes.

    Args:
        work: what to run, and how.
        jobs: processes; with 1 everything runs in this one, in the order given.
        progress: told how far each running cell is.

    Raises:
        StorageError: a results folder cannot be written; nothing was run.
    """
    for folder in dict.fromkeys(settings.results for _, settings in work):
        check_writable(folder)
    if min(jobs, len(work)) > 1:
        yield from _side_by_side(work, min(jobs, len(work)), progress)
        return
    for settings, items in groupby(work, key=lambda item: item[1]):
        yield from evaluate([cell for cell, _ in items], settings, progress)


@dataclass(frozen=True)
class _Task:
    """A run and what it reads and writes, named by the stems of the records."""

    run: Run
    settings: Settings
    runner: Runner
    own: Path = field(init=False)
    needs: dict[Path, Run] = field(init=False)

    def __post_init__(self) -> None:
        root = self.settings.results
        object.__setattr__(self, "own", self.run.identity.stem(root))
        object.__setattr__(self, "needs", {r.identity.stem(root): r for r in _needed(self.run)})

    @property
    def touched(self) -> set[Path]:
        return {self.own, *self.needs}

    @property
    def written(self) -> set[Path]:
        """Its own record and model, and the models that it builds on and nobody has trained yet."""
        root = self.settings.results
        absent = (
            stem
            for stem, run in self.needs.items()
            if checkpoint_hash(run.identity.file(root, "model")) is None
        )
        return {self.own, *absent}


def _needed(run: Run) -> Iterator[Run]:
    while run.needed is not None:
        run = run.needed
        yield run


def _side_by_side(
    work: Sequence[tuple[Cell, Settings]], jobs: int, progress: Progress
) -> Iterator[Outcome]:
    waiting: list[_Task] = []
    for cell, settings in work:
        runner = Runner(settings, progress)
        run = runner.resolved(cell)
        if isinstance(run, Outcome):
            yield run
        else:
            waiting.append(_Task(run, settings, runner))
    waiting = _ordered(waiting)
    running: dict[Future[Outcome], tuple[Worker, _Task]] = {}
    made: set[str] = set()
    with sigterm_raises(), workers(jobs) as idle:
        while waiting or running:
            while idle and (task := _startable(waiting, [t for _, t in running.values()])):
                waiting.remove(task)
                kept = task.runner.kept(task.run)
                if isinstance(kept, Outcome):
                    yield kept
                    continue
                _make_data(task, made)
                worker = idle.pop()
                running[worker.submit(task.run.cell, task.settings)] = worker, task
            done, _ = wait(running, TICK, FIRST_COMPLETED)
            for future in done:
                worker, task = running.pop(future)
                idle.append(worker)
                yield _outcome(future, task)
            for worker, _ in running.values():
                worker.report(progress)


def _ordered(tasks: Sequence[_Task]) -> list[_Task]:
    """Sort by how many others build on a run; reference rows, which train nothing, come last.

    What a run builds on is wanted by more than the run is, so it always comes before.
    """
    wanted = Counter(stem for task in tasks for stem in task.needs)
    return sorted(tasks, key=lambda task: (-wanted[task.own], task.run.method.paper == ""))


def _startable(waiting: Sequence[_Task], running: Sequence[_Task]) -> _Task | None:
    """Return the first that touches nothing which one before it writes, None if there is none."""
    taken = {stem for task in running for stem in task.written}
    for task in waiting:
        if not task.touched & taken:
            return task
        taken |= task.written
    return None


def _make_data(task: _Task, made: set[str]) -> None:
    """Render what is missing, once and here, on all cores, before a worker opens it."""
    for run in (task.run, *_needed(task.run)):
        key = json.dumps([run.identity.data, run.signals, str(task.settings.device)])
        if key not in made:
            made.add(key)
            with suppress(Exception):  # the worker meets it again, and makes it a record
                task.runner.data(run)


def _outcome(future: Future[Outcome], task: _Task) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    who = f"the process that ran {task.run.cell}"
    if isinstance(error, BrokenProcessPool):
        what = f"{who} was killed, perhaps for want of memory; try --jobs 1 ({error})"
    else:
        what = f"{who} was stopped ({type(error).__name__}: {error})"
    return task.runner.failed(task.run, ProcessDiedError(what), "", now())
