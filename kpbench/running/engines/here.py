"""The engine that executes one run after another in this process."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Self

from kpbench.api import Progress
from kpbench.running.one_run import Data, Outcome, execute
from kpbench.running.resolve import Run


class Here:
    """Executes a run while it is started; see `Engine`."""

    slots = 1

    def start(self, run: Run, data: Data, progress: Progress) -> Future[Outcome]:
        """Execute a run; an interrupt is raised here."""
        done: Future[Outcome] = Future()
        done.set_result(execute(run, data, progress))
        return done

    def report(self) -> None:
        """Nothing runs between two calls."""

    def __enter__(self) -> Self:
        """Nothing has to be got ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left running."""
