"""A reference that is told the mask: the object's centre and two corners of its box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kpbench import Array, Method

from .mask_centroid import MaskReference


@dataclass
class MaskBox(MaskReference):
    """Where the object is and how large, and nothing else of its pose."""

    name = "mask_box"

    def points(self, places: Array) -> Array:
        """Return the mean, and the corners at the upper left and the lower right."""
        return np.stack([places.mean(0), places.min(0), places.max(0)])


PLUGIN: Method = MaskBox()
