"""Keypoints and strong edges drawn on an image."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kpbench.api import Array, Keypoints

if TYPE_CHECKING:
    from PIL.Image import Image

STRONG = 0.5
"""Edges are drawn whose weight is more than this share of the largest."""
SIDE = 256
"""Pixels to which the shorter side of a small image is enlarged."""
LONGEST = 4 * SIDE
"""Pixels beyond which no image is enlarged, however narrow it is."""


def strong_edges(found: Keypoints) -> Sequence[Array]:
    """Return the pairs of keypoints whose edges are drawn; none where a method has no edges."""
    if found.graph is None:
        return []
    weights = np.triu(np.asarray(found.graph), 1)
    return list(np.argwhere(weights > STRONG * weights.max()))


def overlay(image: Array, found: Keypoints) -> bytes:
    """Return a PNG of the image, enlarged if it is small, with keypoints and the strong edges."""
    from PIL.Image import fromarray

    height, width = image.shape[:2]
    scale = max(1.0, min(SIDE / min(height, width), LONGEST / max(height, width)))
    canvas = fromarray(image).resize((round(width * scale), round(height * scale)))
    _draw(canvas, found)
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()


def drawn_on(image: Array, found: Keypoints) -> Array:
    """Return a copy of an image (H, W, 3) uint8 with keypoints and the strong edges."""
    from PIL.Image import fromarray

    canvas = fromarray(image)
    _draw(canvas, found)
    return np.asarray(canvas)


def _draw(canvas: Image, found: Keypoints) -> None:
    """Draw the keypoints of one image into it."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    points = np.asarray(found.points[0]) * [canvas.width, canvas.height]
    for a, b in strong_edges(found):
        draw.line([tuple(points[a]), tuple(points[b])], fill=(255, 255, 255), width=2)
    radius = max(3, min(canvas.size) // 64)
    for (x, y), colour in zip(points, _colours(len(points)), strict=True):
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=colour, outline=(0, 0, 0))


@functools.lru_cache(maxsize=8)
def _colours(n: int) -> list[tuple[int, ...]]:
    from matplotlib import colormaps

    colours = colormaps["hsv"](np.arange(n) / n, bytes=True)
    return [tuple(int(c) for c in colour[:3]) for colour in colours]
