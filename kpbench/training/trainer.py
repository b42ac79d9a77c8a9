"""Lightning, kept to what the training loop needs of it. Importing this module takes seconds."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import signal
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kpbench.api import PRECISIONS, Array, FitContext
from kpbench.errors import CheckpointError, TrainingError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lightning.pytorch as lightning
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
    from lightning.pytorch.plugins.io import AsyncCheckpointIO
    from lightning.pytorch.utilities.exceptions import SIGTERMException

STATE = "training.ckpt"
"""Name of the resumable state in the folder of checkpoints."""

FULL = "32-true"


def build_trainer(
    steps: int,
    context: FitContext,
    callbacks: list[lightning.Callback],
    save_every: int,
    *,
    clip: float | None = None,
) -> lightning.Trainer:
    """Return a trainer that takes `steps` steps and keeps a resumable state if it has a folder.

    The state is written by another thread, from a copy, so that the steps go on.

    Raises:
        TrainingError: an unknown precision, or one that the device cannot compute in.
    """
    if context.precision not in PRECISIONS:
        raise TrainingError(
            f"cannot train with precision {context.precision!r}; choose {', '.join(PRECISIONS)}"
        )
    folder = context.checkpoints
    if folder is not None:
        callbacks = [*callbacks, _saver(folder, save_every)]
    try:
        return lightning.Trainer(
            accelerator="gpu" if context.device == "cuda" else "cpu",
            devices=1,
            precision=context.precision,  # type: ignore[arg-type]
            max_steps=steps,
            max_epochs=-1,
            gradient_clip_val=clip,
            callbacks=callbacks,
            plugins=[] if folder is None else [AsyncCheckpointIO()],
            # Not `benchmark`: it picks convolutions by the clock, and so rounds by the clock.
            deterministic="warn" if context.device == "cuda" else None,
            logger=False,
            enable_checkpointing=folder is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise TrainingError(
            f"cannot train on {context.device} with precision {context.precision!r}: {error}"
        ) from error


def averaging(decay: float) -> lightning.Callback:
    """Return what keeps an exponential average of weights and buffers, and leaves it at the end."""
    return EMAWeightAveraging(decay=decay)


def _saver(folder: Path, every: int) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(STATE).stem,
        every_n_train_steps=every,
        save_top_k=1,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )


def training_identity(settings: Mapping[str, object], data: Mapping[str, Tensor | Array]) -> str:
    """Hash what a resumed training must have in common with the one that was interrupted."""
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for name in sorted(data):
        digest.update(f"{name}{tuple(data[name].shape)}".encode())
        digest.update(np.ascontiguousarray(data[name]).data)
    return digest.hexdigest()


def resumable(path: Path, identity: str) -> Path | None:
    """Return `path` when it holds a state of this training, None when there is none.

    Raises:
        CheckpointError: it is damaged, or of another training.
    """
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
def quiet() -> Iterator[None]:
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
def training_settings(threads: int, context: FitContext) -> Iterator[None]:
    """Set what training needs of the process, and undo that and what Lightning leaves behind.

    The latter is determinism flags, Ctrl-C turned into exit(1), and SIGTERM turned into exit(0).
    Precision 32-true means float32 in convolutions and products, whatever PyTorch was told to put
    in their place.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    flags = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    benchmark, tf32 = cudnn.benchmark, (cudnn.allow_tf32, products.allow_tf32)
    if context.precision == FULL:
        cudnn.allow_tf32 = products.allow_tf32 = False
    deterministic: Any = torch.utils.deterministic
    fill = deterministic.fill_uninitialized_memory
    deterministic.fill_uninitialized_memory = False  # else determinism costs a pass over each
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
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(flags, warn_only=warn)
        deterministic.fill_uninitialized_memory = fill
        cudnn.benchmark, (cudnn.allow_tf32, products.allow_tf32) = benchmark, tf32
