"""Trained methods in folders of their own."""

from __future__ import annotations

from pathlib import Path

from kpbench.api import Method
from kpbench.errors import CheckpointError
from kpbench.files.checkpoint import read_about
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
    method = configured_method(
        str(about["method"]), role="", recipe="paper", overrides=about["params"]
    )
    method.load(folder)
    return method
