"""Which labelled images test, so that no video or folder is on both sides unless that is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from kpbench.api import Array
from kpbench.data.projects.project import folder_of
from kpbench.data.source import WITHIN, Rows
from kpbench.errors import InvalidInputError

SHARE = 1 / 3
"""Of the labelled images that test, about."""
SPLITS = ("video", "folder", "frame")


def units(rows: Rows, by: str) -> Array:
    """Return what is kept on one side, (N,) str: the video, folder or file of each row.

    An image inside of a file has no folder: its video takes the place.
    """
    assert rows.groups is not None
    if by == "video":
        return rows.groups
    files = [str(name) for name in rows.files]
    if by == "frame":
        return np.array(files, dtype=str)
    pairs = zip(files, rows.groups.tolist(), strict=True)
    return np.array([video if WITHIN in f else folder_of(f) for f, video in pairs], dtype=str)


def chosen_to_test(rows: Rows, by: str, globs: Sequence[str] = ()) -> Array:
    """Return which rows test, (N,) bool.

    Args:
        rows: the labelled ones; `groups` is the video.
        by: one of `SPLITS`: units in the order of the hashes of their names test, until they make a
            third of the images.
        globs: patterns of files or videos that test instead.

    Raises:
        InvalidInputError: nothing would be on one of the sides; says what to do.
    """
    if globs:
        found = matching(rows, globs)
        if not found.any() or found.all():
            which = "all" if found.any() else "none"
            raise InvalidInputError(
                f"{which} of {len(rows)} labelled images match {', '.join(globs)}; one is called "
                f"{rows.files[0]}"
            )
        return found
    names, where, counts = np.unique(units(rows, by), return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise InvalidInputError(
            f"all {len(rows)} labelled images are of one {by}, {str(names[0])!r}; choose --split "
            "frame, and mind that images of one recording are then on both sides"
        )
    hashes = [hashlib.sha256(str(name).encode()).digest() for name in names]
    order = sorted(range(len(names)), key=hashes.__getitem__)
    before = np.cumsum([0, *(counts[i] for i in order)])
    # the number of units whose images come nearest to a third, one at least and not all
    best = int(np.abs(before[1:-1] - SHARE * len(rows)).argmin()) + 1
    return np.asarray(np.isin(where, order[:best]))


def matching(rows: Rows, globs: Sequence[str]) -> Array:
    """Return which rows' file or video matches a pattern, (N,) bool."""
    groups = rows.files if rows.groups is None else rows.groups
    return np.array(
        [
            any(fnmatchcase(str(name), glob) for glob in globs for name in pair)
            for pair in zip(rows.files, groups, strict=True)
        ],
        dtype=bool,
    )
