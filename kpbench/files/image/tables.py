"""Keypoints of images, a row an image, written while they are found: JSON and csv."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

from kpbench.contracts.types import Array
from kpbench.errors import StorageError
from kpbench.files.atomic import Growing, storing
from kpbench.files.folders import readable
from kpbench.files.tables import csv_text

HEAD = ("file", "keypoint", "x", "y", "x_px", "y_px")
"""Of the csv."""
NO_ROWS = "]\n}"
"""How a JSON file ends whose last value is an empty list."""


class ImageTables:
    """A JSON file and a csv in the making; they take their names together, once they are whole."""

    def __init__(self, names: Sequence[Path], model: Mapping[str, Any]) -> None:
        """Begin the files.

        Args:
            names: of the JSON file and of the csv.
            model: what the JSON says of the model.

        Raises:
            StorageError: a file cannot be written.
        """
        self._growing, self._rows = Growing(names), 0
        head = json.dumps({"model": dict(model), "images": []}, indent=1, allow_nan=False)
        try:
            self._append(head.removesuffix(NO_ROWS), csv_text([HEAD]))
        except StorageError:
            self._growing.discard()
            raise

    def add(self, path: Path, size: tuple[int, int], points: Array) -> None:
        r"""Append the keypoints of an image.

        Args:
            path: of the image; bytes of its name that are not UTF-8 are written as `\xff`.
            size: height and width of the image in pixels.
            points: (K, 2), (x, y) in [0, 1].

        Raises:
            StorageError: they cannot be written.
        """
        name, (height, width) = readable(path), size
        shares = points.round(6).tolist()
        pixels = (points * [width, height]).round(3).tolist()
        row = {
            "file": name,
            "width": width,
            "height": height,
            "keypoints": shares,
            "keypoints_px": pixels,
        }
        text = indent(json.dumps(row, indent=1, allow_nan=False), "  ")
        lines = [
            (name, k, *share, *pixel)
            for k, (share, pixel) in enumerate(zip(shares, pixels, strict=True))
        ]
        self._append(f"{',' if self._rows else ''}\n{text}", csv_text(lines))
        self._rows += 1

    def end(self, *, whole: bool) -> list[Path]:
        """End the files and return them, under their names if they are whole; none without rows.

        Raises:
            StorageError: a file cannot be written; none is kept.
        """
        if not self._rows:
            self._growing.discard()
            return []
        try:
            self._append(f"\n {NO_ROWS}", "")
            return self._growing.finish() if whole else self._growing.keep()
        except StorageError:
            self._growing.discard()
            raise

    def _append(self, *texts: str) -> None:
        """Append a text to each file, closed again, so that a kill loses no row."""
        for part, text in zip(self._growing.parts, texts, strict=True):
            with storing(part), part.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
