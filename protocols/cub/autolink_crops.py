"""What AutoLink's released cub_preprocess.py makes of CUB's boxes and parts, faults included.

Its faults: pixels counted from 1 are taken for pixels from 0. The image is cut to a multiple of 16,
at the left and top by half of the rest, and all moves but the right and lower edge of the box. The
parts are moved in place; as the lists of one class's test images (test001, test002, test003 of
cub.h5) hold the same objects as the lists of all, these are moved twice.

The script also rounds the box before it cuts the picture, not for the landmarks; here the picture
has the box of the landmarks, so it differs by half a pixel at most.
"""

from __future__ import annotations

import numpy as np

from kpbench import Array, Box

BLOCK = 16
"""Images are cut to a multiple of it."""


def shifted(points: Array, seen: Array, sizes: Array, times: int) -> tuple[Array, Array]:
    """Return the parts as AutoLink sees them, in pixels of the whole image, and which are visible.

    Args:
        points: (N, 15, 2) as in CMR's mat-files: pixels from 1.
        seen: (N, 15) bool.
        sizes: (N, 2) width and height of the images.
        times: how often a part is moved: 1, or 2 for the test images of one class.
    """
    sizes = np.asarray(sizes)[:, None]
    cut = (sizes % BLOCK) // 2
    points, seen = points.copy(), seen.copy()
    for _ in range(times):
        points = np.where(seen[..., None], points - cut, points)
        inside = (points >= 0) & (points < sizes - sizes % BLOCK)
        seen &= inside.all(-1)
    return points + cut, seen


def cut_square(box: Array, size: tuple[int, int]) -> Box:
    """Return the region that AutoLink cuts out, in pixels of the whole image.

    Args:
        box: (4,) x1, y1, x2, y2 as in CMR's mat-files: pixels from 1.
        size: (width, height) of the image.

    Example:
        >>> cut_square(np.array([41.0, 31.0, 141.0, 91.0]), (203, 111))  # cut at 5 and 7
        (41.0, 11.0, 146.0, 103.0)
    """
    whole = np.array(size)
    cut = (whole % BLOCK) // 2
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2
    first = np.maximum(np.maximum(middle - half, 0) - cut, 0)
    last = np.minimum(np.minimum(middle + half, whole), whole - whole % BLOCK)
    left, top = first + cut
    right, bottom = last + cut  # the script forgets to subtract it before
    return (float(left), float(top), float(right), float(bottom))
