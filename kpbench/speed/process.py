"""A training, or one prediction, in a process of its own, so that its memory is its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kpbench.api import Array, Device, Method, MovableMethod
from kpbench.errors import KpbenchError
from kpbench.speed.training import Case, StepClock, train

T = TypeVar("T")

HOW: dict[Device, str] = {
    "cpu": "growth of a fresh process's peak resident memory, libraries and images loaded before",
    "cuda": "torch.cuda.max_memory_allocated in a fresh process",
}
_LIBRARIES = ("kpbench.training.loop", "kpbench.nn.perceptual", "kpbench.registry")


@dataclass(frozen=True)
class TrainingRun:
    """What was seen of a training.

    Attributes:
        steps: (W,) in each window.
        milliseconds: (W,) of a step.
        threads: of PyTorch on the CPU.
        startup_s: until the first look at the clock.
        peak_mib: memory, see `HOW`; None where the system does not tell.
    """

    steps: Array
    milliseconds: Array
    threads: int
    startup_s: float
    peak_mib: float | None


def time_training(case: Case, dependency: Method | None) -> TrainingRun:
    """Run the recipe's training until enough was seen of it.

    Raises:
        KpbenchError: the process died; and whatever the training raises.
    """
    if dependency is None:
        return _in_a_fresh_process(case.device, _train, case, None)
    with tempfile.TemporaryDirectory() as folder:
        dependency.save(Path(folder))
        return _in_a_fresh_process(case.device, _train, case, Path(folder))


def prediction_memory(case: Case, folder: Path, params: dict[str, Any], batch: int) -> float | None:
    """Return the peak of memory while a fitted method predicts once, in MiB.

    Args:
        case: which method, on which device.
        folder: where it was saved.
        params: with which it was fitted.
        batch: images.

    Returns:
        None where it is not known: the system does not tell, or a loaded method stays on the CPU.
    """
    return _in_a_fresh_process(case.device, _predict, case, folder, params, batch)


def _in_a_fresh_process(device: Device, function: Callable[..., T], *arguments: Any) -> T:
    """Run the function in a process that has loaded libraries and done nothing with them.

    On the CPU a server forks it, which did nothing but import: a fork of this process would inherit
    its memory, and PyTorch's threads do not survive one. A CUDA driver survives no fork at all.
    """
    import multiprocessing

    here = multiprocessing.get_all_start_methods()
    forks = device == "cpu" and "forkserver" in here
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(list(_LIBRARIES))
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, os.environ.get("TORCH_HOME"), *arguments).result()
    except BrokenProcessPool as error:
        raise KpbenchError(
            f"the process that measures died, probably for want of memory ({error}); measure with "
            "another recipe or fewer images a call (--batch)"
        ) from error


def _train(torch_home: str | None, case: Case, dependency: Path | None) -> TrainingRun:
    _ready(torch_home)
    teacher = None
    if dependency is not None:
        from kpbench.records.model import load_model

        teacher = load_model(dependency)
    images = case.training_set()
    before = _peak_mib("cpu")
    clock = StepClock(case.device)
    train(case, teacher, images, clock)
    peak = _grown(before, case.device)
    return TrainingRun(*clock.windows(), clock.threads, clock.startup_s, peak)


def _predict(
    torch_home: str | None, case: Case, folder: Path, params: dict[str, Any], batch: int
) -> float | None:
    _ready(torch_home)
    method = case.configured(**params)
    images = case.images(batch, method.inputs)
    before = _peak_mib("cpu")
    method.load(folder)
    if case.device != "cpu":
        if not isinstance(method, MovableMethod):
            return None
        method.to(case.device)
    method.predict(images)
    return _grown(before, case.device)


def _ready(torch_home: str | None) -> None:
    """Load the libraries, as far as the server has not."""
    import importlib

    if torch_home is not None:
        os.environ["TORCH_HOME"] = torch_home
    for name in _LIBRARIES:
        importlib.import_module(name)


def _grown(before: float | None, device: Device) -> float | None:
    if device == "cuda":
        return _peak_mib("cuda")
    after = _peak_mib("cpu")
    return None if before is None or after is None else after - before


def _peak_mib(device: Device) -> float | None:
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated()) / 2**20
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
