"""A reference that is told the mask: one point, the centre of the object's pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from kpbench import Array, FitContext, ImageSet, Keypoints, Method, MethodBase
from kpbench.api import Reference


@dataclass
class MaskReference(MethodBase):
    """What masks alone give away, without any training; a method that finds parts must beat it.

    An image whose mask is empty gets the centre of the image.
    """

    inputs = ("mask",)
    reference: ClassVar[Reference] = "other"
    _k: int = field(default=0, init=False, repr=False, compare=False)

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Remember K."""
        self._k = n_keypoints

    @abstractmethod
    def points(self, places: Array) -> Array:
        """Return some points, (P, 2), of the places (n, 2) of an object's pixels, top row first."""

    def predict(self, images: ImageSet) -> Keypoints:
        """Return the points of each mask, again and again until there are K."""
        mask = images.restricted(("mask",)).mask
        assert mask is not None
        height, width = mask.shape[1:]
        found = []
        for shown in mask:
            rows, columns = np.nonzero(shown)
            places = np.stack([(columns + 0.5) / width, (rows + 0.5) / height], -1)
            points = self.points(places if len(places) else np.full((1, 2), 0.5))
            found.append(np.resize(points, (self._k, 2)))
        return Keypoints(np.stack(found))

    def state(self) -> dict[str, Array]:
        """Return K."""
        return {"k": np.array(self._k)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take K back."""
        self._k = int(state["k"])


@dataclass
class MaskCentroid(MaskReference):
    """Where the object is, and nothing of its pose."""

    name = "mask_centroid"
    reference = "baseline"

    def points(self, places: Array) -> Array:
        """Return the mean."""
        return np.asarray(places.mean(0, keepdims=True))


PLUGIN: Method = MaskCentroid()
