"""What makes training faster, what decides over it, and a switch that turns all of it off."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any

_PLAIN = ContextVar("kpbench_plain_training", default=False)

LARGE_STEP = 2**18
"""Pixels a step: from here on a second thread of a CPU helps more than it costs."""

LONG_TRAINING = 2**31
"""Pixels a training: from here on minutes of compiling are worth it."""


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Build networks and train without any speed-up inside this context.

    Every speed-up must keep the loss curve, up to the order of floating-point sums. Inside this
    context nothing is cached, folded, fused or compiled and the edge map is its naive formula, so a
    training here is what a fast one is compared with.

    Example:
        >>> with plain():
        ...     is_plain()
        True
        >>> is_plain()
        False
    """
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def is_plain() -> bool:
    """Return whether speed-ups are off, see `plain`."""
    return _PLAIN.get()


def cpu_threads(batch_size: int, pixels: int) -> int:
    """Return how many threads training on a CPU uses, a function of the step's size alone.

    Never of the machine: another number of threads rounds otherwise, and after some hundred steps
    that is another result for the same seed. Small steps gain nothing from a second thread, and
    several such trainings can run side by side.

    Args:
        batch_size: images a step.
        pixels: of one image, height times width.

    Example:
        >>> cpu_threads(16, 32 * 32), cpu_threads(64, 128 * 128)
        (1, 2)
    """
    return 1 if batch_size * pixels < LARGE_STEP else 2


def compiles(device: str, visited_pixels: int) -> bool:
    """Return whether networks are compiled for a training.

    Args:
        device: of the training; on a CPU, compiling needs a C++ compiler that users may not have.
        visited_pixels: steps times images a step times pixels of an image.
    """
    return (
        device == "cuda"
        and visited_pixels >= LONG_TRAINING
        and find_spec("triton") is not None
        and not is_plain()
    )


def compiled(network: Callable[..., Any], wanted: bool) -> Callable[..., Any]:
    """Return the network as one graph, compiled at its first call, or as it is if not wanted.

    Inputs keep their shapes while training. A network that cannot be compiled on this machine runs
    as it is, with a warning; its backward pass is compiled at the first call, too, so that this is
    known by then.
    """
    if not wanted:
        return network
    import torch
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
    from torch._functorch import config

    fast = torch.compile(network, fullgraph=True, dynamic=False)
    usable = True

    def call(*inputs: Any) -> Any:
        nonlocal usable
        if usable:
            try:
                with config.patch(force_non_lazy_backward_lowering=True):
                    return fast(*inputs)
            except (TorchDynamoException, FailOnRecompileLimitHit) as error:
                usable = False
                why = str(error).strip().splitlines()[0]
                warnings.warn(f"training goes on uncompiled, which is slower: {why}", stacklevel=2)
        return network(*inputs)

    return call
