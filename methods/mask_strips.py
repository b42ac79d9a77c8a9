"""A reference that is told the mask: the centres of K strips of it, from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kpbench import Array, Method

from .mask_centroid import MaskReference


@dataclass
class MaskStrips(MaskReference):
    """The outline of the object, read off row by row: equal shares of its pixels."""

    name = "mask_strips"

    def points(self, places: Array) -> Array:
        """Return the mean of each K-th of the pixels; of all where there are fewer than K."""
        if len(places) < self._k:
            return np.asarray(places.mean(0, keepdims=True))
        return np.stack([part.mean(0) for part in np.array_split(places, self._k)])


PLUGIN: Method = MaskStrips()
