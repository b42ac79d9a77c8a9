"""What makes networks faster, and what decides over it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

LARGE_STEP = 2**18
"""Pixels a step: from here on a second thread of a CPU helps more than it costs."""

LONG_TRAINING = 2**31
"""Pixels a training: from here on minutes of compiling are worth it."""


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


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let PyTorch use `n` CPU threads; a result may depend on their number in its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compiles(device: str, visited_pixels: int) -> bool:
    """Return whether networks are compiled for a training.

    Args:
        device: of the training; on a CPU, compiling needs a C++ compiler that users may not have.
        visited_pixels: steps times images a step times pixels of an image.
    """
    return device == "cuda" and visited_pixels >= LONG_TRAINING and find_spec("triton") is not None


def compiled(network: Callable[..., Any]) -> Callable[..., Any]:
    """Return the network as one graph, compiled at its first call.

    Inputs keep their shapes while training. A network that cannot be compiled on this machine runs
    as it is, with a warning; its backward pass is compiled at the first call, too, so that this is
    known by then.
    """
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
    from torch._functorch import config

    fast = torch.compile(network, fullgraph=True, dynamic=False)
    usable = True

    def call(*inputs: Any) -> Any:
        nonlocal usable
        if usable and not torch.compiler.is_compiling():  # else it becomes part of that graph
            try:
                with config.patch(force_non_lazy_backward_lowering=True):
                    return fast(*inputs)
            except (TorchDynamoException, FailOnRecompileLimitHit) as error:
                usable = False
                why = str(error).strip().splitlines()[0]
                warnings.warn(f"training goes on uncompiled, which is slower: {why}", stacklevel=2)
        return network(*inputs)

    return call


Network = TypeVar("Network", bound=nn.Module)


def for_prediction(network: Network) -> Network:
    """Return a copy for prediction alone: evaluation mode, batch norms put into convolutions.

    It computes what `network.eval()` does, up to rounding. A batch norm is put into a convolution
    where it follows it directly in an `nn.Sequential`. Channels lie last.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for layers in network.modules():
        if isinstance(layers, nn.Sequential):
            _fold(layers)
    return network.to(memory_format=torch.channels_last)


def _fold(layers: nn.Sequential) -> None:
    before: tuple[str, nn.Conv2d] | None = None
    for name, layer in list(layers.named_children()):
        if isinstance(layer, nn.Conv2d):
            before = name, layer
        elif isinstance(layer, nn.BatchNorm2d) and before is not None:
            setattr(layers, before[0], fuse_conv_bn_eval(before[1], layer))
            setattr(layers, name, nn.Identity())
        elif not isinstance(layer, nn.Identity):
            before = None
