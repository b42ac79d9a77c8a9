"""Camera code: whether keypoints tell more than which of a few views they are in."""

from __future__ import annotations

import numpy as np

from kpbench.contracts.types import Array

CLUSTERS = 4
"""As many as a studio has cameras."""
STARTS = 10
"""Of k-means; the best counts."""
STILL = 1e-6
"""Of the image: keypoints that move less on average stand still."""


def camera_code(points: Array) -> dict[str, float]:
    """Return how much of the keypoints' variance a few clusters and directions explain.

    Keypoints that lie on the background stand still in the pictures of one camera: four clusters
    then explain nearly all of how they vary. So does a single direction where all keypoints move
    together, as with the place of the body.

    Args:
        points: (N, K, 2), (x, y) in [0, 1].

    Returns:
        Shares in [0, 1]: `camera_code` of 4 clusters, `camera_code_1` and `camera_code_3` of the
        first principal direction and of the first three. Empty for keypoints that stand still, and
        for so few images that clusters explain them all.

    Example:
        >>> views = np.arange(20) % 4
        >>> points = np.stack([views / 4, np.ones(20)], axis=1)[:, None]
        >>> {name: round(share, 6) for name, share in camera_code(points).items()}
        {'camera_code': 1.0, 'camera_code_1': 1.0, 'camera_code_3': 1.0}
    """
    rows = np.asarray(points, np.float64).reshape(len(points), -1)
    rows = rows - rows.mean(0)
    total = float((rows**2).sum())
    if len(rows) <= CLUSTERS or total <= rows.size * STILL**2:
        return {}
    along = np.linalg.eigvalsh(rows.T @ rows)[::-1]
    return {
        "camera_code": 1 - _within_clusters(rows) / total,
        "camera_code_1": min(1.0, float(along[0]) / total),
        "camera_code_3": min(1.0, float(along[:3].sum()) / total),
    }


def _within_clusters(rows: Array) -> float:
    """Return the sum of squared distances to the nearest of the best centres."""
    if len(np.unique(rows, axis=0)) <= CLUSTERS:
        return 0.0
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # another number of threads sums in another order
        found = KMeans(CLUSTERS, n_init=STARTS, random_state=0, algorithm="lloyd").fit(rows)
    return float(found.inertia_)
