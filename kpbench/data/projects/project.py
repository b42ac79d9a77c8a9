"""What a labelled project is, whatever wrote it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from kpbench.api import Array
from kpbench.data.source import Rows, file_of
from kpbench.errors import DataError, InvalidInputError
from kpbench.files.image.reading import SUFFIXES as IMAGES
from kpbench.files.video.reading import SUFFIXES

SHOWN = 5
"""Faults that an error names."""
OUTSIDE = 0.05
"""How far from the image a label may lie, in sizes of the image: people click beside the border."""
CENTRE = 0.5
"""From the centre of a pixel, where most tools have whole numbers, to its left or upper edge."""


@dataclass(frozen=True)
class Choice:
    """What has to be said about a project that holds more than one thing.

    Attributes:
        labels: which labels: the scorer (DeepLabCut), or the file.
        individual: which animal of a DeepLabCut project that labels several.
        category: which category of a COCO file.
        occluded: "seen" or "missing": what a COCO keypoint of visibility 1 counts as.
    """

    labels: str = ""
    individual: str = ""
    category: str = ""
    occluded: str = "seen"


def chosen_file(root: Path, known: Sequence[str], choice: Choice, what: str) -> str:
    """Return the file of labels that was chosen, or the only one, relative to `root`.

    Args:
        root: folder of the project.
        known: the files that there are.
        choice: what was said of them.
        what: such a file is called.

    Raises:
        InvalidInputError: there are several, or none, and none was chosen.
    """
    if not choice.labels and len(known) != 1:
        raise InvalidInputError(
            f"{root}: which {what}? There are: {', '.join(known) or 'none'}; choose one with "
            "--labels"
        )
    return choice.labels or known[0]


@dataclass(frozen=True)
class Project:
    """A labelled project, with no image opened.

    Attributes:
        format: which tool's files it was read from.
        names: of the L landmarks.
        labelled: images with at least one landmark, one row an object; `groups` is the video that
            an image is from.
        unlabelled: further images; `groups` likewise.
        videos: video files relative to the folder.
        edges: pairs of landmarks that the skeleton joins.
        pairs: pairs of landmarks of which the file says that they are each other's mirror image.
    """

    format: str
    names: tuple[str, ...]
    labelled: Rows
    unlabelled: Rows
    videos: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()

    def fingerprint(self, root: Path) -> str:
        """Return a hash of labels, of file names and of the files' sizes in bytes."""
        points, seen = self.labelled.landmarks, self.labelled.visible
        assert points is not None and seen is not None
        named = [*self.labelled.files.tolist(), *self.unlabelled.files.tolist(), *self.videos]
        files = sorted({file_of(name) for name in named})
        sizes = [(root / name).stat().st_size for name in files]
        text = json.dumps([self.names, self.labelled.files.tolist(), files, sizes])
        digest = hashlib.sha256(text.encode())
        for column in (np.where(seen[..., None], points, 0), seen, self.labelled.boxes):
            if column is not None:
                kind = "|b1" if column.dtype == np.bool_ else "<f8"
                digest.update(np.ascontiguousarray(column, kind).tobytes())
        return digest.hexdigest()[:16]


class Faults:
    """Collects what is wrong in a file, so that one reading names several faults."""

    def __init__(self, path: Path) -> None:
        """Take the file."""
        self.path, self.found = path, list[str]()

    def add(self, where: str, what: str) -> None:
        """Note a fault.

        Args:
            where: row and column.
            what: is wrong, and what to do.
        """
        self.found.append(f"{where}: {what}")

    def check(self) -> None:
        """Raise when there are any.

        Raises:
            DataError: names the file and the first faults.
        """
        if self.found:
            more = len(self.found) - SHOWN
            text = "; ".join(self.found[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
            raise DataError(f"{self.path}: {text}")


def inner_path(text: str) -> str:
    r"""Return a path of a file as written by any system, "/" between the parts.

    Raises:
        ValueError: it is absolute or leads out of the folder; says so.

    Example:
        >>> inner_path(r"labeled-data\mouse 1\img01.png")
        'labeled-data/mouse 1/img01.png'
    """
    path = PurePosixPath(text.replace("\\", "/"))
    if path.is_absolute() or (path.parts[0:1] and path.parts[0][1:2] == ":"):
        raise ValueError(f"{text!r} is an absolute path; write it relative to the folder")
    if ".." in path.parts or not path.parts:
        raise ValueError(f"{text!r} leads out of the folder")
    return str(path)


def images_in(root: Path, folder: str = "") -> list[str]:
    """Return the image files of a folder and of those in it, relative to `root`, sorted.

    Folders of drawn labels ("<video>_labeled", beside "<video>") and hidden files are left out.
    """
    found = []
    for path in sorted((root / folder).rglob("*")):
        inner = path.relative_to(root)
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.suffix.lower() in IMAGES and not hidden and not _is_drawn(path.parent):
            found.append(inner.as_posix())
    return found


def _is_drawn(folder: Path) -> bool:
    whole = folder.name.removesuffix("_labeled")
    return whole != folder.name and (folder.parent / whole).is_dir()


def videos_in(root: Path, folder: str) -> tuple[str, ...]:
    """Return the video files of a folder, relative to `root`, sorted; drawn ones are left out."""
    if not (root / folder).is_dir():
        return ()
    found = [path for path in (root / folder).rglob("*") if path.suffix.lower() in SUFFIXES]
    kept = [path for path in found if not path.stem.endswith("_labeled")]
    return tuple(sorted(path.relative_to(root).as_posix() for path in kept))


def folder_of(name: str) -> str:
    """Return the folder of a file, "." for one that lies in none."""
    return PurePosixPath(file_of(name)).parent.as_posix()


def unlabelled_rows(root: Path, folder: str, labelled: Sequence[str]) -> Rows:
    """Return the images of a folder that have no label, with their folder as the video."""
    known = set(labelled)
    files = [name for name in images_in(root, folder) if name not in known]
    groups = [folder_of(name) for name in files]
    return Rows(files=np.array(files, dtype=str), groups=np.array(groups, dtype=str))


def beyond(points: Array, size: Sequence[float]) -> Array:
    """Return which points (L, 2) lie outside of an image of this (width, height), (L,) bool."""
    extent = np.asarray(size, np.float64)
    return np.asarray(((points < -OUTSIDE * extent) | (points > (1 + OUTSIDE) * extent)).any(-1))
