"""The task image->2D: K keypoints in an image, which a regression takes to its landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kpbench.contracts.method import Method
from kpbench.contracts.task import Task
from kpbench.contracts.types import Array, ImageSet, Keypoints, Labelled, Signal, Splits
from kpbench.errors import InvalidInputError
from kpbench.running.checks import check_data, toy_labelled
from kpbench.running.measure import WAYS, measure, predict


class Image2D:
    """Discovery is a set of unlabelled images, a prediction `Keypoints`; see `Task`."""

    name = "image->2D"
    signals: Sequence[Signal] = ("mask",)

    def accepts(self, method: Method) -> bool:
        """Return whether the method finds keypoints in images, or reads them off the labels."""
        return method.task in WAYS

    def supervision(self, method: Method) -> str:
        """Return what the method is told besides unlabelled RGB images."""
        signals = [f"{signal} (input)" for signal in method.inputs]
        signals += [f"{s} (training)" for s in method.needs if s not in method.inputs]
        return WAYS[method.task].told or ", ".join(signals) or "none"

    def discovery(self, splits: Splits, method: Method, who: str) -> ImageSet | Labelled:
        """Return the images to discover keypoints in; to who reads labels, those with labels.

        Raises:
            InvalidInputError: there are fewer than two, or a signal is not there.
        """
        if len(splits.discovery) < 2:
            raise InvalidInputError(
                f"{who} has {len(splits.discovery)} image to discover keypoints in; "
                "at least 2 are needed"
            )
        if not WAYS[method.task].sees:
            return splits.regression
        return splits.discovery.restricted(method.needs)

    predict = staticmethod(predict)
    measure = staticmethod(measure)
    check_data = staticmethod(check_data)

    def toys(self) -> Splits:
        """Return small images of a disc."""
        labelled = toy_labelled()
        return Splits(labelled.images, labelled, labelled)

    def numbers(self, prediction: Keypoints) -> Array:
        """Return the points, (N, K, 2)."""
        return np.asarray(prediction.points)


IMAGE_2D: Task = Image2D()
