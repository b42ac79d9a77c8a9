"""A method at one size, trained for a few steps: how long they take and what they compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.api import (
    Array,
    Device,
    FitContext,
    ImageSet,
    Method,
    Progress,
    Recipe,
    Signal,
    no_progress,
)
from kpbench.registry import configured_method, load_method, of_recipe

ROLE = "human36m_background"
"""Whose settings apply; speed hardly depends on them."""
PIXELS: Mapping[Recipe, int] = {"smoke": 32, "quick": 64, "standard": 96, "paper": 128}
"""Side of the images that the recipes' protocols hand over."""
IMAGES: Mapping[Recipe, int] = {"smoke": 96, "quick": 1500, "standard": 4000, "paper": 20_000}
"""And how many there are for training."""
_DISTINCT = 256
_EVERY = {"cpu": 1, "cuda": 20}
"""Steps between two looks at the clock: on CUDA each waits for the device."""
_SECONDS = {"cpu": 4.0, "cuda": 5.0}
"""How long windows are collected, if there are `_FEWEST` by then."""
_FEWEST = 5
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
        known = load_method(self.method).params()
        overrides = {k: v for k, v in {**self.overrides, **more}.items() if k in known}
        return configured_method(self.method, role=ROLE, recipe=self.recipe, overrides=overrides)

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

    def images(self, n: int, signals: Sequence[Signal]) -> ImageSet:
        """Return random images, some of them several times, with the signals asked for."""
        rng = np.random.default_rng(0)
        size, whole = (min(n, _DISTINCT), self.pixels, self.pixels), (n, self.pixels, self.pixels)
        made: dict[str, Callable[[], Array]] = {
            "depth": lambda: rng.integers(1000, 5000, size, dtype=np.uint16),
            "mask": lambda: rng.random(size) < 0.2,
            "frames": lambda: rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        }
        rgb = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        more = {name: made[name]() for name in signals}
        return ImageSet(
            np.resize(rgb, (*whole, 3)),
            **{name: np.resize(a, (n, *a.shape[1:])) for name, a in more.items()},
        )

    def training_set(self) -> ImageSet:
        """Return as many images as the recipe has, with the signals that the method needs."""
        n = max(of_recipe(self.recipe, IMAGES, "the speed"), 2 * self.batch)
        return self.images(n, load_method(self.method).needs)

    def dependency(self) -> Method | None:
        """Return the method that this one depends on, fitted for a step; None if there is none."""
        name = load_method(self.method).depends_on
        if name is None:
            return None
        other = replace(self, method=name)
        return fitted(other, other.dependency())


def fitted(case: Case, dependency: Method | None) -> Method:
    """Return the method after one step, or as its recipe has it if it has no steps."""
    method = case.configured(**({"steps": 1} if case.trains else {}))
    images = case.images(2 * case.batch if case.trains else 2, method.needs)
    _fit(case, method, dependency, images, no_progress)
    return method


def train(
    case: Case,
    dependency: Method | None,
    images: ImageSet,
    progress: Progress,
    *,
    batch: int | None = None,
) -> None:
    """Run the recipe's own training until `progress` raises `Enough`.

    Its length is not cut short beforehand: a training may prepare what only a long one is worth
    (outputs that are kept, compiled networks), and its steps are then others.

    Args:
        case: which training.
        dependency: fitted.
        images: as many as the recipe has (`Case.training_set`).
        progress: see `kpbench.api.FitContext`.
        batch: images a step, with as many more steps; the recipe's by default.
    """
    batch = batch or case.batch
    steps = max(1, int(case.params["steps"]) * case.batch // batch)
    method = case.configured(steps=steps, batch_size=batch)
    with suppress(Enough):
        _fit(case, method, dependency, images, progress)


def _fit(
    case: Case, method: Method, dependency: Method | None, images: ImageSet, progress: Progress
) -> None:
    context = FitContext(
        case.device, case.precision, case.recipe, progress=progress, dependency=dependency
    )
    method.fit(images, n_keypoints=case.n_keypoints, seed=0, context=context)


class Enough(Exception):  # noqa: N818 - nothing went wrong
    """Ends a training of which enough was seen."""


class StepClock:
    """Reads the clock while a training reports its progress; the time between is a window.

    Attributes:
        threads: of PyTorch on the CPU while training.
        startup_s: from the beginning to the first look: data, what is prepared, the first steps.
    """

    def __init__(self, device: Device) -> None:
        """Start before the data is handed over."""
        self.device = device
        self.threads = 1
        self.startup_s = 0.0
        self._start = time.perf_counter()
        self._marks: list[tuple[int, float]] = []

    def __call__(self, done: int, total: int, text: str) -> None:
        """Take note of a report.

        Raises:
            Enough: there are enough windows.
        """
        import torch

        if done - (self._marks[-1][0] if self._marks else 0) < _EVERY[self.device]:
            return
        if self.device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self._marks.append((done, now))
        if len(self._marks) == 1:
            self.threads, self.startup_s = torch.get_num_threads(), now - self._start
        elif len(self._marks) > _FEWEST + 1 and now - self._marks[1][1] >= _SECONDS[self.device]:
            raise Enough

    def windows(self) -> tuple[Array, Array]:
        """Return the (W,) steps and the (W,) milliseconds a step of the windows that count.

        The first does not: it still compiles and allocates.
        """
        marks = np.array(self._marks, dtype=np.float64).reshape(-1, 2)
        steps, seconds = np.diff(marks, axis=0)[1:].T
        return steps, 1000 * seconds / steps


def predict_operations(case: Case, folder: Path, params: Mapping[str, Any]) -> float:
    """Count the floating-point operations of `predict` of the saved method, an image, on the CPU.

    As far as PyTorch's counter sees them, so at most the truth; likewise for `step_operations`.
    """
    from torch.utils.flop_counter import FlopCounterMode

    method = case.configured(**params)
    method.load(folder)
    with FlopCounterMode(display=False) as counter:
        method.predict(case.images(1, method.inputs))
    return float(counter.get_total_flops())


def step_operations(case: Case, dependency: Method | None) -> tuple[float | None, int | None]:
    """Count a training step, an image, on the CPU, and the numbers that it trains.

    Returns:
        None for what is not known: the method reports no progress, or trains without an optimiser
        of PyTorch's.
    """
    here = replace(case, device="cpu", precision="32-true")
    with _trained_values() as values:
        computed = _step_flop(here, dependency)
    return computed, max(values, default=None)


def _step_flop(case: Case, dependency: Method | None) -> float | None:
    """Count what happens between two reports of progress, an image."""
    from torch.utils.flop_counter import FlopCounterMode

    seen: list[tuple[int, int]] = []

    def look(done: int, total: int, text: str) -> None:
        seen.append((done, counter.get_total_flops()))
        if seen[-1][0] > seen[0][0]:
            raise Enough

    with FlopCounterMode(display=False) as counter:
        train(case, dependency, case.training_set(), look, batch=_COUNTED)
    steps = seen[-1][0] - seen[0][0] if seen else 0
    return (seen[-1][1] - seen[0][1]) / (_COUNTED * steps) if steps else None


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
