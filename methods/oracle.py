"""A reference that is told the labels: the annotation itself, under which every error is 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kpbench.api import (
    FitContext,
    ImageSet,
    Keypoints,
    Labelled,
    LabelReader,
    MethodBase,
    Reference,
)
from kpbench.errors import ContractError


@dataclass
class Oracle(MethodBase):
    """Return the L annotated landmarks as keypoints; every evaluator must call them perfect."""

    name = "oracle"
    reference: ClassVar[Reference] = "other"
    task = "labels->2D"

    def fit(
        self, images: ImageSet | Labelled, *, n_keypoints: int, seed: int, context: FitContext
    ) -> None:
        """Learn nothing."""

    def predict(self, images: ImageSet) -> Keypoints:
        """Refuse: images alone hold no labels.

        Raises:
            ContractError: always.
        """
        raise ContractError(f"{self.name} reads labels; it cannot predict from images alone")

    def read(self, labelled: Labelled) -> Keypoints:
        """Return the landmarks."""
        return Keypoints(labelled.landmarks)


PLUGIN: LabelReader = Oracle()
