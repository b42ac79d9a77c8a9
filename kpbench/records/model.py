"""Trained methods in folders of their own."""

from __future__ import annotations

from pathlib import Path

from kpbench.api import Method
from kpbench.errors import CheckpointError, TrainingError
from kpbench.files.checkpoint import ABOUT, read_about
from kpbench.registry import configured_method


def load_model(folder: Path) -> Method:
    """Load a trained method, whichever it is, from its folder.

    Raises:
        CheckpointError: the folder holds no usable checkpoint.
        UnknownNameError: its method is not installed, or has no such parameter any more.
    """
    try:
        about = read_about(folder)
    except CheckpointError as error:
        raise CheckpointError(f"{folder} holds no trained model: {error}") from error
    try:
        method = configured_method(
            str(about["method"]), role="", recipe="paper", overrides=about["params"]
        )
    except TrainingError as error:
        raise CheckpointError(
            f"{folder / ABOUT} is corrupt or was edited: {error}; train the method again"
        ) from error
    method.load(folder)
    return method
