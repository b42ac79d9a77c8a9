"""Foreground hits: the share of keypoints on the object, and of the image that it fills."""

from __future__ import annotations

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError


def foreground_hits(points: Array, mask: Array | None) -> float | None:
    """Return the share of keypoints on the object: the foreground-hit rate.

    The object may be given by any mask: rendered, segmented, or a filled box. A keypoint counts as
    a hit when its pixel of the mask is set; images whose mask is empty show no object and are left
    out. Read it beside the object's own share of the image, which random points would hit: see
    `object_share`.

    Args:
        points: (N, K, 2), (x, y) in [0, 1]; a point outside of the image is a miss.
        mask: (N, H, W) bool of any size, or None.

    Returns:
        In [0, 1]; None without masks, or when all are empty.

    Raises:
        InvalidInputError: not a mask for each image.

    Example:
        >>> mask = np.array([[[True, False], [False, False]]])
        >>> foreground_hits(np.array([[[0.2, 0.2], [0.7, 0.2]]]), mask)
        0.5
    """
    if mask is None:
        return None
    if mask.ndim != 3 or len(mask) != len(points) or mask.dtype != np.bool_:
        raise InvalidInputError(
            f"a mask must be bool of shape ({len(points)}, H, W), got {mask.dtype} {mask.shape}"
        )
    shown = mask.any((1, 2))
    if not shown.any():
        return None
    height, width = mask.shape[1:]
    inside = ((points >= 0) & (points < 1)).all(-1)
    column = np.clip((points[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip((points[..., 1] * height).astype(int), 0, height - 1)
    hit = mask[np.arange(len(mask))[:, None], row, column] & inside
    return float(hit[shown].mean())


def object_share(mask: Array | None) -> float | None:
    """Return the mean share of the image that the object fills: what random points would hit.

    Images whose mask is empty are left out, as in `foreground_hits`.

    Args:
        mask: (N, H, W) bool, or None.

    Returns:
        In (0, 1]; None without masks, or when all are empty.

    Example:
        >>> object_share(np.array([[[True, False], [False, False]], [[False, False]] * 2]))
        0.25
    """
    if mask is None or not mask.any():
        return None
    by_image = mask.mean((1, 2))
    return float(by_image[by_image > 0].mean())
