"""Left/right ambiguity: swap lists, and the papers' rules for exchanging left and right labels.

Nothing here writes into its arguments; published code swaps labels in place, which changes them
for whatever is computed next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kpbench.metrics import l2_errors
from kpbench.types import Array

Pairs = tuple[tuple[int, int], ...]
"""(left, right) landmark indices."""

TOLERATED = 10
"""The published loops (AutoLink `h36m.py`) stop once at most this many samples would change."""
MAX_ROUNDS = 100
"""The published loop has no bound; with refits it need not converge."""
FRONT_FACING = 9
"""BKinD: a person faces the camera when so many left joints lie right of their counterparts."""


def mirrored_pairs(names: Sequence[str]) -> Pairs:
    """Return the (left, right) pairs of names that differ in the prefix l_ or r_ alone.

    Example:
        >>> mirrored_pairs(["nose", "r_eye", "l_eye"])
        ((2, 1),)
    """
    names = list(names)
    left = [name for name in names if name.startswith("l_")]
    return tuple((names.index(name), names.index(f"r_{name[2:]}")) for name in left)


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
    exchanged = landmarks[:, permutation(pairs, landmarks.shape[1])]
    return np.where((in_front < FRONT_FACING)[:, None, None], exchanged, landmarks)


def exchange_towards(predicted: Array, landmarks: Array, order: Array) -> tuple[Array, int]:
    """Return the labels, exchanged where that is closer to the prediction, and how many were.

    Labels stay as they are when at most `TOLERATED` images would change.

    Args:
        predicted: (N, L, 2).
        landmarks: (N, L, 2).
        order: (L,) of `permutation`.
    """
    exchanged = landmarks[:, order]
    closer = mean_l2(predicted, landmarks) > mean_l2(predicted, exchanged)
    changed = int(closer.sum())
    if changed <= TOLERATED:
        return landmarks, 0
    return np.where(closer[:, None, None], exchanged, landmarks), changed


def settle(landmarks: Array, order: Array, predict: Callable[[Array], Array]) -> tuple[Array, int]:
    """Exchange left and right until the labels settle; with a fit in `predict` this is EM.

    Source: AutoLink (He et al., NeurIPS 2022), `datasets/h36m.py`, on train and on test labels;
    StableKeypoints (Hedlin et al., CVPR 2024), `keypoint_regressor.py`, on train labels.

    Args:
        landmarks: (N, L, 2).
        order: (L,) of `permutation`.
        predict: labels (N, L, 2) -> predicted landmarks (N, L, 2).

    Returns:
        The labels, and the number of images still changing after `MAX_ROUNDS`, 0 when settled.
    """
    changed = 0
    for _ in range(MAX_ROUNDS):
        landmarks, changed = exchange_towards(predict(landmarks), landmarks, order)
        if changed == 0:
            break
    return landmarks, changed


def nearer_estimate(predicted: Array, landmarks: Array, order: Array) -> Array:
    """Return the prediction or its exchange, whichever is closer to the label, (N, L, 2).

    Source: StableKeypoints (Hedlin et al., CVPR 2024), `eval.py`, orientation_invariant.

    Args:
        predicted: (N, L, 2).
        landmarks: (N, L, 2).
        order: (L,) of `permutation`.
    """
    exchanged = predicted[:, order]
    closer = mean_l2(exchanged, landmarks) < mean_l2(predicted, landmarks)
    return np.where(closer[:, None, None], exchanged, predicted)


def mean_l2(predicted: Array, landmarks: Array) -> Array:
    """Return the mean distance over the landmarks of each image, (N,)."""
    return np.asarray(l2_errors(predicted, landmarks).mean(1))
