"""Fitted methods on disk: safetensors for the arrays, JSON for what they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kpbench.contracts.method import Method
from kpbench.contracts.types import Array
from kpbench.errors import CheckpointError
from kpbench.files.atomic import write_atomically

ARRAYS, ABOUT = "state.safetensors", "method.json"
SHOWN = 5
"""Arrays that an error names."""


def _about(method: Method) -> dict[str, Any]:
    params = json.loads(json.dumps(dict(method.params()), allow_nan=False))
    return {"method": method.name, "version": method.version, "params": params}


def write_checkpoint(
    folder: Path, method: Method, state: Mapping[str, Array], further: Mapping[str, Any] = {}
) -> None:
    """Write `state` and the identity of `method` to `folder`, each file atomically.

    Args:
        folder: for the two files.
        method: whose state it is.
        state: named arrays.
        further: entries of the JSON that `read_checkpoint` acts on: `sha256`, the `content_hash` of
            `state`, and `rounded`, the type that an array had before it was rounded, by its name.

    Raises:
        StorageError: the folder cannot be written.
    """
    import numpy as np
    from safetensors.numpy import save

    arrays = {name: np.asarray(value, order="C") for name, value in state.items()}
    write_atomically(folder / ARRAYS, save(arrays))
    about = {**_about(method), **further}
    write_atomically(folder / ABOUT, json.dumps(about, indent=2, sort_keys=True).encode())


def read_checkpoint(folder: Path, method: Method) -> dict[str, Array]:
    """Read what `write_checkpoint` wrote for an equal method; rounded arrays get their type back.

    Raises:
        CheckpointError: missing, truncated, altered, or of another method, version or parameters.
    """
    about = read_about(folder)
    for key, wanted in _about(method).items():
        if about.get(key) != wanted:
            raise CheckpointError(
                f"the checkpoint in {folder} is of another method: {key} is {about.get(key)!r}, "
                f"expected {wanted!r}"
            )
    state = read_arrays(folder, about)
    with restoring(folder, state):
        for name, kind in about.get("rounded", {}).items():
            state[name] = state[name].astype(kind)
    return state


@contextmanager
def restoring(folder: Path, state: Mapping[str, Array]) -> Iterator[None]:
    """Turn what goes wrong while arrays are taken into an error that says which and where.

    Args:
        folder: of the checkpoint.
        state: its arrays.

    Raises:
        CheckpointError: an array is missing, or not what it should be.
    """
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except KeyError as error:
        held = ", ".join(sorted(state)[:SHOWN]) + (", …" if len(state) > SHOWN else "")
        raise CheckpointError(
            f"the checkpoint in {folder} is corrupt: {ARRAYS} lacks the array {error}; it holds "
            f"{held or 'none'}"
        ) from error
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint in {folder} is corrupt: {ABOUT} and {ARRAYS} do not fit: {error}"
        ) from error


def read_about(folder: Path) -> dict[str, Any]:
    """Read the JSON of a checkpoint.

    Raises:
        CheckpointError: missing or not the JSON of a checkpoint.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8-sig"))
        str(about["method"]), dict(about["params"])
    except FileNotFoundError as error:
        raise _missing(folder, ABOUT) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the checkpoint in {folder} is corrupt: {error}") from error
    return dict(about)


def read_arrays(folder: Path, about: Mapping[str, Any]) -> dict[str, Array]:
    """Read the arrays of a checkpoint as they are stored.

    Raises:
        CheckpointError: missing, truncated, or not those whose hash `about` holds.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        state = dict(load((folder / ARRAYS).read_bytes()))
    except FileNotFoundError as error:
        raise _missing(folder, ARRAYS) from error
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"the checkpoint in {folder} is corrupt: {error}") from error
    if "sha256" in about and about["sha256"] != content_hash(state):
        raise CheckpointError(
            f"the checkpoint in {folder} is corrupt: {ARRAYS} was altered since it was written"
        )
    return state


def _missing(folder: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"no checkpoint in {folder}: {name} is missing; train the method first (kpbench train)"
    )


def content_hash(state: Mapping[str, Array]) -> str:
    """Return the SHA-256 of names, types, shapes and numbers, in whatever order they come.

    Example:
        >>> import numpy as np
        >>> a, b = np.zeros(2, np.float16), np.ones((1, 3), np.float32)
        >>> content_hash({"a": a, "b": b}) == content_hash({"b": b, "a": a})
        True
        >>> content_hash({"a": a}) == content_hash({"a": a.astype(np.float32)})
        False
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        stored = value.astype(value.dtype.newbyteorder("<"), order="C", copy=False)
        digest.update(json.dumps([name, stored.dtype.str, stored.shape]).encode())
        digest.update(stored.tobytes())
    return digest.hexdigest()


def checkpoint_hash(folder: Path) -> str | None:
    """Return a hash of the fitted state in `folder`, None when there is none."""
    path = folder / ARRAYS
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else None
