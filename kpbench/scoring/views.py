"""What an evaluator sees of detections: its joints, its rule of visibility, its coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.scoring.detections import Detections, Part
from kpbench.scoring.flips import exchange_back_facing
from kpbench.scoring.metrics import interocular_distances
from kpbench.scoring.spec import EvaluatorSpec


@dataclass(frozen=True)
class Seen:
    """Consecutive images in the coordinates of an evaluator.

    Attributes:
        part: keypoints, landmarks and visibility; the landmarks are the scored ones alone.
        origin: (n, 2) where the coordinates are 0, in [0, 1] of the image.
        unit: (n, 2) how long 1 is in x and y, likewise.
    """

    part: Part
    origin: Array
    unit: Array

    def in_image(self, points: Array) -> Array:
        """Return points (n, L, 2) of the evaluator's coordinates in [0, 1] of the image."""
        return np.asarray(points * self.unit[:, None] + self.origin[:, None])


def seen(spec: EvaluatorSpec, data: Detections, *, fit: bool) -> Iterator[Seen]:
    """Yield detections part by part as the evaluator sees them.

    Args:
        spec: the evaluator.
        data: the detections.
        fit: for the fit of the regression, where `train_flip` may exchange labels by facing.

    Raises:
        UndefinedScoreError: the eyes coincide where coordinates are divided by their distance.
        InvalidInputError: `data` lacks what `spec.needs`.
    """
    for name in spec.needs:
        if getattr(data, name) is None:
            raise InvalidInputError(
                f"{spec.name} needs the {name} of the images, besides keypoints and landmarks"
            )
    for part in data.parts():
        origin, unit = _coordinates(spec, part)
        landmarks, visible = part.landmarks, part.visible
        if fit and spec.train_flip == "back_facing":
            landmarks = exchange_back_facing(landmarks, spec.pairs)
        if spec.joints is not None:
            landmarks, visible = landmarks[:, spec.joints], visible[:, spec.joints]
        if spec.rows == "positive":
            visible = visible & (landmarks > 0).all(2)
        keypoints = part.keypoints
        if spec.frame != "image":
            keypoints = (keypoints - origin[:, None]) / unit[:, None]
            landmarks = (landmarks - origin[:, None]) / unit[:, None]
        chosen = replace(part, keypoints=keypoints, landmarks=landmarks, visible=visible)
        yield Seen(chosen, origin, unit)


def _coordinates(spec: EvaluatorSpec, part: Part) -> tuple[Array, Array]:
    n = len(part.keypoints)
    origin, unit = np.zeros((n, 2)), np.ones((n, 2))
    if spec.frame == "box":
        assert part.boxes is not None
        return part.boxes[:, :2], part.boxes[:, 2:]
    if spec.frame == "isotropic":
        assert part.aspect is not None
        unit[:, 0] = 1 / part.aspect
    if spec.frame == "eyes":
        assert spec.eyes is not None
        distance = interocular_distances(part.landmarks, spec.eyes)
        if count := int((distance == 0).sum()):
            raise UndefinedScoreError(
                f"the eyes coincide in {count} of the images {part.rows.start} to "
                f"{part.rows.stop - 1}, so {spec.name} divides by zero; correct the landmarks or "
                "leave these images out"
            )
        unit[:] = distance[:, None]
    return origin, unit
