"""The bytes of a file, or an error that says which file and why."""

from __future__ import annotations

import stat
from pathlib import Path

from kpbench.errors import DataError

MEBI = 1 << 20


def read_bytes(path: Path, most: int) -> bytes:
    """Return what is in a file of at most `most` bytes.

    Raises:
        DataError: the file is missing, unreadable or larger.
    """
    try:
        about = path.stat()
        size = about.st_size
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"{path}: is no file")  # a pipe or a device may never end
        if size > most:
            raise DataError(f"{path}: {size / MEBI:,.0f} MiB, at most {most / MEBI:,.0f} are read")
        with path.open("rb", buffering=0) as file:
            return file.readall()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; see `kpbench data info` for the layout") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_text(path: Path, most: int) -> str:
    """Return the text of a UTF-8 file of at most `most` bytes, with or without byte order mark.

    Raises:
        DataError: the file is missing, unreadable, larger, or not UTF-8.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}") from None
