"""A folder in Human3.6M's layout that both sides read, of rendered people."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

DISTINCT = {"n_train": 96, "n_test": 24}
"""People that are rendered; all further frames are the same files under other names."""
_KINDS = {"WithBackground": ".jpg", "BackgroudMask": ".png", "Landmarks": ".mat"}


def write_tree(root: Path, copies: int) -> None:
    """Write frames of 128 x 128 pixels with masks and 32 joints.

    The people are those of `people_background` at `smoke`, enlarged. Files and annotation cost what
    real ones cost; the file system's cache holds them on both sides.

    Args:
        root: the folder, made here.
        copies: how often each of the 96 frames to learn from and 24 to test on is there.
    """
    from tests.protocols.trees import human36m

    human36m.write(root, **DISTINCT)
    frames = sorted(root.glob("S*/WithBackground/*/*.jpg"))
    for frame in frames:
        for copy in range(1, copies):
            # numbers beyond those of the distinct frames
            name = f"{10**6 * copy + int(frame.stem)}"
            for kind, suffix in _KINDS.items():
                folder = frame.parents[2] / kind / frame.parent.name
                _link(folder / f"{frame.stem}{suffix}", folder / f"{name}{suffix}")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
