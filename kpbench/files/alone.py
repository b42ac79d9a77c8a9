"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kpbench.files.atomic import storing

_TICK = 0.2
"""Seconds between two tries."""


def lock_of(folder: Path) -> Path:
    """Return the file beside a folder that is locked; it stays, as deleting it would be a race."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def alone_in(folder: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Keep other processes out of a folder, waiting for one that is there.

    Args:
        folder: need not exist.
        waiting: called again and again while another process is in it; may raise.

    Yields:
        Whether another process was in it before.

    Raises:
        StorageError: the lock cannot be written.
    """
    from filelock import FileLock, Timeout

    path, waited = lock_of(folder), False
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
    while not lock.is_locked:
        with storing(path), suppress(Timeout):
            lock.acquire(timeout=_TICK)
        if not lock.is_locked:
            waited = True
            waiting()
    try:
        yield waited
    finally:
        lock.release()
