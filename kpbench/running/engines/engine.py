"""What an engine promises."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self

from kpbench.api import Progress
from kpbench.running.one_run import Data, Outcome
from kpbench.running.resolve import Run


class Engine(Protocol):
    """Executes runs whose data is made and whose needed methods are fitted.

    It is entered before the first run; when it is left, by an error or an interrupt, too, nothing
    that it started runs any more.
    """

    @property
    def slots(self) -> int:
        """How many runs it executes side by side."""
        ...

    def start(self, run: Run, data: Data, progress: Progress) -> Future[Outcome]:
        """Execute a run; called with at most `slots` that are not done.

        Args:
            run: resolved.
            data: of this process; another process loads its own.
            progress: told how far the run is, by this call or by `report`.

        Returns:
            The outcome, whose record is on disk, once it is done. An exception says what ended the
            process that executed the run.
        """
        ...

    def report(self) -> None:
        """Tell how far the runs are."""
        ...

    def __enter__(self) -> Self:
        """Get ready."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop whatever still runs."""
        ...
