"""Edge share: whether a method has learnt which of its keypoints belong together."""

from __future__ import annotations

import numpy as np

from kpbench.contracts.types import Keypoints
from kpbench.diagnosis.overlay import strong_edges


def edge_share(found: Keypoints) -> float | None:
    """Return the share of keypoints that touch a strong edge.

    An edge is strong when it weighs more than half of the strongest, as in the pictures
    (`strong_edges`). A keypoint without one hardly helps to complete an image, so nothing has
    taught it where to lie.

    In an untrained net all edges weigh about the same (AutoLink's, softplus(-4) each, differ by a
    tenth or two), and every keypoint would touch a strong one. Where more than half of all edges
    are strong none stands out, and there is no share. A tree on four keypoints or more has at most
    half.

    Args:
        found: with `graph`, (K, K) weights of the edges.

    Returns:
        In (0, 1]; None without a graph or an edge that stands out.

    Example:
        >>> graph = np.zeros((4, 4))
        >>> graph[0, 1] = graph[1, 0] = 1.0
        >>> edge_share(Keypoints(np.zeros((1, 4, 2)), graph=graph))
        0.5
    """
    edges = strong_edges(found)
    n_keypoints = int(found.points.shape[1])
    if not edges or 2 * len(edges) > n_keypoints * (n_keypoints - 1) / 2:
        return None
    return len(np.unique(edges)) / n_keypoints
