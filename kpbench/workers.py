"""Processes that run cells, each a pool of one: if it is killed, it costs one cell, which is known.

The processes are joblib's (loky): they do not import the program that calls us, so that a script
needs no `if __name__ == "__main__"`, and they are no forks, so that threads of torch do no harm.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Generator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpbench.api import Progress
from kpbench.plan import Cell
from kpbench.run import Settings
from kpbench.runner import Outcome, Runner

if TYPE_CHECKING:
    from joblib.externals.loky import ProcessPoolExecutor

TICK = 0.2
"""Seconds between two looks at how far the processes are."""
GRACE = 10.0
"""Seconds that a process has to clean up after it was told to stop."""
IDLE = 60
"""Seconds after which an unused process ends, also when the program that started it was killed."""
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
"""Environment of a process. A training that wants more threads asks torch for them."""


class Worker:
    """One process, started when it is first used, and again after it died."""

    def __init__(self, mailbox: Path) -> None:
        """Take the file in which the process says how far it is."""
        self.mailbox = mailbox
        self._pool: ProcessPoolExecutor | None = None
        self._future: Future[Outcome] | None = None

    def submit(self, cell: Cell, settings: Settings) -> Future[Outcome]:
        """Run a cell there."""
        self.mailbox.unlink(missing_ok=True)
        if self._future is not None and self._future.exception() is not None:
            self.close()
        if self._pool is None:
            from joblib.externals.loky import ProcessPoolExecutor

            self._pool = ProcessPoolExecutor(
                1, timeout=IDLE, env=_ONE_THREAD, initializer=_start, initargs=(self._process,)
            )
        future: Future[Outcome] = self._pool.submit(
            _work, cell, settings, self.mailbox, os.getpid()
        )
        self._future = future
        return future

    @property
    def _process(self) -> Path:
        return self.mailbox.with_suffix(".pid")

    def report(self, progress: Progress) -> None:
        """Pass on what the process last said, if anything."""
        with suppress(OSError):
            progress(*json.loads(self.mailbox.read_text(encoding="utf-8")))

    def interrupt(self) -> Future[Outcome] | None:
        """Tell the process to stop, and return what to wait for."""
        if self._future is None or self._future.done():
            return None
        with suppress(OSError, ValueError):
            os.kill(int(self._process.read_text(encoding="utf-8")), signal.SIGTERM)
        return self._future

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
        self._pool = self._future = None


@contextmanager
def workers(jobs: int) -> Generator[list[Worker], None, None]:
    """Give workers; at the end, or when this is left by an error or interrupt, all have ended."""
    with tempfile.TemporaryDirectory(prefix="kpbench-") as folder:
        workers = [Worker(Path(folder) / f"{number}.json") for number in range(jobs)]
        try:
            yield list(workers)
        finally:
            try:
                wait([future for worker in workers if (future := worker.interrupt())], GRACE)
            finally:
                for worker in workers:
                    worker.close()


@contextmanager
def sigterm_raises() -> Generator[None, None, None]:
    """Let SIGTERM end the program by way of `finally`, so that no process outlives it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


# What follows runs in the worker processes.


def _start(process: Path) -> None:
    """Leave Ctrl-C to the parent, which sends SIGTERM, and say where to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.write_text(str(os.getpid()), encoding="utf-8")


def _work(cell: Cell, settings: Settings, mailbox: Path, parent: int) -> Outcome:
    """Run a cell; SIGTERM unwinds it as an interrupt does, so that no file stays half written."""

    def interrupt(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt("SIGTERM")

    last = 0.0

    def tell(done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= TICK:
            last = time.monotonic()
            if os.getppid() != parent:
                raise KeyboardInterrupt("the program that started this process has gone")
            _leave(mailbox, json.dumps([done, total, text]))

    signal.signal(signal.SIGTERM, interrupt)
    return Runner(settings, tell).outcome(cell)


def _leave(mailbox: Path, text: str) -> None:
    partial = mailbox.with_suffix(".new")
    with suppress(OSError):
        partial.write_text(text, encoding="utf-8")
        partial.replace(mailbox)
