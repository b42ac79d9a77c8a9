"""A reference that is told the labels but not which side is left: else as `joint_ceiling`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kpbench import LabelReader, mirrored_pairs
from kpbench.api import Array

from .joint_ceiling import JointCeiling


@dataclass
class JointCeilingUnsided(JointCeiling):
    """As good as K keypoints can be where left and right look alike.

    The two joints of each left/right pair are ordered by x in the image, not by anatomy, after
    those without a label are guessed. Pairs are found by the landmarks' names; without such names
    this is `joint_ceiling`.
    """

    name = "joint_ceiling_unsided"
    reference = "other"

    def told(self, joints: Array, names: Sequence[str]) -> Array:
        """Return the joints, in each pair the one further to the left of the image first."""
        for pair in mirrored_pairs(names):
            both = joints[:, pair]
            order = both[..., 0].argsort(1, kind="stable")
            joints[:, pair] = np.take_along_axis(both, order[..., None], 1)
        return joints


PLUGIN: LabelReader = JointCeilingUnsided()
