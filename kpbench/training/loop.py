"""The training loop, run by Lightning. Importing this module loads Lightning (seconds)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from lightning import pytorch as lightning
from torch import Tensor, nn

from kpbench.api import FitContext
from kpbench.errors import TrainingError
from kpbench.nn.fast import cpu_threads, is_plain
from kpbench.nn.images import Draw, draw, placed, take
from kpbench.training.frozen import Frozen, Outputs
from kpbench.training.trainer import (
    STATE,
    build_trainer,
    quiet,
    resumable,
    training_identity,
    training_settings,
)

Objective = Callable[[Mapping[str, Tensor], torch.Generator], Tensor]
"""From a batch (images float (B, 3, H, W) in [-1, 1] and rows (B, D) of frozen networks, by name)
and a source of randomness to the loss."""

READ_EVERY = {"cpu": 1, "cuda": 50}
"""Steps between looks at the loss: a look waits for all that a GPU was given to do."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: AdamW at a constant rate on all parameters.

    Attributes:
        steps: optimiser steps.
        batch_size: images a step; the whole set where it is smaller.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        flip: mirror each image with probability one half.
        seed: of everything that is drawn while training.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    flip: bool
    seed: int

    def __post_init__(self) -> None:
        """Reject what cannot be trained with."""
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or self.seed < 0:
            raise TrainingError(
                "learning_rate must be positive, weight_decay and seed not negative, got "
                f"{self.learning_rate}, {self.weight_decay} and {self.seed}"
            )


def fit_module(
    module: nn.Module,
    objective: Objective,
    data: Mapping[str, Tensor],
    schedule: Schedule,
    context: FitContext,
    *,
    frozen: Mapping[str, Frozen] | None = None,
    settings: Mapping[str, object] | None = None,
    save_every: int = 500,
) -> None:
    """Train `module` in place and leave it on the device, in evaluation mode.

    Args:
        module: what is optimised and kept in the resumable checkpoint.
        objective: the loss; frozen networks that it uses are its own, on the context's device.
        data: uint8 (N, H, W, 3) tensors with the same N, mirrored together; moved to the device.
        schedule: steps, batch size, optimiser, seed.
        context: device, precision, progress, and where to keep resumable checkpoints (if anywhere).
        frozen: networks whose outputs for the images of a step join the batch under these names;
            they are on the device, and are asked once an image where memory allows.
        settings: what else decides over the weights (parameters of module and objective, other
            networks): an interrupted training is taken up by one with the same settings only.
        save_every: steps between resumable checkpoints.

    Raises:
        TrainingError: fewer than two images, an unknown precision, or a loss or weight that is not
            finite (names the step).
        CheckpointError: the resumable checkpoint is damaged or of another training.
    """
    counts = {name: len(tensor) for name, tensor in data.items()}
    if min(counts.values()) < 2 or len(set(counts.values())) > 1:
        raise TrainingError(f"training needs the same number of images, two or more, got {counts}")
    identity, resume = "", None
    if context.checkpoints is not None:
        shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        decisive = {
            "schedule": asdict(schedule),
            "settings": dict(settings or {}),
            "shapes": shapes,
            "device": context.device,
            "precision": context.precision,
        }
        identity = training_identity(decisive, data)
        resume = resumable(context.checkpoints / STATE, identity)
    threads = cpu_threads(schedule.batch_size, max(t[0, ..., 0].numel() for t in data.values()))
    data = {name: placed(tensor, context.device) for name, tensor in data.items()}
    module.to(context.device).train()
    run = _Run(module, objective, _Batches(data, frozen or {}, schedule, context.device))
    run.losses = _Losses(schedule.steps, READ_EVERY[context.device])
    run.identity = identity
    report = _Report(context, schedule.steps)
    with quiet(), training_settings(threads, context):
        trainer = build_trainer(schedule.steps, context, [report], save_every)
        trainer.fit(run, _Forever(), ckpt_path=resume, weights_only=True)
    module.to(context.device).eval()
    _check_weights(module, schedule.steps)


