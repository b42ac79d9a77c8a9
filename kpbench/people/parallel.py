"""Rendering chunks on several cores."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from kpbench.people.render import Chunk, Renderer

if TYPE_CHECKING:
    from kpbench.people.dataset import RenderedSet

MOST_WORKERS = 8
"""Each needs about half a gigabyte at 128 pixels."""


def render_chunks(
    wanted: RenderedSet, numbers: Sequence[int], workers: int | None = None
) -> Generator[Chunk, None, None]:
    """Yield the chunks with the given numbers, in order, rendered on threads ahead of time.

    Threads, each with one thread inside torch: torch releases the interpreter while it computes,
    and unlike processes they need nothing from the program that calls us.

    Args:
        wanted: the data set.
        numbers: of the chunks.
        workers: threads; by default one a core.
    """
    if not numbers:
        return
    workers = min(workers or len(os.sched_getaffinity(0)), MOST_WORKERS, len(numbers))
    renderer = Renderer(wanted.settings, wanted.split, wanted.pixels, torch.device(wanted.device))
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(lambda number: renderer.chunk(number, wanted.moment), numbers)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
