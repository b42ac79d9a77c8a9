"""Human3.6M as 128 x 128 crops ("Simplified Human3.6M", Zhang et al., CVPR 2018).

Layout: S{1,5,6,7,8,9,11}/{WithBackground,BackgroudMask,Landmarks}/{Action[ n].camera}/{frame}.{jpg,
png,mat}, and the missing n in BackgroudMask is theirs. A frame's name is its number without leading
zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench import Array, DataError, Rows, Source
from kpbench.files.folders import frames_in, names_in
from kpbench.files.matlab import read_mat

_LEG = ("hip", "knee", "ankle", "ball", "toes")
_ARM = ("collar", "shoulder", "elbow", "wrist", "wrist2", "thumb", "little", "little2")
JOINTS = (
    "hip",
    *(f"r_{name}" for name in _LEG),
    *(f"l_{name}" for name in _LEG),
    *("pelvis", "thorax", "neck", "head", "head_back"),
    *(f"l_{name}" for name in _ARM),
    *(f"r_{name}" for name in _ARM),
)
"""The 32 joints, as in BKinD's `human36m_skeleton.py`. Both collars lie on the neck, wrist2 on the
wrist."""
EXTREMITIES = ("head_back", "l_wrist", "r_wrist", "l_ankle", "r_ankle")
"""Joint 15, `head_back`, is what most code calls the top of the head."""
UPRIGHT = ((14, 0), (0, 3), (0, 8))
"""The head is above the hip, and the hip above both ankles."""

ACTIVITIES = ("Directions", "Discussion", "Posing", "Waiting", "Greeting", "Walking")
PUBLISHED = {"discovery": 796_648, "regression": 796_648, "test": 87_975}
"""Images of six subjects and of the seventh, in StableKeypoints (Hedlin et al., 2024), 4.1."""

_FOLD = ("S1", "S5", "S6", "S7", "S8")
SUBJECTS: Mapping[str, Sequence[str]] = {
    "train": (*_FOLD, "S9"),
    "test": ("S11",),
    "train_fold": _FOLD,
    "validation": ("S9",),
    "bkind": ("S9", "S11"),
}
"""Who is in which part; `bkind` is the test part of Sun et al., CVPR 2022."""
GRAY = 128
"""The byte next to 0 of [-1, 1], which lies between 127 and 128."""


@dataclass(frozen=True)
class Human36m(Source):
    """Crops of people doing six things, 32 joints.

    Attributes:
        background: "image": as it was taken; "gray": replaced by mid-gray (AutoLink multiplies by
            the mask after mapping to [-1, 1]); "black": replaced by black (StableKeypoints,
            KeypointGAN); "black_unscaled": the image in [0, 1] times the mask in 0 and 255, as
            StableKeypoints computes it from 8-bit masks; all of the person that is not quite black
            exceeds 1, so here it is white.
        activities: "six": folders of exactly the six; "prefix": folders whose name begins with one
            of them, as all papers' loaders choose, by which WalkingDog of S1 is walking.
        split: "test": train on S1, 5, 6, 7, 8, 9, test on S11; "validation": train without S9, and
            S9 instead of the test images; "bkind": train without S9, test on S9 and S11.
    """

    background: str = "image"
    activities: str = "six"
    split: str = "test"

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "background": ("image", "gray", "black", "black_unscaled"),
        "activities": ("six", "prefix"),
        "split": ("test", "validation", "bkind"),
    }
    upright: ClassVar[Sequence[tuple[int, int]]] = UPRIGHT

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts, keys of `SUBJECTS`."""
        train = "train" if self.split == "test" else "train_fold"
        return {"discovery": train, "regression": train, "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List the frames, by subject, folder and number.

        Raises:
            DataError: a folder is missing or the name of a frame no number; names it.
        """
        frames: list[str] = []
        masks: list[str] = []
        groups: list[str] = []
        activities: list[str] = []
        for subject in SUBJECTS[part]:
            mask = _mask_folder(root / subject)
            for folder in names_in(root / subject / "WithBackground"):
                activity = activity_of(folder, self.activities)
                if activity is None:
                    continue
                names = frames_in(root / subject / "WithBackground" / folder, ".jpg")
                frames += [f"{subject}/WithBackground/{folder}/{name}.jpg" for name in names]
                masks += [f"{subject}/{mask}/{folder}/{name}.png" for name in names]
                groups += [subject] * len(names)
                activities += [activity] * len(names)
        files = np.array(frames, dtype=str)
        return Rows(
            files=files,
            groups=np.array(groups, dtype=str),
            activities=np.array(activities, dtype=str),
            masks=np.array(masks, dtype=str),
            labels=np.array([label_file(name) for name in frames], dtype=str),
        )

    def labels(self, root: Path, rows: Rows, i: int, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return the joints (32, 2) in pixels, and that all of them are there.

        Raises:
            DataError: the file is missing or does not hold 32 joints.
        """
        assert rows.labels is not None
        path = root / str(rows.labels[i])
        found = read_mat(path, "keypoints_2d")["keypoints_2d"]
        if not isinstance(found, np.ndarray) or found.shape != (len(JOINTS), 2):
            raise DataError(f"{path}: keypoints_2d is no array of 32 rows and columns")
        # stored as (row, column) in [0, 1]
        return found[:, ::-1] * np.array(size, float), np.ones(len(JOINTS), bool)

    def finish(self, image: Array, mask: Array | None) -> Array:
        """Return the image with its background replaced; see `background`."""
        if self.background == "image" or mask is None:
            return image
        if self.background == "black_unscaled":
            return np.where(mask[..., None] & (image > 0), np.uint8(255), np.uint8(0))
        fill = np.uint8(GRAY if self.background == "gray" else 0)
        return np.where(mask[..., None], image, fill)


def activity_of(folder: str, rule: str) -> str | None:
    """Return which of `ACTIVITIES` a folder shows, or None.

    Args:
        folder: name such as "Walking 1.54138969" or "Walking-1".
        rule: "six" or "prefix"; see `Human36m.activities`. Case does not matter.

    Example:
        >>> activity_of("walking 1.54138969", "six"), activity_of("WalkingDog.54138969", "six")
        ('Walking', None)
    """
    words = re.match("[a-z]*", folder.lower())
    assert words is not None
    for activity in ACTIVITIES:
        exact = words[0] == activity.lower()
        if exact or (rule == "prefix" and words[0].startswith(activity.lower())):
            return activity
    return None


def label_file(frame: str) -> str:
    """Return the annotation file of a frame."""
    return frame.replace("/WithBackground/", "/Landmarks/", 1).removesuffix(".jpg") + ".mat"


def _mask_folder(subject: Path) -> str:
    """Return how the folder of masks is spelt."""
    corrected = "BackgroundMask"
    return corrected if (subject / corrected).is_dir() else "BackgroudMask"
