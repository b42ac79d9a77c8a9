"""A floor: AutoLink's detector with random weights, never trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kpbench import FitContext, ImageSet, Method, NetworkMethod
from kpbench.nn import Detection, Detector, initialise

from .autolink import RECIPES as TRAINED
from .autolink import check_sizes

RECIPES: Mapping[str, Mapping[str, Any]] = {
    recipe: {name: values[name] for name in ("image_size", "detector_width") if name in values}
    for recipe, values in TRAINED.items()
}
"""AutoLink's, so that the architecture is the same."""


@dataclass
class RandomDetector(NetworkMethod):
    """What the architecture gives away: a method must beat it to have learnt anything.

    Attributes:
        detector_width: channels after the first block of the detector.
    """

    name = "random_detector"
    reference = "baseline"
    recipes = RECIPES
    told_by = "head.bias"

    detector_width: int = 64

    def check(self, n_keypoints: int) -> None:
        """Reject what the detector cannot be built with; see `check_sizes`."""
        check_sizes(self, n_keypoints)

    def network(self, n_keypoints: int) -> Detector:
        """Return the detector with random weights."""
        detector = Detector(n_keypoints, self.detector_width)
        initialise(detector)
        return detector

    def keypoints(self, network: Detector, images: Tensor) -> Detection:
        """Detect keypoints as AutoLink does."""
        found: Detection = network(images)
        return found

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Draw the weights; ignores the images."""
        self.keep(self.built(n_keypoints, seed).to(context.device), n_keypoints)


PLUGIN: Method = RandomDetector()
