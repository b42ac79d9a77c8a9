"""The floor: K fixed points, whatever the image, so that the regressor predicts the mean shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kpbench.api import Array, FitContext, ImageSet, Keypoints, Method, MethodBase


@dataclass
class MeanShape(MethodBase):
    """Predict the same ring of K points for every image."""

    name = "mean_shape"
    reference = "floor"
    _points: Array = field(default_factory=lambda: np.zeros((0, 2)), init=False, repr=False)

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Place the ring; ignores the images."""
        angle = np.linspace(0, 2 * np.pi, n_keypoints, endpoint=False)
        self._points = 0.5 + 0.25 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def predict(self, images: ImageSet) -> Keypoints:
        """Return the ring once per image."""
        return Keypoints(np.repeat(self._points[None], len(images), axis=0))

    def state(self) -> dict[str, Array]:
        """Return the ring."""
        return {"points": self._points}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take the ring back."""
        self._points = state["points"]


PLUGIN: Method = MeanShape()
