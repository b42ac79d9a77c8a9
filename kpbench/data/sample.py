"""One image of a real data set: decoded, cropped, resized, with its annotation in [0, 1]."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array
from kpbench.data.source import Box, Rows, Source
from kpbench.errors import DataError
from kpbench.files.image.reading import shown

if TYPE_CHECKING:
    from PIL.Image import Image

MASK_THRESHOLD = 127
"""A mask pixel above it is the object: masks are 1-bit, 0/1 or 0/255 in the data sets here."""


@dataclass(frozen=True)
class Sample:
    """One image as its protocol shows it.

    Attributes:
        image: (S, S, 3) uint8.
        mask: (S, S) bool, or None.
        frames: (S, S, 3) uint8, another moment, or None.
        landmarks: (L, 2) float64, (x, y) = pixels of the file / size of the region, as the papers'
            loaders compute it; 0 where not visible; None without annotation.
        visible: (L,) bool, or None without annotation.
        box: (4,) float64, x, y, width and height of the object in [0, 1], or None.
        size: width and height of the image file.
        aspect: width / height of the region.
        digest: sha256 of the files that were read, of the annotation and of the region, and of
            what `kpbench.files.image.reading` did besides the ordinary.
    """

    image: Array
    mask: Array | None
    frames: Array | None
    landmarks: Array | None
    visible: Array | None
    box: Array | None
    aspect: float
    digest: bytes
    size: tuple[int, int]


def read_sample(root: Path, source: Source, rows: Rows, i: int, pixels: int) -> Sample:
    """Read image i of a part.

    Args:
        root: folder of the data set.
        source: how it is read.
        rows: of the part.
        i: which image.
        pixels: side S of the result.

    Raises:
        DataError: a file is missing or unreadable, or the annotation is not finite; names the file.
    """
    name = str(rows.files[i])
    opened, data = source.picture(root, name)
    digest = hashlib.sha256(data)
    colour, how = shown(opened, name)
    digest.update(how.encode())  # mostly nothing
    points = seen = None
    if rows.landmarks is not None or rows.labels is not None:
        points, seen = source.labels(root, rows, i, colour.size)
        _check_labels(points, seen, name)
    region = source.region(rows, i, colour.size, points)
    corner = np.array(region[:2])
    size = np.array(region[2:]) - corner
    if not (size.min() > 0 and size.max() < np.inf):
        raise DataError(f"{name}: the region to show is empty or not finite: {region}")
    mask = None
    if rows.masks is not None:
        drawn, content = source.picture(root, str(rows.masks[i]))
        digest.update(content)
        shape = _grey(drawn)
        mask = cropped(shape, _scaled(region, colour.size, shape.size), pixels) > MASK_THRESHOLD
    if points is not None and seen is not None:
        points = np.where(seen[:, None], (points - corner) / size, 0.0)
        digest.update(np.ascontiguousarray(points, "<f8").tobytes() + seen.tobytes())
    digest.update(np.array(region, "<f8").tobytes())
    box = None
    if rows.boxes is not None:
        upper, lower = rows.boxes[i, :2], rows.boxes[i, 2:]
        box = np.concatenate([(upper - corner) / size, (lower - upper) / size])
        digest.update(np.ascontiguousarray(box, "<f8").tobytes())
    image = source.finish(cropped(colour, region, pixels), mask)
    frames = None
    if rows.neighbours is not None:
        frames = image
        if (other := str(rows.neighbours[i])) != name:
            drawn, content = source.picture(root, other)
            digest.update(content)
            beside = shown(drawn, other).image
            same = _scaled(region, colour.size, beside.size)
            frames = source.finish(cropped(beside, same, pixels), None)
    aspect, told = float(size[0] / size[1]), digest.digest()
    return Sample(image, mask, frames, points, seen, box, aspect, told, colour.size)


def _grey(mask: Image) -> Image:
    """Return a mask with the values 0 and 255, whether they were that, 0 and 1, or one bit."""
    if mask.mode != "L":
        mask = mask.convert("L")
    return mask.point(lambda value: 255 * value) if mask.getextrema()[1] == 1 else mask


def cropped(image: Image, region: Box, pixels: int) -> Any:
    """Return a region resized to a square, uint8 (S, S) or (S, S, 3); black outside of the image.

    Args:
        image: grey or RGB.
        region: what to show, in pixels, may reach outside of the image.
        pixels: side S.
    """
    from PIL import Image

    width, height = image.size
    whole = region == (0.0, 0.0, float(width), float(height))
    if whole and image.size == (pixels, pixels):
        return np.asarray(image)
    left, top, right, bottom = region
    if left < 0 or top < 0 or right > width or bottom > height:
        # onto a canvas that holds all of it; whole pixels, so that nothing is resampled twice
        shift = int(np.floor(min(left, 0))), int(np.floor(min(top, 0)))
        far = int(np.ceil(max(right, width))), int(np.ceil(max(bottom, height)))
        canvas = Image.new(image.mode, (far[0] - shift[0], far[1] - shift[1]))
        canvas.paste(image, (-shift[0], -shift[1]))
        image = canvas
        left, right = left - shift[0], right - shift[0]
        top, bottom = top - shift[1], bottom - shift[1]
    resized = image.resize(
        (pixels, pixels), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
    )
    return np.asarray(resized)


def _scaled(region: Box, size: tuple[int, int], other: tuple[int, int]) -> Box:
    """Return the region in an image of another size that shows the same."""
    if size == other:
        return region
    x, y = other[0] / size[0], other[1] / size[1]
    return (region[0] * x, region[1] * y, region[2] * x, region[3] * y)


def _check_labels(points: Array, seen: Array, name: str) -> None:
    if points.ndim != 2 or points.shape[1] != 2 or seen.shape != points.shape[:1]:
        raise DataError(f"{name}: landmarks of shape {points.shape}, visibility {seen.shape}")
    if not np.isfinite(points[seen]).all():
        raise DataError(f"{name}: a landmark is NaN or infinite")
