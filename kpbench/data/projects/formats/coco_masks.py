"""Outlines of COCO: polygons, and run lengths (RLE) as numbers or as COCO's text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array
from kpbench.errors import DataError
from kpbench.files.tables import read_json

if TYPE_CHECKING:
    from PIL.Image import Image


def check_segmentation(outline: Any, size: Sequence[int]) -> str:
    """Return what is wrong with a segmentation, "" if nothing is.

    Args:
        outline: a list of polygons, or {"size": [height, width], "counts": numbers or text}.
        size: width and height of the image.
    """
    if isinstance(outline, list):
        whole = all(
            isinstance(polygon, list)
            and len(polygon) >= 6
            and len(polygon) % 2 == 0
            and all(isinstance(v, int | float) and not isinstance(v, bool) for v in polygon)
            for polygon in outline
        )
        return "" if whole else "a polygon should be x, y of three points or more"
    if not isinstance(outline, dict) or outline.get("size") != [int(size[1]), int(size[0])]:
        return f"RLE should have the size [{size[1]}, {size[0]}] of the image, height first"
    try:
        runs = _runs(outline.get("counts"))
    except ValueError as error:
        return f"malformed RLE: {error}"
    if sum(runs) != size[0] * size[1]:
        return f"malformed RLE: the runs cover {sum(runs)} pixels of {size[0] * size[1]}"
    return ""


def read_mask(path: Path, annotation: int) -> tuple[Image, bytes]:
    """Return the mask of an annotation, 0 and 255, and the bytes of the same.

    Raises:
        DataError: the file or the annotation is missing or malformed.
    """
    from PIL import Image

    about = path.stat() if path.is_file() else None
    stamp = (about.st_size, about.st_mtime_ns) if about else (0, 0)
    outlines, sizes = _outlines(path, stamp)
    if annotation not in outlines:
        raise DataError(f"{path}: no annotation {annotation} with a segmentation")
    outline, number = outlines[annotation]
    mask = _drawn(outline, sizes[number])
    return Image.fromarray(mask), mask.tobytes()


@lru_cache(maxsize=2)
def _outlines(path: Path, stamp: tuple[int, int]) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return annotation -> (segmentation, image), and image -> (width, height)."""
    content = read_json(path)
    sizes = {row["id"]: (row["width"], row["height"]) for row in content["images"]
             if "width" in row and "height" in row}  # fmt: skip
    return {
        row["id"]: (row["segmentation"], row["image_id"])
        for row in content["annotations"]
        if row.get("segmentation")
    }, sizes


def _drawn(outline: Any, size: Sequence[int]) -> Array:
    """Return (H, W) uint8, 255 on the object."""
    from PIL import Image, ImageDraw

    if isinstance(outline, dict):
        return _of_runs(_runs(outline["counts"]), size)
    image = Image.new("L", (int(size[0]), int(size[1])))
    for polygon in outline:
        # COCO's polygons run along the edges of pixels, Pillow's through their centres
        corners = [(x - 0.5, y - 0.5) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
        ImageDraw.Draw(image).polygon(corners, fill=255)
    return np.asarray(image)


def _of_runs(runs: Sequence[int], size: Sequence[int]) -> Array:
    """Return the mask of runs, which go down the columns and begin outside of the object."""
    values = np.arange(len(runs)) % 2 * 255
    flat = np.repeat(values.astype(np.uint8), runs)
    return np.ascontiguousarray(flat.reshape(size[0], size[1]).T)


def _runs(counts: Any) -> list[int]:
    """Return the lengths of the runs.

    COCO's text holds five bits a character, the sixth says that more follow; from the fourth run on
    the difference to the run before the last is written.

    Raises:
        ValueError: it is neither a list of whole numbers nor such a text.
    """
    if isinstance(counts, list):
        if not all(type(run) is int and run >= 0 for run in counts):
            raise ValueError("counts should be whole numbers of 0 or more")
        return counts
    if not isinstance(counts, str):
        raise ValueError("has no counts")
    runs: list[int] = []
    stream = io.StringIO(counts)
    while character := stream.read(1):
        value, shift = 0, 0
        while True:
            bits = ord(character) - 48 if character else -1
            if not 0 <= bits < 64 or shift > 60:
                raise ValueError(f"counts end or break off after {len(runs)} runs")
            value |= (bits & 31) << shift
            shift += 5
            if not bits & 32:
                break
            character = stream.read(1)
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        if runs[-1] < 0:
            raise ValueError(f"run {len(runs)} has the length {runs[-1]}")
    return runs
