"""Rendering chunks on several cores."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from kpbench.people.picture.render import CHUNK, Chunk, Renderer

if TYPE_CHECKING:
    from kpbench.people.dataset import RenderedSet

MOST_WORKERS = 8
"""Each needs about a tenth of a gigabyte at 128 pixels."""
GPU_WORKERS = 2
"""One draws scenes while the other's are rendered."""


def render_chunks(
    wanted: RenderedSet, numbers: Sequence[int], workers: int | None = None
) -> Generator[Chunk, None, None]:
    """Yield the chunks with the given numbers, in order, rendered on threads ahead of time.

    Threads, each with one thread inside torch: torch releases the interpreter while it computes,
    and unlike processes they need nothing from the program that calls us.

    Args:
        wanted: the data set.
        numbers: of the chunks.
        workers: threads; by default one a core, or `GPU_WORKERS`.
    """
    from joblib import cpu_count

    if not numbers:
        return
    renderer = Renderer(wanted.settings, wanted.split, wanted.pixels, torch.device(wanted.device))
    together = max(1, renderer.images_at_once // CHUNK)
    groups = [numbers[i : i + together] for i in range(0, len(numbers), together)]
    usual = GPU_WORKERS if wanted.device == "cuda" else cpu_count()
    workers = min(workers or usual, MOST_WORKERS, len(groups))
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for chunks in pool.map(lambda group: renderer.chunks(group, wanted.moment), groups):
            yield from chunks
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
