"""The one reader of labelled projects; which tool wrote a folder is told by its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from kpbench.data.projects.formats import coco, deeplabcut, lightning_pose, sleap
from kpbench.data.projects.project import Choice, Project
from kpbench.errors import DataError, InvalidInputError, UnknownNameError


class _Format(NamedTuple):
    is_one: Callable[[Path], bool]
    read: Callable[[Path, Choice], Project]
    shape: str


FORMATS: Mapping[str, _Format] = {
    "deeplabcut": _Format(
        deeplabcut.is_one, deeplabcut.read, "labeled-data/<video>/CollectedData_<scorer>.csv or .h5"
    ),
    "lightning_pose": _Format(
        lightning_pose.is_one, lightning_pose.read, "CollectedData.csv beside labeled-data"
    ),
    "coco": _Format(coco.is_one, coco.read, "<name>.json, or annotations/<name>.json"),
    "sleap": _Format(sleap.is_one, sleap.read, "<name>.pkg.slp"),
}
"""The formats, and where the labels lie in each."""


def read_project(folder: Path, format: str = "", choice: Choice | None = None) -> Project:
    """Read a labelled project; no image is decoded.

    Args:
        folder: of the project.
        format: one of `FORMATS`; "": told by the files.
        choice: which labels, where there are several.

    Raises:
        UnknownNameError: there is no such format.
        InvalidInputError: no folder, no project in it, or one of several formats or labels; says
            what there is and how to choose.
        DataError: a file is not what its format says; names file, row and column.
        MissingPackageError: a package that reads the format is not installed; holds the command.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}")
    chosen = FORMATS[format_of(folder, format)]
    try:
        return chosen.read(folder, choice or Choice())
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror or error}") from error


def format_of(folder: Path, format: str = "") -> str:
    """Return the format of a project; raises as `read_project`."""
    if format:
        if format not in FORMATS:
            raise UnknownNameError.of("format", format, FORMATS)
        return format
    found = [name for name, known in FORMATS.items() if known.is_one(folder)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInputError(
            f"{folder} holds labels of several formats: {', '.join(found)}; choose one, e.g. "
            f"--format {found[0]}"
        )
    shapes = "; ".join(f"{name}: {known.shape}" for name, known in FORMATS.items())
    raise InvalidInputError(f"{folder} holds no labelled project that is known. Known are {shapes}")
