"""Benchmarks run on one thread, so that they compare between machines with more or fewer cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # numpy's and scipy's
        yield
    torch.set_num_threads(before)
