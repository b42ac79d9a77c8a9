"""Left/right ambiguity: swap lists, and the papers' rules for exchanging left and right labels.

Nothing here writes into its arguments; published code swaps labels in place, which changes them
for whatever is computed next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kpbench.contracts.types import Array
from kpbench.scoring.metrics import l2_errors

Pairs = tuple[tuple[int, int], ...]
"""(left, right) landmark indices."""

TOLERATED = 10
"""The published loops (AutoLink `h36m.py`) stop once at most this many samples would change."""
MAX_ROUNDS = 100
"""The published loop has no bound; with refits it need not converge."""
FRONT_FACING = 9
"""BKinD: a person faces the camera when so many left joints lie right of their counterparts."""


def mirrored_pairs(names: Sequence[str]) -> Pairs:
    """Return the (left, right) pairs of names that differ in the prefix alone.

    The prefix is l_ or r_, or left_ or right_.

    Example:
        >>> mirrored_pairs(["nose", "r_eye", "l_eye", "left_wing", "right_wing"])
        ((2, 1), (3, 4))
    """
    at = {name: i for i, name in enumerate(names)}
    found = []
    for name, i in at.items():
        side, _, rest = name.partition("_")
        other = {"l": f"r_{rest}", "left": f"right_{rest}"}.get(side)
        if other in at:
            found.append((i, at[other]))
    return tuple(found)


def permutation(pairs: Pairs, n_landmarks: int) -> Array:
    """Return p such that landmarks[:, p] has left and right exchanged, (L,) int.

    Pairs are applied in order, as the papers' code does: with a faulty list, which names a
    landmark twice, the result is not a permutation.

    Example:
        >>> permutation(((0, 2),), 4).tolist()
        [2, 1, 0, 3]
    """
    order = np.arange(n_landmarks)
    for a, b in pairs:
        order[a], order[b] = b, a
    return order


def exchange_back_facing(landmarks: Array, pairs: Pairs) -> Array:
    """Return the labels with left and right exchanged for people seen from behind.

    Source: BKinD (Sun et al., CVPR 2022), `dataloader/simple_human36m_dataset.py`.

    Args:
        landmarks: (N, L, 2).
        pairs: (left, right) indices.
    """
    left, right = np.array(pairs).T
    in_front = (landmarks[:, left, 0] > landmarks[:, right, 0]).sum(1)
    return exchange(landmarks, permutation(pairs, landmarks.shape[1]), in_front < FRONT_FACING)


class Exchanged:
    """Labels of N images, left and right exchanged in some of them; holds one byte an image.

    The count matters, not only its parity: with a faulty list two exchanges are not none.

    Args:
        n_images: N.
        order: (L,) of `permutation`.
    """

    def __init__(self, n_images: int, order: Array) -> None:
        """Start with the labels as they are."""
        self.order = order
        self._times = np.zeros(n_images, np.uint8)
        self._orders = [np.arange(len(order))]

    def labels(self, landmarks: Array, rows: slice) -> Array:
        """Return the labels of some images, exchanged as often as they were.

        Args:
            landmarks: (n, L, 2), as annotated.
            rows: which of the N images these are.
        """
        times = self._times[rows]
        labels = landmarks
        for count in np.unique(times[times > 0]).tolist():
            labels = exchange(labels, self._orders[count], times == count)
        return labels

    def accept(self, closer: Array) -> None:
        """Exchange the labels of the images that are marked, (N,) bool."""
        self._times += closer
        while len(self._orders) <= self._times.max():
            self._orders.append(self._orders[-1][self.order])


def settle(exchanged: Exchanged, closer: Callable[[], Array]) -> int:
    """Exchange left and right until the labels settle; with a fit in `closer` this is EM.

    Source: AutoLink (He et al., NeurIPS 2022), `datasets/h36m.py`, on train and on test labels;
    StableKeypoints (Hedlin et al., CVPR 2024), `keypoint_regressor.py`, on train labels.

    Args:
        exchanged: the labels; changed here.
        closer: returns in which images the exchange of the labels, as they then are, is closer to
            the prediction, (N,) bool. Labels stay as they are when that is so in at most
            `TOLERATED` images.

    Returns:
        The number of images still changing after `MAX_ROUNDS`, 0 when settled.
    """
    changed = 0
    for _ in range(MAX_ROUNDS):
        found = closer()
        changed = int(found.sum())
        if changed <= TOLERATED:
            return 0
        exchanged.accept(found)
    return changed


def exchange(landmarks: Array, order: Array, which: Array) -> Array:
    """Return a copy with left and right exchanged in some images.

    Args:
        landmarks: (N, L, 2).
        order: (L,) of `permutation`.
        which: (N,) bool.
    """
    exchanged = landmarks.copy()
    exchanged[which] = landmarks[which].take(order, axis=1)
    return exchanged


def exchange_is_closer(predicted: Array, landmarks: Array, order: Array) -> Array:
    """Return in which images the exchanged labels are closer to the prediction, (N,) bool.

    Args:
        predicted: (N, L, 2).
        landmarks: (N, L, 2).
        order: (L,) of `permutation`.
    """
    exchanged = landmarks.take(order, axis=1)
    return np.asarray(mean_l2(predicted, landmarks) > mean_l2(predicted, exchanged))


def nearer_estimate(predicted: Array, landmarks: Array, order: Array) -> Array:
    """Return the prediction or its exchange, whichever is closer to the label, (N, L, 2).

    Source: StableKeypoints (Hedlin et al., CVPR 2024), `eval.py`, orientation_invariant.

    Args:
        predicted: (N, L, 2).
        landmarks: (N, L, 2).
        order: (L,) of `permutation`.
    """
    closer = mean_l2(predicted.take(order, axis=1), landmarks) < mean_l2(predicted, landmarks)
    return exchange(predicted, order, closer)


def mean_l2(predicted: Array, landmarks: Array) -> Array:
    """Return the mean distance over the landmarks of each image, (N,)."""
    return np.asarray(l2_errors(predicted, landmarks).mean(1))
