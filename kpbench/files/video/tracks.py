"""Keypoints of a video, a row a frame, written while they are found: csv and lines of JSON.

The csv, and the HDF5 file of `hdf5_track`, are laid out as DeepLabCut's:
`pandas.read_csv(csv, header=[0, 1, 2], index_col=0)` and `pandas.read_hdf(h5)` give the same table.
Places there are in pixels of the video, and a pixel's centre is a whole number, as where
DeepLabCut's labels are clicked; in the JSON they are in [0, 1] of the image, as everywhere in
kpbench.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from kpbench.contracts.types import Array
from kpbench.files.atomic import storing
from kpbench.files.tables import csv_text

COORDS = ("x", "y", "likelihood")
LEVELS = ("scorer", "bodyparts", "coords")
"""Of the names of the columns."""


@dataclass(frozen=True)
class Rows:
    """What was found in some frames that follow one another.

    Attributes:
        first: number of the first frame; that of the video is 0.
        times: of the N frames, in seconds; None where unknown.
        points: (N, K, 2), (x, y) in [0, 1].
        likelihood: (N, K) in [0, 1]; None: the method has none.
        size: width and height of the frames in pixels.
    """

    first: int
    times: Sequence[Fraction | None]
    points: Array
    likelihood: Array | None
    size: tuple[int, int]

    def table(self) -> Array:
        """Return (N, 3 K): x and y in pixels, to a thousandth, and the likelihood or NaN."""
        pixels = (self.points * self.size - 0.5).round(3)
        unknown = np.full(pixels.shape[:2], np.nan)
        likelihood = unknown if self.likelihood is None else self.likelihood.round(6)
        return np.concatenate([pixels, likelihood[..., None]], axis=2).reshape(len(pixels), -1)


class TextTrack:
    """A text file in the making."""

    def __init__(self, path: Path, head: str, lines: Callable[[Rows], str]) -> None:
        """Open the file.

        Args:
            path: of the file.
            head: what it begins with.
            lines: returns the lines of some rows.

        Raises:
            StorageError: it cannot be written.
        """
        self._path, self._lines = path, lines
        with storing(path):
            self._file = path.open("w", encoding="utf-8", newline="")
            self._file.write(head)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file.

        Raises:
            StorageError: it cannot be written.
        """
        with storing(self._path):
            self._file.close()

    def add(self, rows: Rows) -> None:
        """Append rows.

        Raises:
            StorageError: they cannot be written.
        """
        with storing(self._path):
            self._file.write(self._lines(rows))
            self._file.flush()


def csv_head(scorer: str, n_keypoints: int) -> str:
    """Return the three lines that say what the columns of the csv are.

    Example:
        >>> print(csv_head("me", 1), end="")
        scorer,me,me,me
        bodyparts,keypoint0,keypoint0,keypoint0
        coords,x,y,likelihood
    """
    names = np.repeat(bodyparts(n_keypoints), len(COORDS)).tolist()
    levels = [[scorer] * len(names), names, [*COORDS] * n_keypoints]
    return csv_text([level, *cells] for level, cells in zip(LEVELS, levels, strict=True))


def csv_lines(rows: Rows) -> str:
    """Return the lines of the csv, the number of the frame first; what is unknown is empty."""
    table = rows.table().tolist()
    return csv_text(
        [number, *("" if cell != cell else cell for cell in cells)]
        for number, cells in enumerate(table, rows.first)
    )


def json_head(about: Mapping[str, Any]) -> str:
    """Return the first line of the JSON, which says what the others are about."""
    return json.dumps(about, allow_nan=False) + "\n"


def json_lines(rows: Rows) -> str:
    """Return a line of JSON for each frame: frame, time, keypoints and likelihood."""
    likelihood = [None] * len(rows.points)
    if rows.likelihood is not None:
        likelihood = rows.likelihood.round(6).tolist()
    found = zip(rows.times, rows.points.round(6).tolist(), likelihood, strict=True)
    lines = [
        {
            "frame": number,
            "time": None if time is None else round(float(time), 6),
            "keypoints": points,
            "likelihood": sure,
        }
        for number, (time, points, sure) in enumerate(found, rows.first)
    ]
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)


def bodyparts(n_keypoints: int) -> list[str]:
    """Return the names of the keypoints, which have none of their own."""
    return [f"keypoint{k}" for k in range(n_keypoints)]
