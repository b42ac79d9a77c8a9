"""Peak memory: PyTorch's own account on CUDA, a process of its own on the CPU."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from kpbench.errors import KpbenchError
from kpbench.throughput_training import Case, fitted

T = TypeVar("T")

HOW = {
    "cpu": "growth of the peak resident memory of a fresh process that has loaded the libraries",
    "cuda": "torch.cuda.max_memory_allocated",
}
_STEPS = 3
"""The optimiser's state is there from the second on."""
_LIBRARIES = ("kpbench.training.loop", "kpbench.nn.perceptual", "kpbench.registry")


def on_cuda(work: Callable[[], T]) -> tuple[T, float]:
    """Return what the work returns and the peak of memory that tensors took meanwhile, in MiB."""
    import torch

    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    result = work()
    return result, torch.cuda.max_memory_allocated() / 2**20


def of_training(case: Case, dependency: Path | None) -> float | None:
    """Return the growth of memory while training a few steps in a process of its own, in MiB.

    Args:
        case: on the CPU.
        dependency: folder of the fitted method that the method depends on.

    Returns:
        None on a system that does not tell.

    Raises:
        KpbenchError: the process died.
    """
    return _in_a_fresh_process(_train, case, dependency)


def of_prediction(case: Case, folder: Path, params: dict[str, Any], batch: int) -> float | None:
    """Return the growth of memory while a saved method is loaded and predicts once, in MiB."""
    return _in_a_fresh_process(_predict, case, folder, params, batch)


def _in_a_fresh_process(function: Callable[..., float], *arguments: Any) -> float | None:
    """Run the function in a process that has loaded libraries and done nothing with them.

    A server forks it, which started nothing but imports: a fork of this process would inherit its
    memory, and PyTorch's threads do not survive one.
    """
    import multiprocessing

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_LIBRARIES))
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, os.environ.get("TORCH_HOME"), *arguments).result()
    except BrokenProcessPool as error:
        raise KpbenchError(
            f"the process that measures memory died, probably for want of it ({error}); measure a "
            "smaller batch or recipe"
        ) from error


def _train(torch_home: str | None, case: Case, dependency: Path | None) -> float:
    before = _ready(torch_home)
    teacher = None
    if dependency is not None:
        from kpbench.checkpoint import load_model

        teacher = load_model(dependency)
    fitted(case, teacher, steps=_STEPS)
    return _peak_mib() - before


def _predict(
    torch_home: str | None, case: Case, folder: Path, params: dict[str, Any], batch: int
) -> float:
    before = _ready(torch_home)
    method = case.configured(**params)
    method.load(folder)
    method.predict(case.images(batch).restricted(method.inputs))
    return _peak_mib() - before


def _ready(torch_home: str | None) -> float:
    """Load the libraries, as far as the server has not, and return the peak so far."""
    import importlib

    if torch_home is not None:
        os.environ["TORCH_HOME"] = torch_home
    for name in _LIBRARIES:
        importlib.import_module(name)
    return _peak_mib()


def _peak_mib() -> float:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
