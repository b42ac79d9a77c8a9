"""Relative inverse depth as 16-bit distances.

The models here predict inverse depth up to an unknown scale and shift; `ImageSet.depth` holds
distances. So each map becomes pseudo distances of which the inverse is affine in the prediction:
whoever inverts and stretches them again, as the depth teacher does, has the model's map. MiDaS's
own tool writes its maps stretched image by image between minimum and maximum as well (`write_depth`
of github.com/isl-org/MiDaS, utils.py).
"""

from __future__ import annotations

import numpy as np

from kpbench.api import Array

FAR = 65535
"""The largest 16-bit distance."""
NEAR = 32768
"""Half of FAR. With 1/d spread over a range r, a step of d is a share of 1 / (d^2 r), most at NEAR:
1 / (NEAR (1 - NEAR / FAR)) of the map's range. NEAR = FAR / 2 makes that least: 1/16384."""
_FLAT = 1e-6
"""A map whose range is a smaller share of its values is flat: the rest is the rounding of 32-bit
floats, which must not be stretched to a relief."""


def pseudo_distance(inverse: Array, surface: Array | None = None) -> Array:
    """Return 16-bit distances whose inverse is affine in `inverse`, image by image.

    The smallest value of each image becomes 65535 and the largest 32768; rounding is off by at most
    1/32768 of the image's range. A flat image becomes 65535 throughout. The unit has no meaning.

    Args:
        inverse: (N, H, W) finite float, inverse depth of any scale and shift; near is large.
        surface: (N, H, W) bool; elsewhere the result is 0, "no surface". None: everywhere.

    Returns:
        (N, H, W) uint16.

    Example:
        >>> pseudo_distance(np.array([[[-2.0, 0.0, 2.0]]])).tolist()
        [[[65535, 43690, 32768]]]
    """
    found = np.zeros(inverse.shape, np.uint16)
    everywhere = np.ones(inverse.shape[1:], bool)
    for i, out in enumerate(found):
        shown = everywhere if surface is None else surface[i]
        values = inverse[i][shown].astype(np.float64)
        if not len(values):
            continue
        low, high = values.min(), values.max()
        flat = high - low <= _FLAT * max(abs(low), abs(high))
        share = np.zeros_like(values) if flat else (values - low) / (high - low)
        out[shown] = np.rint(1 / (1 / FAR + share * (1 / NEAR - 1 / FAR)))
    return found
