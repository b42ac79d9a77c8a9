"""The ceiling: the annotation itself. It reads labels, so it is shown but never ranked."""

from __future__ import annotations

from dataclasses import dataclass

from kpbench.api import (
    FitContext,
    ImageSet,
    Keypoints,
    Labelled,
    LabelReader,
    MethodBase,
)
from kpbench.errors import ContractError


@dataclass
class Oracle(MethodBase):
    """Return the L annotated landmarks as keypoints; every evaluator must call them perfect."""

    name = "oracle"
    reference = "ceiling"
    task = "labels->2D"

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Learn nothing."""

    def predict(self, images: ImageSet) -> Keypoints:
        """Refuse: images alone hold no labels.

        Raises:
            ContractError: always.
        """
        raise ContractError("the oracle reads labels; it cannot predict from images alone")

    def read(self, labelled: Labelled) -> Keypoints:
        """Return the landmarks."""
        return Keypoints(labelled.landmarks)


PLUGIN: LabelReader = Oracle()
