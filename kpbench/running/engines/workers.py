"""Processes that execute runs, each a pool of one: if it is killed, it costs one known run.

The processes are joblib's (loky): they do not import the program that calls us, so that a script
needs no `if __name__ == "__main__"`, and they are no forks, so that threads of torch do no harm.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpbench.api import Progress
from kpbench.running.one_run import Data, Outcome, execute
from kpbench.running.plan import Cell
from kpbench.running.resolve import Settings, resolve

if TYPE_CHECKING:
    from joblib.externals.loky import ProcessPoolExecutor

TICK = 0.2
"""Seconds between two looks at how far the processes are."""
GRACE = 10.0
"""Seconds that a process has to clean up after it was told to stop."""
AGAIN = 1.0
"""Seconds after which it is told again."""
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
        with _without_interrupts():
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

    @property
    def running(self) -> Future[Outcome] | None:
        """The cell that it runs, None if there is none."""
        return None if self._future is None or self._future.done() else self._future

    def interrupt(self) -> None:
        """Tell the process to stop."""
        with suppress(OSError, ValueError):
            os.kill(int(self._process.read_text(encoding="utf-8")), signal.SIGTERM)

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
                _interrupt(workers)
            finally:
                for worker in workers:
                    worker.close()


def _interrupt(workers: Sequence[Worker]) -> None:
    """Stop what runs; again where that was lost: an exception in a destructor is ignored."""
    end = time.monotonic() + GRACE
    while (busy := [w for w in workers if w.running]) and time.monotonic() < end:
        for worker in busy:
            worker.interrupt()
        wait([future for worker in busy if (future := worker.running)], AGAIN)


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


@contextmanager
def _without_interrupts() -> Generator[None, None, None]:
    """Hold Ctrl-C back, also from processes that are started here, until these can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # when it starts, it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# What follows runs in the worker processes.

_DATA = Data()


def _start(process: Path) -> None:
    """Leave Ctrl-C to the parent, which sends SIGTERM, and say where to."""

    def show(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):  # one in a destructor is sent again
            sys.__unraisablehook__(lost)

    sys.unraisablehook = show
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.write_text(str(os.getpid()), encoding="utf-8")


def _work(cell: Cell, settings: Settings, mailbox: Path, parent: int) -> Outcome:
    """Run a cell; SIGTERM unwinds it as an interrupt does, so that no file stays half written."""
    interrupted = 0.0

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        if time.monotonic() - interrupted > AGAIN / 2:  # a second one may not disturb the cleaning
            interrupted = time.monotonic()
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
    return execute(resolve(cell, settings, tell), _DATA, tell)


def _leave(mailbox: Path, text: str) -> None:
    partial = mailbox.with_suffix(".new")
    with suppress(OSError):
        partial.write_text(text, encoding="utf-8")
        partial.replace(mailbox)
