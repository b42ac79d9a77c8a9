"""Fitted methods on disk: safetensors for the arrays, JSON for what they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpbench.api import Array, Method
from kpbench.errors import CheckpointError
from kpbench.storage import write_atomically

ARRAYS, ABOUT = "state.safetensors", "method.json"


def _about(method: Method) -> dict[str, Any]:
    params = json.loads(json.dumps(dict(method.params()), allow_nan=False))
    return {"method": method.name, "version": method.version, "params": params}


def write_checkpoint(folder: Path, method: Method, state: Mapping[str, Array]) -> None:
    """Write `state` and the identity of `method` to `folder`, each file atomically.

    Raises:
        StorageError: the folder cannot be written.
    """
    import numpy as np
    from safetensors.numpy import save

    arrays = {name: np.asarray(value, order="C") for name, value in state.items()}
    write_atomically(folder / ARRAYS, save(arrays))
    write_atomically(folder / ABOUT, json.dumps(_about(method), indent=2, sort_keys=True).encode())


def read_checkpoint(folder: Path, method: Method) -> dict[str, Array]:
    """Read what `write_checkpoint` wrote for an equal method.

    Raises:
        CheckpointError: missing, truncated, or of another method, version or parameters.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        state = dict(load((folder / ARRAYS).read_bytes()))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no checkpoint of {method.name} in {folder}: {Path(error.filename).name} is missing; "
            "train the method first (kpbench train)"
        ) from error
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"the checkpoint in {folder} is corrupt: {error}") from error
    for key, wanted in _about(method).items():
        if not isinstance(found, dict) or found.get(key) != wanted:
            raise CheckpointError(
                f"the checkpoint in {folder} is of another method: {key} is "
                f"{found.get(key) if isinstance(found, dict) else found!r}, expected {wanted!r}"
            )
    return state


def checkpoint_hash(folder: Path) -> str | None:
    """Return a hash of the fitted state in `folder`, None when there is none."""
    path = folder / ARRAYS
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else None
