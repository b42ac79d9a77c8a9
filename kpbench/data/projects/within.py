"""Images inside of files: frames of videos, images of SLEAP's packages, outlines of COCO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kpbench.data.projects.formats.coco_masks import read_mask
from kpbench.data.projects.formats.sleap import picture_of
from kpbench.data.projects.videos import frame
from kpbench.data.source import WITHIN
from kpbench.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


def picture_within(root: Path, name: str) -> tuple[Image, bytes]:
    """Return an image inside of a file, and the bytes that tell it from any other.

    Args:
        root: folder of the project.
        name: the file, `WITHIN`, and which image in it.

    Raises:
        MissingPackageError: what reads such files is not installed.
        DataError: there is no such image; names the file.
    """
    file, _, key = name.partition(WITHIN)
    path = root / file
    if path.suffix.lower() == ".slp":
        return picture_of(path, key)
    if not key.isdecimal():
        raise DataError(f"{path}: no image {key!r} in it")
    if path.suffix.lower() == ".json":
        return read_mask(path, int(key))
    from PIL import Image

    pixels = frame(path, int(key))
    return Image.fromarray(pixels), pixels.tobytes()
