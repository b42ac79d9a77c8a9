"""A method at one size, trained for a few steps: how long they take and what they compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.api import Array, Device, FitContext, ImageSet, Method, Progress, Recipe, no_progress
from kpbench.registry import load_method

ROLE = "human36m"
"""Whose settings apply; speed hardly depends on them."""
PIXELS: Mapping[Recipe, int] = {"smoke": 32, "quick": 64, "paper": 128}
"""Side of the images that the recipes' protocols hand over."""
_SECONDS = {"cpu": 4.0, "cuda": 20.0}
"""About how long steps are timed. On CUDA progress is reported once in some dozen steps, and each
report bounds a window."""
_FEWEST, _MOST = {"cpu": 6, "cuda": 300}, {"cpu": 200, "cuda": 2000}
_COUNTED = 2
"""Images a step while operations are counted: they are the same for every image, and batch
normalisation needs two."""


@dataclass(frozen=True)
class Case:
    """One method at one size.

    Attributes:
        method: its name.
        recipe: how much training, and so how large its networks are.
        device: "cpu" or "cuda".
        precision: a Lightning precision string, of the training.
        n_keypoints: K.
        pixels: side of the images.
        overrides: parameters besides the recipe's, also of the method that it depends on.
    """

    method: str
    recipe: Recipe
    device: Device = "cpu"
    precision: str = "32-true"
    n_keypoints: int = 16
    pixels: int = 64
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def configured(self, **more: Any) -> Method:
        """Return the unfitted method; `more` are parameters on top."""
        plugin = load_method(self.method)
        known = plugin.params()
        overrides = {k: v for k, v in {**self.overrides, **more}.items() if k in known}
        return plugin.configured(role=ROLE, recipe=self.recipe, overrides=overrides)

    @cached_property
    def params(self) -> dict[str, Any]:
        """The parameters as the recipe has them."""
        return dict(self.configured().params())

    @property
    def trains(self) -> bool:
        """Whether the number of steps and of images a step can be chosen."""
        return {"steps", "batch_size"} <= set(self.params)

    @property
    def batch(self) -> int:
        """Images a training step."""
        return int(self.params["batch_size"])

    def images(self, n: int) -> ImageSet:
        """Return random images with every signal."""
        rng = np.random.default_rng(0)
        size = (n, self.pixels, self.pixels)
        return ImageSet(
            rng.integers(0, 256, (*size, 3), dtype=np.uint8),
            depth=rng.integers(1000, 5000, size, dtype=np.uint16),
            mask=rng.random(size) < 0.2,
            frames=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        )

    def dependency(self) -> Method | None:
        """Return the method that this one depends on, fitted for a step; None if there is none."""
        name = load_method(self.method).depends_on
        if name is None:
            return None
        other = replace(self, method=name)
        return fitted(other, other.dependency())


def fitted(
    case: Case,
    dependency: Method | None,
    *,
    steps: int = 1,
    batch: int | None = None,
    progress: Progress = no_progress,
) -> Method:
    """Return the method after that many steps, or as its recipe has it if it has no steps."""
    chosen = {"steps": steps, "batch_size": batch or case.batch} if case.trains else {}
    method = case.configured(**chosen)
    images = case.images(2 * chosen.get("batch_size", 2)).restricted(method.needs)
    context = FitContext(
        case.device, case.precision, case.recipe, progress=progress, dependency=dependency
    )
    method.fit(images, n_keypoints=case.n_keypoints, seed=0, context=context)
    return method


class StepClock:
    """Reads the clock when a training reports its progress; the time between two is a window.

    Attributes:
        threads: of PyTorch on the CPU while training.
    """

    def __init__(self, device: Device) -> None:
        """Start before the first step."""
        self.device = device
        self.threads = 1
        self._marks: list[tuple[int, float]] = []

    def __call__(self, done: int, total: int, text: str) -> None:
        """Take note of a report; waits for the device, where steps are queued ahead."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()
        if not self._marks or done > self._marks[-1][0]:
            self._marks.append((done, time.perf_counter()))
            self.threads = torch.get_num_threads()

    def windows(self) -> tuple[Array, Array]:
        """Return the (W,) steps and the (W,) milliseconds a step of the windows that count.

        What comes before the first report is start-up, the first window compiles and allocates, and
        a rest of less than half a window says little.
        """
        marks = np.array(self._marks, dtype=np.float64).reshape(-1, 2)
        steps, seconds = np.diff(marks, axis=0)[1:].T
        whole = steps >= steps.max(initial=0) / 2
        return steps[whole], 1000 * seconds[whole] / steps[whole]


def time_steps(case: Case, dependency: Method | None) -> tuple[Method, StepClock]:
    """Train for as many steps as take some seconds, and return the method and the clock.

    A first, shorter training warms up and tells how many those are.
    """
    few, most = _FEWEST[case.device], _MOST[case.device]
    clock = StepClock(case.device)
    fitted(case, dependency, steps=few, progress=clock)
    _, milliseconds = clock.windows()
    step = float(np.median(milliseconds)) / 1000 if len(milliseconds) else _SECONDS[case.device]
    steps = int(np.clip(_SECONDS[case.device] / step, few, most))
    clock = StepClock(case.device)
    return fitted(case, dependency, steps=steps, progress=clock), clock


@dataclass(frozen=True)
class Operations:
    """Floating-point operations, an image.

    Attributes:
        recipe: as the method is defined, nothing folded or cached.
        computed: by the code that runs, as far as PyTorch's counter sees it: at most the truth.
    """

    recipe: float
    computed: float


def predict_operations(case: Case, folder: Path, params: Mapping[str, Any]) -> Operations:
    """Count `predict` of the saved method, on the CPU."""

    def count() -> float:
        method = case.configured(**params)
        method.load(folder)
        image = case.images(1).restricted(method.inputs)
        return _counted(lambda: method.predict(image))

    from kpbench.training.speed import plain

    with plain():
        recipe = count()
    return Operations(recipe, count())


def step_operations(case: Case, dependency: Method | None) -> tuple[Operations, int | None]:
    """Count a training step, on the CPU, and the numbers that it trains (None without optimiser).

    The difference of a training of two steps and one of one is a step and nothing else.
    """
    from kpbench.training.speed import plain

    here = replace(case, device="cpu", precision="32-true")

    def count() -> float:
        one, two = (
            _counted(partial(fitted, here, dependency, steps=steps, batch=_COUNTED))
            for steps in (1, 2)
        )
        return (two - one) / _COUNTED

    with plain(), _trained_values() as values:
        recipe = count()
    return Operations(recipe, count()), max(values, default=None)


def _counted(call: Callable[[], object]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


@contextmanager
def _trained_values() -> Iterator[list[int]]:
    """Collect, at every optimiser step, how many numbers the optimiser changes."""
    from torch.optim import Optimizer
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    found: list[int] = []

    def note(optimiser: Optimizer, args: Any, kwargs: Any) -> None:
        found.append(sum(p.numel() for group in optimiser.param_groups for p in group["params"]))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield found
    finally:
        handle.remove()
