"""Speed of a training step: the official one and kpbench's, each as its users run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kpbench.api import Device, FitContext, ImageSet
from kpbench.nn.fast import cpu_threads, torch_threads
from kpbench.speed.timing import Timing, timing
from kpbench.speed.training import Case, StepClock, train
from kpbench.training import loop

Batch = dict[str, Tensor]
PUBLISHED = 64
"""Images a step."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        case: kpbench's training: method, recipe, device, precision and K.
        warmup: official steps before the first that counts.
        window: official steps that are timed together.
        windows: how many.
        rounds: how often the two sides take turns.
    """

    case: Case
    warmup: int
    window: int
    windows: int
    rounds: int

    @property
    def device(self) -> Device:
        """Where both sides train."""
        return self.case.device


class OfficialTraining:
    """The official step as its trainer runs it: float16 with a gradient scaler on a GPU."""

    def __init__(self, model: Any, device: Device) -> None:
        """Take the official model and the optimiser that it names."""
        self.model, self.device = model.to(device).train(), device
        self.optimiser = model.configure_optimizers()
        self.scaler = torch.amp.GradScaler(device, enabled=device == "cuda")

    def step(self, batch: Batch) -> None:
        """Take one step on a batch, on the device or not."""
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        with float16(self.device):
            loss = self.model.training_step(batch, 0)
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()


def float16(device: Device) -> torch.autocast:
    """Return the official precision: float16 by autocast on a GPU, float32 elsewhere."""
    return torch.autocast(device, torch.float16, enabled=device == "cuda")


@dataclass(frozen=True)
class Steps:
    """Milliseconds a step on both sides, and the CPU threads that both had.

    The official ones are None where the official code is not at hand.
    """

    official: Timing | None
    ours: Timing
    threads: int


def compare_steps(
    plan: Plan,
    official: OfficialTraining | None,
    batches: Callable[[], Iterator[Batch]],
    images: ImageSet,
) -> Steps:
    """Time both sides in turn.

    Args:
        plan: how much.
        official: to be trained; None to time kpbench alone.
        batches: starts the official data loader, or repeats a batch that is ready.
        images: what kpbench trains on, by `fit` and with the published number of steps, of which
            the first are timed.
    """
    theirs: list[float] = []
    ours: list[float] = []
    threads = 1
    for _ in range(plan.rounds):
        clock = StepClock(plan.device)
        # as many threads as at the published batch, also where the batch is smaller
        with patch.object(loop, "cpu_threads", lambda _, pixels: cpu_threads(PUBLISHED, pixels)):
            train(plan.case, None, images, clock)
        ours += clock.windows()[1].tolist()
        threads = clock.threads
        if official is not None:
            with torch_threads(threads):
                theirs += _official(plan, official, batches())
    return Steps(timing(np.array(theirs)) if theirs else None, timing(np.array(ours)), threads)


def _official(plan: Plan, official: OfficialTraining, batches: Iterator[Batch]) -> list[float]:
    for _ in range(plan.warmup):
        official.step(next(batches))
    found = []
    for _ in range(plan.windows):
        _wait(plan.device)
        start = time.perf_counter()
        for _ in range(plan.window):
            official.step(next(batches))
        _wait(plan.device)
        found.append(1000 * (time.perf_counter() - start) / plan.window)
    return found


def _wait(device: Device) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def ready(case: Case) -> Callable[[], Iterator[Batch]]:
    """Return what repeats one batch that lies on the device."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch, 3, case.pixels, case.pixels)
    images = torch.rand(shape, generator=generator).to(case.device) * 2 - 1
    return lambda: cycle([{"img": images}])


def from_loader(loader: Any) -> Callable[[], Iterator[Batch]]:
    """Return what reads an official data loader, epoch after epoch."""

    def read() -> Iterator[Batch]:
        while True:
            yield from loader

    return read


@dataclass(frozen=True)
class Flop:
    """Floating-point operations of a step, an image: all, and those of convolutions."""

    total: float
    convolutions: float


_COUNTED = 2
"""Images that operations are counted on; batch normalisation needs two."""


def official_flop(model: Any) -> Flop:
    """Count the official step, of a model on the CPU."""
    images = torch.zeros(_COUNTED, 3, 128, 128)
    official = OfficialTraining(model, "cpu")
    return _counted(lambda: official.step({"img": images}))


def our_flop(case: Case) -> Flop:
    """Count kpbench's step, a training of one step, on the CPU."""
    method = case.configured(batch_size=_COUNTED, steps=1)
    context = FitContext("cpu", "32-true", case.recipe)
    images = case.images(_COUNTED, method.needs)
    return _counted(
        lambda: method.fit(images, n_keypoints=case.n_keypoints, seed=0, context=context)
    )


def _counted(step: Callable[[], None]) -> Flop:
    with FlopCounterMode(display=False) as counter:
        step()
    by_operator = counter.get_flop_counts()["Global"]
    convolutions = sum(n for operator, n in by_operator.items() if "convolution" in str(operator))
    return Flop(counter.get_total_flops() / _COUNTED, convolutions / _COUNTED)
