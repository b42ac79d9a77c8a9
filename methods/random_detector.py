"""A floor: AutoLink's detector with random weights, never trained."""

from __future__ import annotations

from dataclasses import dataclass

from kpbench.api import FitContext, ImageSet, Method

from ._detectors import DetectorMethod


@dataclass
class RandomDetector(DetectorMethod):
    """What the architecture gives away: a method must beat it to have learnt anything."""

    name = "random_detector"

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Draw the weights; ignores the images."""
        from ._autolink_training import random_detector

        self._detector = random_detector(self, n_keypoints, seed).to(context.device)


PLUGIN: Method = RandomDetector()
