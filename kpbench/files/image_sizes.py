"""Sizes of image files, from their heads alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError


def image_sizes(paths: Sequence[Path]) -> Array:
    """Return (N, 2) int, width and height of images, none of which is decoded.

    Raises:
        DataError: one is missing, or no image; names it.
    """
    with ThreadPoolExecutor() as pool:
        return np.array(list(pool.map(_size, paths)), int).reshape(-1, 2)


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no readable image: {error}") from error
