"""The training loop, run by Lightning. Importing this module loads Lightning (seconds)."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kpbench.api import FitContext
from kpbench.errors import CheckpointError, TrainingError
from kpbench.training.data import draw, placed, take

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lightning.pytorch as lightning
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.utilities.exceptions import SIGTERMException

Objective = Callable[[Mapping[str, Tensor], torch.Generator], Tensor]
"""From a batch (float (B, 3, H, W) in [-1, 1], by name) and a source of randomness to the loss."""

CPU_THREADS = 2
"""Training on a CPU uses this many threads, whatever the machine: another number rounds otherwise,
and after some hundred steps that is another result for the same seed."""

_FILE = "training.ckpt"


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
    save_every: int = 500,
) -> None:
    """Train `module` in place and leave it on the device, in evaluation mode.

    Args:
        module: what is optimised and kept in the resumable checkpoint.
        objective: the loss; frozen networks that it uses are its own, on the context's device.
        data: uint8 (N, H, W, 3) tensors with the same N, mirrored together; moved to the device.
        schedule: steps, batch size, optimiser, seed.
        context: device, precision, progress, and where to keep resumable checkpoints (if anywhere).
        save_every: steps between resumable checkpoints.

    Raises:
        TrainingError: fewer than two images, an unknown precision, or a loss or weight that is not
            finite (names the step).
        CheckpointError: the resumable checkpoint is damaged or of another training.
    """
    counts = {name: len(tensor) for name, tensor in data.items()}
    if min(counts.values()) < 2 or len(set(counts.values())) > 1:
        raise TrainingError(f"training needs the same number of images, two or more, got {counts}")
    data = {name: placed(tensor, context.device) for name, tensor in data.items()}
    module.to(context.device).train()
    run = _Run(module, objective, data, schedule)
    callbacks: list[lightning.Callback] = [_Report(context, schedule.steps)]
    resume = None
    if context.checkpoints is not None:
        run.identity = _identity(schedule, data)
        resume = _resumable(context.checkpoints / _FILE, run.identity)
        callbacks.append(_saver(context.checkpoints, save_every))
    with _quiet(), _restored_settings():
        trainer = _trainer(schedule, context, callbacks)
        trainer.fit(run, _Forever(), ckpt_path=resume, weights_only=True)
    module.to(context.device).eval()
    if not all(torch.isfinite(p).all() for p in module.parameters()):
        raise TrainingError(f"weights are not finite after step {schedule.steps}; {_ADVICE}")


def _trainer(
    schedule: Schedule, context: FitContext, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    try:
        return lightning.Trainer(
            accelerator="gpu" if context.device == "cuda" else "cpu",
            devices=1,
            precision=context.precision,  # type: ignore[arg-type]
            max_steps=schedule.steps,
            max_epochs=-1,
            callbacks=callbacks,
            deterministic="warn" if context.device == "cuda" else None,
            logger=False,
            enable_checkpointing=context.checkpoints is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise TrainingError(
            f"cannot train on {context.device} with precision {context.precision!r}: {error}"
        ) from error


_ADVICE = "lower the learning rate, or train with precision 32-true"


class _Forever(Iterable[int]):
    """An endless loader: each step draws its own batch, on the device."""

    def __iter__(self) -> Iterator[int]:
        return itertools.repeat(0)


class _Run(lightning.LightningModule):
    """Lightning's view of a module, its loss and its data."""

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        data: Mapping[str, Tensor],
        schedule: Schedule,
    ) -> None:
        super().__init__()
        self.module = module
        self.objective, self.data, self.schedule = objective, data, schedule
        self.identity = ""

    def training_step(self, *_: Any) -> Tensor:
        plan, step = self.schedule, self.global_step
        n = len(next(iter(self.data.values())))
        drawn = draw(n, plan.batch_size, flip=plan.flip, seed=plan.seed, step=step)
        batch = {name: take(pixels, drawn, self.device) for name, pixels in self.data.items()}
        loss = self.objective(batch, drawn.generator)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {step + 1} of {plan.steps}; {_ADVICE}"
            )
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            [p for p in self.module.parameters() if p.requires_grad],
            lr=self.schedule.learning_rate,
            weight_decay=self.schedule.weight_decay,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["kpbench"] = self.identity


class _Report(lightning.Callback):
    """Tell the context how far training is."""

    def __init__(self, context: FitContext, steps: int) -> None:
        self.context, self.steps = context, steps

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any
    ) -> None:
        self.context.progress(trainer.global_step, self.steps, f"loss {float(outputs['loss']):.3f}")


def _saver(folder: Path, every: int) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(_FILE).stem,
        every_n_train_steps=every,
        save_top_k=1,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )


def _identity(schedule: Schedule, data: Mapping[str, Tensor]) -> str:
    """Hash what a resumed training must have in common with the one that was interrupted."""
    digest = hashlib.sha256(repr(sorted(asdict(schedule).items())).encode())
    for name in sorted(data):
        digest.update(f"{name}{tuple(data[name].shape)}".encode())
        digest.update(data[name].cpu().numpy().data)
    return digest.hexdigest()


def _resumable(path: Path, identity: str) -> Path | None:
    """Return `path` when it holds a state of this training, None when there is none."""
    if not path.is_file():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True).get("kpbench")
    except Exception as error:
        raise CheckpointError(
            f"the training state {path} is damaged ({str(error).splitlines()[0]}); delete it to "
            "train from the start"
        ) from error
    if found != identity:
        raise CheckpointError(
            f"the training state {path} is of other data or settings; delete it to train from the "
            "start"
        )
    return path


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning, whose messages are about choices that are not the user's."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", message=".*deterministic")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _restored_settings() -> Iterator[None]:
    """Undo what Lightning leaves behind.

    That is determinism flags, Ctrl-C turned into exit(1), and SIGTERM turned into exit(0).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(CPU_THREADS)
    flags = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException as error:
        raise SystemExit(128 + signal.SIGTERM) from error
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, interrupt)
        raise error.__context__ from None
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(flags, warn_only=warn)
        torch.backends.cudnn.benchmark = benchmark
