"""Tai-Chi-HD: labelled images of Siarohin et al. (ICPR 2020) and the videos they stem from.

Layout: landmark/taichi_{train,test}_gt.pkl (columns file_name, frame_number, value),
eval_images/taichi-256/{train,test}/<file_name>, taichi-test-masks/<file_name>, and for discovery
train/<video>/<frame>. The labels are OpenPose's, not a person's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench import Array, DataError, Rows, Source
from kpbench.data.holdout import held_out
from kpbench.files.folders import frames_in, names_in
from kpbench.files.pickles import read_frame

JOINTS = (
    *("nose", "neck", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist"),
    *("r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle"),
    *("r_eye", "l_eye", "r_ear", "l_ear"),
)
"""The 18 joints of OpenPose."""
SIDE = 256
"""Of the labelled images, and of the pixels that the labels count."""
MISSING = -1
"""Both coordinates of a joint without a label. 0 is a label."""


@dataclass(frozen=True)
class Taichi(Source):
    """People doing Tai Chi, 18 joints where they were seen.

    Attributes:
        split: "test": as published; "validation": a tenth of the 5,000 labelled training images is
            left out of the regression and stands in for the test images. Their names do not tell
            from which video they stem, so that validation shares videos with regression and
            discovery: a number on it is for choosing settings, and better than one on test.
    """

    split: str = "test"

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {"split": ("test", "validation")}
    upright: ClassVar[Sequence[tuple[int, int]]] = ((0, 8), (0, 11), (1, 9), (1, 12))

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts: videos, and train and test or train_fold and validation."""
        train = "train" if self.split == "test" else "train_fold"
        return {"discovery": "videos", "regression": train, "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List the labelled images by name, or the frames by video and number.

        Raises:
            DataError: an annotation or the folder of videos is missing or malformed.
        """
        if part == "videos":
            return _videos(root)
        listed = "test" if part == "test" else "train"
        names, values = _annotation(root / "landmark" / f"taichi_{listed}_gt.pkl")
        visible = (values != MISSING).all(2)
        masks = [f"taichi-test-masks/{name}" for name in names]
        rows = Rows(
            files=np.array([f"eval_images/taichi-256/{listed}/{name}" for name in names]),
            landmarks=np.where(visible[..., None], values, 0.0),
            visible=visible,
            masks=np.array(masks) if listed == "test" else None,
            sizes=np.full((len(names), 2), SIDE),
        )
        if part == listed:
            return rows
        chosen = held_out(rows.files)
        return rows[chosen if part == "validation" else ~chosen]

    def labels(self, root: Path, rows: Rows, i: int, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return the joints (18, 2) in pixels, and where they were seen.

        Raises:
            DataError: the image is not 256 x 256.
        """
        if size != (SIDE, SIDE):
            raise DataError(
                f"{root / str(rows.files[i])} has {size[0]} x {size[1]} pixels, but the labels "
                f"are for {SIDE} x {SIDE}"
            )
        return super().labels(root, rows, i, size)


def _annotation(path: Path) -> tuple[Array, Array]:
    """Return file names (N,) and joints (N, 18, 2) in pixels, sorted by file name."""
    frame = read_frame(path)
    if missing := {"file_name", "value"} - set(frame):
        raise DataError(f"{path}: has no column {min(missing)}; it has: {', '.join(frame)}")
    names, values = frame["file_name"], frame["value"]
    n = len(names)
    if names.dtype.kind != "U" or values.dtype.kind not in "fiu" or values.shape != (n, 18, 2):
        raise DataError(
            f"{path}: file_name should be text and value 18 pairs of numbers in every row"
        )
    if len(np.unique(names)) < n:
        raise DataError(f"{path}: names an image twice")
    half = ((values == MISSING).any(2) & (values != MISSING).any(2)).any(1)
    if half.any():
        raise DataError(f"{path}: {names[half.argmax()]} has a joint of which one coordinate is -1")
    order = np.argsort(names)  # as Siarohin's evaluate.py
    return names[order], values[order].astype(np.float64)


def _videos(root: Path) -> Rows:
    """List the frames of all training videos; a folder's name begins with the video's."""
    frames: list[str] = []
    groups: list[str] = []
    for folder in names_in(root / "train"):
        path = root / "train" / folder
        if not path.is_dir():
            continue
        names = frames_in(path, ".png")
        frames += [f"train/{folder}/{name}.png" for name in names]
        groups += [folder.partition("#")[0]] * len(names)
    return Rows(files=np.array(frames, dtype=str), groups=np.array(groups, dtype=str))
