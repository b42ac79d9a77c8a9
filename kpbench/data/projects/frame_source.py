"""Labelled frames of anything as a source of images: which train, which test, what is shown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from filecmp import cmp
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from kpbench.api import Array
from kpbench.data.projects.project import Project
from kpbench.data.projects.splitting import matching, units
from kpbench.data.projects.videos import chosen_frames, frame_count
from kpbench.data.projects.within import picture_within
from kpbench.data.source import WITHIN, Box, Rows, Source
from kpbench.errors import InvalidInputError
from kpbench.files.video.reading import SUFFIXES

if TYPE_CHECKING:
    from PIL.Image import Image

AROUND = {"box": 1.2, "labels": 1.6}
"""Side of the square that is shown, in longer sides of the box, or of what the labels span."""
LEAST = 16.0
"""Side of the smallest region, in pixels: labels may lie on one point."""


@dataclass(frozen=True)
class FrameSource(Source):
    """Images of labelled frames, unlabelled ones and videos.

    A subclass says how labels are read and which test.

    Attributes:
        crop: "whole": all of an image; "box": a square around the annotated box; "labels": a square
            around the labels, in test, too; else "X,Y,W,H" in pixels of the image.
    """

    crop: str = "whole"

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            UnknownNameError: an argument has a value that it cannot have.
            InvalidInputError: a crop that cannot be.
        """
        super().__post_init__()
        if self.crop not in ("whole", *AROUND):
            fixed_crop(self.crop)

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts."""
        return {"discovery": "discovery", "regression": "train", "test": "test"}

    @abstractmethod
    def project(self, root: Path) -> Project:
        """Read the labels and list the images.

        Raises:
            DataError: a file is not what its format says; names file, row and column.
        """

    def rows(self, root: Path, part: str) -> Rows:
        """List the labelled images that train or test, or all that may be learnt from.

        Raises:
            DataError: a file is not what its format says; names file, row and column.
            InvalidInputError: nothing would be on one of the sides, or there are no boxes.
        """
        project = self.project(root)
        tests = self.tests(project)
        labelled = self.shown(project)
        if part != "discovery":
            return self._paired(root, project, labelled[tests if part == "test" else ~tests])
        rows = labelled[~tests]
        if self.crop not in AROUND:
            others = self.further(root, project, project.labelled[tests])
            rows = joined([rows, others]) if len(others) else rows
        return self._paired(root, project, rows)

    def _paired(self, root: Path, project: Project, rows: Rows) -> Rows:
        """Return rows with the next frame of each frame, where the project has videos."""
        if not project.videos:
            return rows
        return replace(rows, neighbours=next_frames(root, rows.files))

    @abstractmethod
    def tests(self, project: Project) -> Array:
        """Return which labelled images test, (N,) bool."""

    def shown(self, project: Project) -> Rows:
        """Return the labelled images, with the boxes that the crop is made by.

        Raises:
            InvalidInputError: there are no boxes, or an image shows several objects and is shown
                whole.
        """
        rows = project.labelled
        if self.crop == "labels":
            return replace(rows, boxes=spans(rows))
        if self.crop == "box":
            if rows.boxes is None:
                raise InvalidInputError(
                    f"--crop box: the labels ({project.format}) have no boxes, or not for every "
                    "object; choose --crop labels or whole"
                )
            return rows
        names, counts = np.unique(rows.files, return_counts=True)
        if (counts > 1).any():
            raise InvalidInputError(
                f"{names[counts.argmax()]} shows {counts.max()} labelled objects, and "
                f"{int((counts > 1).sum())} images more than one; choose --crop labels, or box"
            )
        return replace(rows, boxes=None)

    def further(self, root: Path, project: Project, test: Rows) -> Rows:
        """Return what may be learnt from besides: images of videos that are not in `test`."""
        return further_rows(root, project, test, by="video")

    def picture(self, root: Path, name: str) -> tuple[Image, bytes]:
        """Return one image or mask; some lie inside of a file."""
        return picture_within(root, name) if WITHIN in name else super().picture(root, name)

    def region(self, rows: Rows, i: int, size: tuple[int, int], points: Array | None) -> Box:
        """Return the region that `crop` says."""
        if self.crop == "whole":
            return super().region(rows, i, size, points)
        if self.crop not in AROUND:
            x, y, width, height = fixed_crop(self.crop)
            return (x, y, x + width, y + height)
        assert rows.boxes is not None
        corner, far = rows.boxes[i, :2], rows.boxes[i, 2:]
        centre, half = (corner + far) / 2, max((far - corner).max(), LEAST) * AROUND[self.crop] / 2
        left, top = (centre - half).tolist()
        right, bottom = (centre + half).tolist()
        return (left, top, right, bottom)


def fixed_crop(text: str) -> tuple[float, float, float, float]:
    """Return x, y, width and height of a crop.

    Raises:
        InvalidInputError: it is no such text.

    Example:
        >>> fixed_crop("10,20,300,200")
        (10.0, 20.0, 300.0, 200.0)
    """
    try:
        x, y, width, height = (float(word) for word in text.split(","))
        if not (width > 0 and height > 0 and max(map(abs, (x, y, width, height))) < 1e6):
            raise ValueError
    except ValueError:
        raise InvalidInputError(
            f"crop={text}: whole, box, labels, or X,Y,W,H in pixels, e.g. 0,0,640,480"
        ) from None
    return x, y, width, height


def spans(rows: Rows) -> Array:
    """Return the box around the visible labels of each row, (N, 4)."""
    assert rows.landmarks is not None and rows.visible is not None
    seen = rows.visible[..., None]
    low = np.where(seen, rows.landmarks, np.inf).min(1)
    high = np.where(seen, rows.landmarks, -np.inf).max(1)
    return np.concatenate([low, high], 1)


def further_rows(
    root: Path,
    project: Project,
    test: Rows,
    *,
    by: str,
    globs: Sequence[str] = (),
    frames: int = 0,
    choose: str = "even",
) -> Rows:
    """Return unlabelled images and frames of videos that do not belong to what tests.

    Args:
        root: folder of the project.
        project: the same, read.
        test: the labelled images that test.
        by: what is kept on one side; see `kpbench.data.projects.splitting`.
        globs: patterns of files and videos that are left out, too.
        frames: of each video; 0: all.
        choose: which; see `kpbench.data.projects.videos.chosen_frames`.
    """
    films = [video_rows(root, video, frames, choose) for video in project.videos]
    rows = joined([project.unlabelled, *films])
    if len(rows) == 0:
        return rows
    held = units(test, by)
    kept = ~np.isin(units(rows, by), held) & ~matching(rows, globs)
    if by != "frame":
        # a video is tested when the folder of its labelled frames is called as it is
        stems = {PurePosixPath(str(name)).name for name in held}
        kept &= np.array([stem_of(str(name)) not in stems for name in rows.files], dtype=bool)
    return rows[kept & ~same_files(root, rows.files, test.files)]


def same_files(root: Path, files: Array, others: Array) -> Array:
    """Return which files have the same bytes as one of the others, (N,) bool.

    Tools copy the first frame of a video, or a frame that was drawn twice, under another name.
    """
    sizes: dict[int, list[Path]] = {}
    for name in sorted({str(name) for name in others if WITHIN not in str(name)}):
        sizes.setdefault((root / name).stat().st_size, []).append(root / name)
    same = np.zeros(len(files), bool)
    for i, name in enumerate(files.tolist()):
        if WITHIN not in name:
            alike = sizes.get((root / name).stat().st_size, [])
            same[i] = any(cmp(root / name, path, shallow=False) for path in alike)
    return same


def video_rows(root: Path, video: str, count: int, how: str) -> Rows:
    """Return frames of a video; the video is their group."""
    numbers = _frames(root / video, count, how)
    return Rows(
        files=np.array([f"{video}{WITHIN}{i}" for i in numbers], dtype=str),
        groups=np.array([video] * len(numbers), dtype=str),
    )


def next_frames(root: Path, files: Array) -> Array:
    """Return the frame after each frame of a video, (N,) str; of the last one the one before it.

    An image that is in no video is its own: nobody knows what was beside it.
    """
    found = []
    for name in (str(name) for name in files):
        video, _, number = name.partition(WITHIN)
        if number.isdecimal() and video.lower().endswith(SUFFIXES):
            i, count = int(number), frame_count(root / video)
            name = f"{video}{WITHIN}{i + 1 if i + 1 < count else max(i - 1, 0)}"
        found.append(name)
    return np.array(found, dtype=str)


@lru_cache(maxsize=64)
def _frames(path: Path, count: int, how: str) -> tuple[int, ...]:
    return tuple(chosen_frames(path, count, how))


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the files and groups of several lists after one another; labels are left out."""
    files = [part.files for part in parts if len(part)]
    groups = [part.groups for part in parts if len(part)]
    if not files:
        return Rows(np.array([], dtype=str), groups=np.array([], dtype=str))
    return Rows(np.concatenate(files), groups=np.concatenate([g for g in groups if g is not None]))


def stem_of(name: str) -> str:
    """Return what a video, or the folder of an image, is called.

    Example:
        >>> stem_of("videos/run 1.mp4::12"), stem_of("labeled-data/run 1/img.png")
        ('run 1', 'run 1')
    """
    path = PurePosixPath(name.partition(WITHIN)[0])
    return path.stem if WITHIN in name else path.parent.name
