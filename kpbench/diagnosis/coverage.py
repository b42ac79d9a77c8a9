"""Joint coverage: the share of joints that have a keypoint near them."""

from __future__ import annotations

import numpy as np

from kpbench.contracts.types import Array

RADIUS = 0.05
"""Of the image's side: how far from a joint its keypoint may lie."""


def joint_coverage(points: Array, landmarks: Array, visible: Array) -> float | None:
    """Return the share of visible joints with a keypoint within 5 % of the image's side.

    Any keypoint may cover a joint, and one may cover several: it is asked whether the keypoints
    reach the joints, not whether each follows one. Blobs at the centre of a body leave its
    extremities bare.

    Args:
        points: (N, K, 2) keypoints, (x, y) in [0, 1].
        landmarks: (N, L, 2) joints, likewise.
        visible: (N, L) bool; joints without a label do not count.

    Returns:
        In [0, 1]; None when no joint is visible.

    Example:
        >>> joints = np.array([[[0.2, 0.2], [0.5, 0.5], [0.8, 0.2]]])
        >>> joint_coverage(np.array([[[0.23, 0.2]]]), joints, np.array([[True, True, False]]))
        0.5
    """
    if not visible.any():
        return None
    nearest = [
        np.linalg.norm(points - landmarks[:, joint, None], axis=-1).min(1)
        for joint in range(landmarks.shape[1])  # one at a time: memory grows with N x K alone
    ]
    covered = np.stack(nearest, axis=1) <= RADIUS
    return float(covered[visible].mean())
