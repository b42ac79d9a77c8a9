"""The bytes of an image file, and the image in them, or an error that names the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from kpbench.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def open_image(data: bytes, name: str) -> Image:
    """Decode an image file.

    Raises:
        DataError: it is truncated, corrupt, or no image.
    """
    from PIL import Image

    try:
        opened = Image.open(io.BytesIO(data))
        opened.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is no readable image: {error}") from error
    if opened.mode == "1":  # a 1-bit mask becomes 0 and 255, like any other
        return opened.convert("L")
    return opened
