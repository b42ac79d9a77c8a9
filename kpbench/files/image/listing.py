"""The images of a folder, and a word on what of it is left out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from kpbench.errors import DataError
from kpbench.files.folders import readable
from kpbench.files.image.reading import SUFFIXES

SHOWN = 3
"""Names of each kind that are told."""


class Listing(NamedTuple):
    """What lies in a folder.

    Attributes:
        files: its images, sorted.
        left_out: what else there is, by kind with the first names; "" if nothing.
    """

    files: list[Path]
    left_out: str


def images_of(folder: Path) -> Listing:
    """List the images of a folder, not those of the folders in it; hidden ones are left out.

    macOS leaves `._x.png` beside `x.png` on foreign disks, which is no image.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    files, others = [], dict[str, list[str]](subfolders=[], hidden=[], foreign=[])
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{readable(folder)}: {error.strerror or error}") from error
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            others["hidden"].append(readable(entry.name))
        elif entry.is_dir():
            others["subfolders"].append(readable(entry.name))
        elif path.suffix.lower() in SUFFIXES:
            files.append(path)
        else:
            others["foreign"].append(readable(entry.name))
    told = {"subfolders": "subfolders", "hidden": "hidden", "foreign": "of other formats"}
    parts = [_counted(others[kind], word) for kind, word in told.items() if others[kind]]
    return Listing(files, f"left out of {readable(folder)}: {'; '.join(parts)}" if parts else "")


def _counted(names: list[str], word: str) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return f"{word} ({len(names):,}): {', '.join(names[:SHOWN])}{more}"
