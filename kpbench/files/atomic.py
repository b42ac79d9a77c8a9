"""Writing files so that a kill leaves the old file or the new one, never half of one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from kpbench.errors import StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file in the same folder.

    Raises:
        StorageError: the folder cannot be made or written; names the folder and the cause.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(partial).chmod(0o644)
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"cannot write {path.name} in {path.parent}: {error.strerror or error}; "
            "choose a folder that can be written"
        ) from error


def user_cache() -> Path:
    """Return the folder for rendered data: $KPBENCH_CACHE, else the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("KPBENCH_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("kpbench", False))


def user_config() -> Path:
    """Return the folder of the user's settings: $KPBENCH_CONFIG, else the user's config folder."""
    import platformdirs

    chosen = os.environ.get("KPBENCH_CONFIG")
    return Path(chosen) if chosen else Path(platformdirs.user_config_dir("kpbench", False))


def write_artifact(path: Path, data: bytes) -> str:
    """Write `data` atomically and return its SHA-256."""
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def check_writable(folder: Path) -> None:
    """Raise before anything is computed whose result could not be kept.

    Raises:
        StorageError: `folder` cannot be made or written.
    """
    probe = folder / f".probe-{os.getpid()}"
    write_atomically(probe, b"")
    probe.unlink()
