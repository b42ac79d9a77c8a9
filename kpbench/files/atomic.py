"""Writing files so that a kill leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kpbench.errors import StorageError

_LONGEST_NAME = 255
"""Bytes, on nearly all file systems."""


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what the system says of a file that is written into an error that says what to do.

    Raises:
        StorageError: names the folder and the cause.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise StorageError(too_long(path)) from error
        raise StorageError(
            f"cannot write {path.name} in {path.parent}: {error.strerror or error}; "
            "choose a folder that can be written"
        ) from error


def too_long(path: Path) -> str:
    """Return what is wrong with a path of which the system says that a name is too long."""
    longest = max(path.absolute().parts, key=lambda part: len(os.fsencode(part)))
    return (
        f"the name {longest[:40]}… is too long: it has {len(os.fsencode(longest))} bytes, and "
        f"files and folders may have {_LONGEST_NAME}; choose a shorter one"
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file in the same folder.

    Raises:
        StorageError: the folder cannot be made or written; names the folder and the cause.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".kpbench-")
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


class Growing:
    """Files that are written bit by bit and take their names together, once they are whole.

    Until then each lies beside its place as `x.partial-….csv`; so it stays when it is killed.

    Attributes:
        parts: the files to write, in the order of the names.
    """

    def __init__(self, names: Sequence[Path]) -> None:
        """Make an empty file for each name.

        Raises:
            StorageError: a folder cannot be written.
        """
        self._names = names
        self.parts: list[Path] = []
        try:
            for name in names:
                self.parts.append(_empty(name))
        except StorageError:
            self.discard()
            raise

    def finish(self) -> list[Path]:
        """Give the files, written and closed, their names, and return these.

        Raises:
            StorageError: they are not safely on the disk.
        """
        self._rename(self._names)
        for name in self._names:
            partial_name(name).unlink(missing_ok=True)  # of an earlier try
        return [*self._names]

    def keep(self) -> list[Path]:
        """Keep the files as they are, as `x.partial.csv`, and return where.

        Raises:
            StorageError: they are not safely on the disk.
        """
        names = [partial_name(name) for name in self._names]
        self._rename(names)
        return names

    def discard(self) -> None:
        """Delete the files."""
        for part in self.parts:
            part.unlink(missing_ok=True)

    def _rename(self, names: Sequence[Path]) -> None:
        for part, name in zip(self.parts, names, strict=True):
            with storing(name), part.open("rb") as file:
                os.fsync(file.fileno())
        for part, name in zip(self.parts, names, strict=True):
            with storing(name):
                part.chmod(0o644)
                part.replace(name)


def _empty(name: Path) -> Path:
    """Make an empty file beside a name that says that it is a part."""
    with storing(name):
        prefix = f"{name.stem}.partial-"
        handle, part = tempfile.mkstemp(dir=name.parent, prefix=prefix, suffix=name.suffix)
        os.close(handle)
    return Path(part)


def partial_name(path: Path) -> Path:
    """Return the name of a file that is not whole.

    Example:
        >>> str(partial_name(Path("clip.keypoints.csv")))
        'clip.keypoints.partial.csv'
    """
    return path.with_name(f"{path.stem}.partial{path.suffix}")


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
