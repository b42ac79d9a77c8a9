"""The training loop, run by Lightning. Importing this module loads Lightning (seconds)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning import pytorch as lightning
from torch import Tensor, nn

from kpbench.api import FitContext, ImageSet
from kpbench.errors import TrainingError
from kpbench.files.checkpoint import content_hash
from kpbench.nn.fast import compiled, compiles, cpu_threads
from kpbench.training.batch import Batch, Data
from kpbench.training.frozen import Helper
from kpbench.training.optimiser import Optimiser
from kpbench.training.trainer import (
    STATE,
    averaging,
    build_trainer,
    quiet,
    resumable,
    training_identity,
    training_settings,
)

Loss = Callable[[Any, Batch], Tensor]
"""From the network and what it sees in a step to the loss, a scalar."""

READ_EVERY = {"cpu": 1, "cuda": 50}
"""Steps between looks at the loss: a look waits for all that a GPU was given to do."""


@dataclass(frozen=True)
class Training:
    """How long and how fast to train.

    Attributes:
        steps: optimiser steps.
        batch_size: images a step; the whole set where it is smaller.
        flip: mirror each image with probability one half.
        seed: of everything that is drawn while training.
        optimiser: how the parameters follow the gradient.

    Raises:
        TrainingError: a value outside of its range.
    """

    steps: int
    batch_size: int
    flip: bool
    seed: int
    optimiser: Optimiser

    def __post_init__(self) -> None:
        """Reject what cannot be trained with."""
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise TrainingError(f"seed must not be negative, got {self.seed}")


def fit_network(
    network: nn.Module,
    loss: Loss,
    images: ImageSet,
    pixels: Tensor,
    training: Training,
    context: FitContext,
    *,
    helpers: Mapping[str, Helper] | None = None,
    settings: Mapping[str, object] | None = None,
    save_every: int = 500,
) -> None:
    """Train `network` in place and leave it on the device, in evaluation mode.

    Args:
        network: what is optimised and kept in the resumable checkpoint.
        loss: of the network and a batch.
        images: all that may be seen, with the signals that a batch offers.
        pixels: uint8 (N, S, S, 3), what the network looks at; moved to the device.
        training: steps, batch size, optimiser, seed.
        context: device, precision, progress, and where to keep resumable checkpoints (if anywhere).
        helpers: frozen networks; moved to the device, and what they say of an image is asked once
            where memory allows.
        settings: what else decides over the weights (parameters of network and loss): an
            interrupted training is taken up by one with the same settings only.
        save_every: steps between resumable checkpoints.

    Raises:
        TrainingError: fewer than two images, an unknown precision, or a loss or weight that is not
            finite (names the step).
        CheckpointError: the resumable checkpoint is damaged or of another training.
    """
    helpers = helpers or {}
    if len(images) < 2:
        raise TrainingError(f"training needs two images or more, got {len(images)}")
    seen = {"images": pixels, **{n: h.pixels for n, h in helpers.items() if h.pixels is not None}}
    if wrong := [name for name, tensor in seen.items() if len(tensor) != len(images)]:
        raise TrainingError(
            f"{wrong[0]} are {len(seen[wrong[0]])} pictures for {len(images)} images"
        )
    identity, resume = "", None
    if context.checkpoints is not None:
        decisive = {
            "training": asdict(training),
            "settings": dict(settings or {}),
            "shapes": {name: tuple(t.shape) for name, t in network.state_dict().items()},
            "helpers": {name: _content(helper.network) for name, helper in helpers.items()},
            "device": context.device,
            "precision": context.precision,
        }
        signals = {str(name): getattr(images, name) for name in images.signals}
        identity = training_identity(decisive, {**seen, **signals})
        resume = resumable(context.checkpoints / STATE, identity)
    threads = cpu_threads(training.batch_size, max(t[0, ..., 0].numel() for t in seen.values()))
    for helper in helpers.values():
        helper.network.to(context.device).eval().requires_grad_(False)
    data = Data(
        images,
        pixels,
        helpers,
        context.device,
        batch_size=training.batch_size,
        flip=training.flip,
        seed=training.seed,
        steps=training.steps,
    )
    network.to(context.device).train()
    run = _Run(network, loss, data, training)
    run.losses = _Losses(training.steps, READ_EVERY[context.device])
    run.identity = identity
    callbacks: list[lightning.Callback] = [_Report(context, training.steps)]
    if training.optimiser.average is not None:
        callbacks.append(averaging(training.optimiser.average))
    visited = training.steps * training.batch_size * pixels[0, ..., 0].numel()
    networks = [network, *(helper.network for helper in helpers.values())]
    compiling = _compiled(networks, data) if compiles(context.device, visited) else nullcontext()
    with quiet(), training_settings(threads, context), compiling:
        trainer = build_trainer(
            training.steps, context, callbacks, save_every, clip=training.optimiser.clip
        )
        trainer.fit(run, _Forever(), ckpt_path=resume, weights_only=True)
    network.to(context.device).eval()
    _check_weights(network, training.steps)


_ADVICE = "lower the learning rate, or train with precision 32-true"


def _check_weights(module: nn.Module, step: int) -> None:
    if not all(torch.isfinite(p).all() for p in module.parameters()):
        raise TrainingError(f"weights are not finite after step {step}; {_ADVICE}")


def _content(network: nn.Module) -> str:
    """Hash the weights of a frozen network."""
    state = network.state_dict()
    return content_hash({name: tensor.detach().cpu().numpy() for name, tensor in state.items()})


@contextmanager
def _compiled(networks: list[nn.Module], data: Data) -> Iterator[None]:
    """Compile what can be called in the networks, and what the helpers say of images."""
    parts = [part for network in networks for part in _callable_parts(network)]
    for part in parts:
        part.forward = compiled(part.forward)
    for outputs in data.outputs.values():
        outputs.each_step = compiled(outputs.says)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def _callable_parts(network: nn.Module) -> list[nn.Module]:
    """Return the network if it can be called, else the largest parts of it that can."""
    if type(network).forward is not nn.Module.forward:
        return [network]
    return [part for child in network.children() for part in _callable_parts(child)]


class _Forever(Iterable[int]):
    """An endless loader: each step draws its own batch, on the device."""

    def __iter__(self) -> Iterator[int]:
        return itertools.repeat(0)


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
    """Lightning's view of a network, its loss and its data."""

    losses: _Losses
    identity: str

    def __init__(self, network: nn.Module, loss: Loss, data: Data, training: Training) -> None:
        super().__init__()
        self.network = network
        self.loss, self.data, self.training_ = loss, data, training

    def training_step(self, *_: Any) -> Tensor:
        step = self.global_step
        loss = self.loss(self.network, self.data.batch(step))
        self.losses.add(step + 1, loss)
        return loss

    def configure_optimizers(self) -> Any:
        chosen = self.training_.optimiser
        scaled = self.trainer.precision == "16-mixed"  # its scaler clips what a fused step unscales
        optimiser = chosen.build(self.network, fused=chosen.clip is None or not scaled)
        schedule = chosen.schedule(optimiser, self.training_.steps)
        if schedule is None:
            return optimiser
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save no state that cannot be trained on."""
        self.losses.read()
        _check_weights(self.network, self.global_step)
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
