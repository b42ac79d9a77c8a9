"""Validation data held out of a training set by identity, the same on every machine."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from kpbench.api import Array

SHARE = 0.1
"""Of the identities that are held out; StableKeypoints tunes on 10 % of training, too."""


def held_out(identities: Array) -> Array:
    """Return which rows are held out, (N,) bool: all of a tenth of the identities, by their hash.

    Args:
        identities: (N,) str, what must not be shared, e.g. the person or garment of each image.

    Example:
        >>> held_out(np.array(["a", "b", "a", "c"])).tolist()
        [False, False, False, True]
    """
    names = sorted(set(identities.tolist()), key=_hash)
    return np.isin(identities, names[: math.ceil(SHARE * len(names))])


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