_ADVICE = "lower the learning rate, or train with precision 32-true"


def _check_weights(module: nn.Module, step: int) -> None:
    if not all(torch.isfinite(p).all() for p in module.parameters()):
        raise TrainingError(f"weights are not finite after step {step}; {_ADVICE}")


class _Forever(Iterable[int]):
    """An endless loader: each step draws its own batch, on the device."""

    def __iter__(self) -> Iterator[int]:
        return itertools.repeat(0)


class _Batch(dict[str, Tensor]):
    """Images and outputs of frozen networks, made when first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.makers: dict[str, Callable[[], Tensor]] = {}

    def __missing__(self, name: str) -> Tensor:
        self[name] = self.makers[name]()
        return self[name]


class _Batches:
    """What each step sees."""

    def __init__(
        self,
        data: Mapping[str, Tensor],
        frozen: Mapping[str, Frozen],
        schedule: Schedule,
        device: str,
    ) -> None:
        self.data, self.schedule, self.device = data, schedule, device
        self.n_images = len(next(iter(data.values())))
        draws = schedule.steps * min(schedule.batch_size, self.n_images)
        self.outputs = {
            name: Outputs(f, data[f.of], device, flip=schedule.flip, draws=draws)
            for name, f in frozen.items()
        }

    def of(self, step: int) -> tuple[_Batch, torch.Generator]:
        """Return the batch of a step and what its loss draws from."""
        plan = self.schedule
        drawn = draw(self.n_images, plan.batch_size, flip=plan.flip, seed=plan.seed, step=step)
        batch = _Batch()
        for name in self.data:
            batch.makers[name] = partial(self._images, name, drawn)
        for name, outputs in self.outputs.items():
            images = partial(batch.__getitem__, outputs.frozen.of)
            batch.makers[name] = partial(outputs, drawn, images)
        return batch, drawn.generator

    def _images(self, name: str, drawn: Draw) -> Tensor:
        return take(self.data[name], drawn, self.device)


class _Losses:
    """The losses since the last look at them."""

    def __init__(self, steps: int, every: int) -> None:
        self.steps, self.every = steps, every
        self.unread: list[tuple[int, Tensor]] = []
        self.last = math.nan

    def add(self, step: int, loss: Tensor) -> None:
        """Take the loss of a step, counted from 1."""
        self.unread.append((step, loss.detach()))
        if len(self.unread) == self.every or step == self.steps:
            self.read()

    def read(self) -> None:
        """Look at them.

        Raises:
            TrainingError: one is not finite; names the first such step.
        """
        unread, self.unread = self.unread, []
        values = torch.stack([loss for _, loss in unread]).tolist() if unread else []
        for (step, _), value in zip(unread, values, strict=True):
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} at step {step} of {self.steps}; {_ADVICE}"
                )
            self.last = value


class _Run(lightning.LightningModule):
    """Lightning's view of a module, its loss and its data."""

    losses: _Losses
    identity: str

    def __init__(self, module: nn.Module, objective: Objective, batches: _Batches) -> None:
        super().__init__()
        self.module = module
        self.objective, self.batches = objective, batches

    def training_step(self, *_: Any) -> Tensor:
        step = self.global_step
        loss = self.objective(*self.batches.of(step))
        self.losses.add(step + 1, loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            [p for p in self.module.parameters() if p.requires_grad],
            lr=self.batches.schedule.learning_rate,
            weight_decay=self.batches.schedule.weight_decay,
            fused=None if is_plain() else True,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save no state that cannot be trained on."""
        self.losses.read()
        _check_weights(self.module, self.global_step)
        checkpoint["kpbench"] = self.identity


class _Report(lightning.Callback):
    """Tell the context how far training is."""

    def __init__(self, context: FitContext, steps: int) -> None:
        self.context, self.steps = context, steps

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any
    ) -> None:
        last = pl_module.losses.last
        text = "" if math.isnan(last) else f"loss {last:.3f}"
        self.context.progress(trainer.global_step, self.steps, text)
