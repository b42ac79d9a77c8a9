"""What lies in a folder, listed without asking the file system about each entry."""

from __future__ import annotations

import os
from pathlib import Path

from kpbench.errors import DataError


def readable(path: Path | str) -> str:
    r"""Return a path as text that can be written as UTF-8; bytes that are none become \xff.

    Example:
        >>> readable(Path("f\udcffx.png")) == "f" + chr(92) + "xffx.png"
        True
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; hidden ones are left out.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}") from error


def frames_in(folder: Path, suffix: str) -> list[str]:
    """Return the names of the frames of a video without their suffix, by number: 9 before 10.

    Args:
        folder: of one video.
        suffix: of the frames, e.g. ".jpg"; files with another one are left out.

    Raises:
        DataError: there is no such folder, or a frame's name is no number.
    """
    names = [name for name in names_in(folder) if name.endswith(suffix)]
    stems = [name.removesuffix(suffix) for name in names]
    for stem in stems:
        if not (stem.isascii() and stem.isdecimal()):
            raise DataError(f"{folder / (stem + suffix)}: a frame's name should be its number")
    return sorted(stems, key=int)
