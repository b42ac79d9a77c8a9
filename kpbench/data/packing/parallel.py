"""Work on all cores, in processes: annotation is read in Python, where threads take turns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

from kpbench.errors import DataError

T = TypeVar("T")

FEW = 2
"""Tasks up to which starting processes takes longer than the work."""
IDLE = 20
"""Seconds after which an unused process ends, also when the program that started it was killed."""


def on_all_cores(
    function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]
) -> Generator[T, None, None]:
    """Yield `function(*task)` for every task, in any order.

    The processes are joblib's: they do not import the program that calls us, so that a script needs
    no `if __name__ == "__main__"`, they are no forks, so that threads of torch do no harm, and they
    know classes that the program itself defines.

    Args:
        function: importable, or picklable by cloudpickle.
        tasks: its arguments.

    Raises:
        DataError: a process died.
    """
    from joblib import Parallel, cpu_count, delayed, parallel_config

    if len(tasks) <= FEW or cpu_count() == 1:
        for task in tasks:
            yield function(*task)
        return
    workers = min(cpu_count(), len(tasks))
    with parallel_config("loky", n_jobs=workers, idle_worker_timeout=IDLE):
        pool = Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=None)
    stopped = False

    def calls() -> Iterator[Any]:
        for task in tasks:
            if stopped:
                return
            yield delayed(function)(*task)

    results = pool(calls())
    try:
        # not `yield from`, which would close `results` before `finally`
        for result in results:  # noqa: UP028
            yield result
    except BrokenProcessPool as error:
        raise DataError(
            "a process that read images died, for want of memory or at an image that its decoder "
            f"cannot bear; run again, what was finished is kept ({error})"
        ) from error
    finally:
        stopped = True
        with suppress(Exception):  # tasks under way end by themselves: killing them is noisy
            for _ in results:
                pass
