"""Images of every mode as upright 8-bit RGB, by one rule for all that kpbench shows to a method.

The rule:

- The first picture is taken of a file that has several.
- It is turned as its EXIF says; a damaged EXIF says nothing. Labels are in pixels of the upright
  image.
- Grey of more than 8 bits: the upper 8 of 16 bits, so 0 stays 0, 8192 is 32 and 65535 is 255.
  Pillow reads colour of 16 bits in the same way. Whole numbers of 32 bits are taken for 16 bits if
  they fit into them. What is above 0 and still black everywhere, because it holds 8 bits in the
  space of 16, is refused.
- Grey of floating point: 0 is black, 1 is white. Anything else, and NaN, is refused.
- Transparency (alpha, or a colour of a palette or a PNG that stands for it): over white.
- 1 bit, grey, palettes, CMYK, YCbCr, LAB and HSV: as Pillow converts them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Of the files that are taken for images."""
BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels."""
WIDE = 65535
"""White in grey of 16 bits."""
ORIENTATION = 0x0112
"""The tag of EXIF that says how a camera was held; 1: upright."""


class Shown(NamedTuple):
    """An image as the rule shows it.

    Attributes:
        image: 8-bit RGB, upright.
        how: what was done besides what Pillow's `convert("RGB")` does, "" if nothing.
    """

    image: Image
    how: str


def read_bytes(path: Path) -> bytes:
    """Return the content of an image file.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def decoded(data: bytes, name: str) -> Image:
    """Decode an image file and leave its mode; 1 bit becomes 0 and 255.

    Raises:
        DataError: it is truncated, corrupt, too large, or no image; names it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        opened = Image.open(io.BytesIO(data))
        opened.load()
    except UnidentifiedImageError:  # its text names a buffer
        cause = "its format is not known, or it is damaged" if data else "it is empty"
        raise DataError(f"{name} is no readable image: {cause}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} is too large to be read: {error}; make it smaller first") from None
    except Exception as error:  # damaged files: of many types, none documented
        raise DataError(f"{name} is no readable image: {error}") from error
    return opened.convert("L") if opened.mode == "1" else opened


def shown(image: Image, name: str) -> Shown:
    """Return an image as 8-bit RGB, by the rule of this module.

    Args:
        image: decoded, of any mode.
        name: of its file, for messages.

    Raises:
        DataError: its numbers are not those of an image; names it.
    """
    image, turned = _upright(image)
    how = [f"turned by orientation {turned}"] if turned else []
    if image.mode.startswith(("I", "F")):
        how.append("floating point as 8 bits" if image.mode == "F" else "16 bits as 8")
        image = _narrowed(image, name)
    if image.has_transparency_data:
        image, seen_through = _composited(image)
        how += ["transparency over white"] if seen_through else []
    try:
        return Shown(image if image.mode == "RGB" else image.convert("RGB"), "; ".join(how))
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: {image.mode} images cannot be shown as RGB: {error}") from error


def read_image(path: Path, size: int | None = None) -> Array:
    """Read an image file as (H, W, 3) uint8, by the rule of this module.

    Args:
        path: the file.
        size: when given, the image is resized to size x size (its aspect is not kept).

    Raises:
        DataError: it is missing, unreadable, too large, or its numbers are not those of an image.
    """
    image = shown(decoded(read_bytes(path), str(path)), str(path)).image
    return np.asarray(image if size is None else image.resize((size, size)))


def orientation(image: Image) -> int:
    """Return how the EXIF in an image's head says that it was held, 1 to 8; 1 if it is damaged."""
    from PIL import Image

    try:
        found = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # of many types, none documented
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(image: Image) -> tuple[Image, int]:
    """Return an image turned as its EXIF says, and the orientation that it had, 0 if none."""
    from PIL.ImageOps import exif_transpose

    held = orientation(image)
    if held == 1:
        return image, 0
    try:
        return exif_transpose(image), held
    except Exception:  # the rest of its EXIF is damaged; of many types, none documented
        return image, 0


def _narrowed(image: Image, name: str) -> Image:
    """Return grey of 16 or 32 bits, or of floating point, as grey of 8 bits.

    Raises:
        DataError: there are numbers beyond black and white, or all are black by the rule.
    """
    from PIL import Image

    values = np.asarray(image)
    lowest, highest = float(values.min()), float(values.max())
    white = 1 if image.mode == "F" else WIDE
    if not (lowest >= 0 and highest <= white):  # NaN, too
        raise DataError(
            f"{name}: its numbers go from {lowest:g} to {highest:g}; {_KINDS[white]} are read from "
            f"0, black, to {white:,}, white: scale them first"
        )
    grey = np.rint(values * 255) if white == 1 else values >> 8
    if highest > 0 and not grey.any():
        raise DataError(
            f"{name}: would be black, its numbers end at {highest:g} and {white:,} is white; "
            "scale them, or save it with 8 bits"
        )
    key = image.info.get("transparency")
    if isinstance(key, int):  # of a PNG: one of the 65,536 greys
        grey = np.where(values == key, BACKGROUND[0], grey)
    return Image.fromarray(grey.astype(np.uint8))


_KINDS = {1: "floating-point images", WIDE: "images of more than 8 bits"}


def _composited(image: Image) -> tuple[Image, bool]:
    """Return an image over the background, and whether anything shows through it."""
    from PIL import Image

    if image.mode in ("La", "RGBa"):  # colours multiplied by alpha; Pillow converts these alone
        image = image.convert(image.mode.upper())
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:
        return image, False
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image), True
