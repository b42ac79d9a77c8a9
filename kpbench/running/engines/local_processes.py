"""The engine of several processes on this machine.

A small training keeps one core busy, and gains nothing by two.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from typing import Self

from kpbench.api import Progress
from kpbench.registry import of_recipe
from kpbench.running.engines.workers import Worker, sigterm_raises, workers
from kpbench.running.one_run import Data, Outcome
from kpbench.running.resolve import Run, Settings

MOST_JOBS = 8
"""By default; each holds torch, a net and its data: about a gigabyte."""
CORES = {"quick": 1, "standard": 1, "paper": 2}
"""What a training step uses."""


def default_jobs(settings: Settings) -> int:
    """Return how many cells are run side by side.

    On a GPU it is one, because one training fills it. On CPU cores it is as many as fit: a step of
    `paper` uses two cores, one of `quick` or `standard` a single core. `smoke` is over before a
    process starts.
    """
    from joblib import cpu_count

    if settings.device != "cpu" or settings.recipe == "smoke":
        return 1
    cores = int(cpu_count()) // of_recipe(settings.recipe, CORES, "the number of jobs")
    return max(1, min(cores, MOST_JOBS))


class LocalProcesses:
    """Executes runs in processes that are started when they are first needed; see `Engine`."""

    def __init__(self, slots: int) -> None:
        """Take the number of processes."""
        self.slots = slots
        self._left = ExitStack()
        self._workers: list[Worker] = []
        self._progress: dict[Worker, Progress] = {}

    def start(self, run: Run, data: Data, progress: Progress) -> Future[Outcome]:
        """Execute a run in a process that has nothing to do; it resolves the cell there again."""
        worker = next(worker for worker in self._workers if worker.running is None)
        self._progress[worker] = progress
        return worker.submit(run.cell, run.settings)

    def report(self) -> None:
        """Tell how far the processes were when they last said so."""
        for worker, progress in self._progress.items():
            if worker.running is not None:
                worker.report(progress)

    def __enter__(self) -> Self:
        """Let SIGTERM end the processes, too."""
        self._left.enter_context(sigterm_raises())
        self._workers = self._left.enter_context(workers(self.slots))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all processes."""
        self._left.close()
