"""Sizes of image files, from their heads alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError
from kpbench.files.image.reading import orientation

LYING = (5, 6, 7, 8)
"""Orientations in which width and height change places."""


def image_sizes(paths: Sequence[Path]) -> Array:
    """Return (N, 2) int, width and height of upright images, none of which is decoded.

    Raises:
        DataError: one is missing, or no image; names it.
    """
    with ThreadPoolExecutor() as pool:
        return np.array(list(pool.map(_size, paths)), int).reshape(-1, 2)


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            # the head of a TIFF is read turned
            lies = image.format != "TIFF" and orientation(image) in LYING
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no readable image: {error}") from error
    return (height, width) if lies else (width, height)
