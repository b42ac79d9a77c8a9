"""How long a call takes, on a CPU or on a GPU that works while Python goes on."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from kpbench.contracts.types import Array

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """The time of one call over several repeats, in milliseconds.

    Attributes:
        median_ms: median.
        p05_ms: 5th percentile.
        p95_ms: 95th percentile.
        repeats: how many calls were timed.
    """

    median_ms: float
    p05_ms: float
    p95_ms: float
    repeats: int


@dataclass(frozen=True)
class Ratio:
    """How many times as long one call takes as another, over rounds that timed both.

    Attributes:
        median: median of the rounds' ratios.
        p05: 5th percentile.
        p95: 95th percentile.
        rounds: how many.
    """

    median: float
    p05: float
    p95: float
    rounds: int


def measure(call: Call, device: str, *, warmup: int = 3, repeats: int = 20) -> Timing:
    """Time a call.

    On CUDA a call lasts from its first work on the device to its last, by the device's own clock;
    Python is not waited for between calls, as in a loop that uses what it computes only later. A
    call that reads a result back waits by itself, so that copies and Python count in it.

    Args:
        call: what to time; its result is thrown away.
        device: "cpu" or "cuda".
        warmup: calls before the first that counts.
        repeats: calls that count.

    Example:
        >>> measure(lambda: sum(range(100)), "cpu", repeats=5).repeats
        5
    """
    return paired({"call": call}, device, warmup=warmup, repeats=repeats)["call"]


def paired(
    calls: Mapping[str, Call], device: str, *, warmup: int = 3, repeats: int = 20
) -> dict[str, Timing]:
    """Time several calls in turn, so that what slows the machine down meanwhile hits all alike.

    Example:
        >>> sorted(paired({"a": lambda: 1, "b": lambda: 2}, "cpu", repeats=5))
        ['a', 'b']
    """
    found = rounds(calls, device, warmup=warmup, repeats=repeats)
    return {name: timing(times) for name, times in found.items()}


def rounds(
    calls: Mapping[str, Call], device: str, *, warmup: int = 3, repeats: int = 20
) -> dict[str, Array]:
    """Return the (repeats,) milliseconds of each call, entry i of all of them from round i."""
    for _ in range(warmup):
        for call in calls.values():
            call()
    clock = _cuda_times if device == "cuda" else _cpu_times
    return dict(zip(calls, clock(list(calls.values()), repeats), strict=True))


def timing(milliseconds: Array) -> Timing:
    """Summarise the times of equal calls.

    Example:
        >>> timing(np.array([1.0, 2.0, 9.0])).median_ms
        2.0
    """
    low, middle, high = (float(q) for q in np.quantile(milliseconds, [0.05, 0.5, 0.95]))
    return Timing(middle, low, high, len(milliseconds))


def ratio(slower: Array, faster: Array) -> Ratio:
    """Return how many times as long the first call takes as the second, round by round.

    Args:
        slower: (repeats,) milliseconds from `rounds`.
        faster: (repeats,) of the other call, from the same rounds.

    Example:
        >>> ratio(np.array([4.0, 6.0, 8.0]), np.array([2.0, 2.0, 2.0])).median
        3.0
    """
    low, middle, high = (float(q) for q in np.quantile(slower / faster, [0.05, 0.5, 0.95]))
    return Ratio(middle, low, high, len(slower))


def _cpu_times(calls: list[Call], repeats: int) -> Array:
    times = np.empty((len(calls), repeats))
    for i in range(repeats):
        for row, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[row, i] = 1000 * (time.perf_counter() - start)
    return times


def _cuda_times(calls: list[Call], repeats: int) -> Array:
    import torch

    def event() -> torch.cuda.Event:
        return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    pairs = [[(event(), event()) for _ in range(repeats)] for _ in calls]
    torch.cuda.synchronize()
    for i in range(repeats):
        for row, call in enumerate(calls):
            start, end = pairs[row][i]
            start.record()
            call()
            end.record()
    torch.cuda.synchronize()
    return np.array([[start.elapsed_time(end) for start, end in row] for row in pairs])


@contextmanager
def random_weights_where_missing() -> Iterator[list[str]]:
    """Put random weights where pretrained ones are not on this machine: for timing alone.

    They lie in a temporary folder of PyTorch's hub, so that the code that loads the real ones runs,
    here and in torchvision. Speed does not depend on their values; results do.

    Yields:
        The names of the weights that are random: [] or ["vgg16"]. Every output has to say so.
    """
    from kpbench.nn.perceptual import vgg16_file

    if vgg16_file().is_file():
        yield []
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, TORCH_HOME=folder),
    ):
        _write_random_vgg16(vgg16_file())
        yield ["vgg16"]


def _write_random_vgg16(file: Path) -> None:
    """Write weights that keep the scale of activations; the classifier is zero and takes no room.

    Activations that die out or overflow would be denormal or infinite numbers, which are slower.
    """
    import torch
    from torch import nn
    from torchvision.models import vgg16

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in vgg16().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        if name.startswith("features") and name.endswith("weight"):
            weights[name] = nn.init.kaiming_normal_(torch.empty(shape), generator=generator)
        else:
            weights[name] = torch.zeros(1).expand(shape)
    file.parent.mkdir(parents=True)
    torch.save(weights, file)
