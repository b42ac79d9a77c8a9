"""Simplified Human3.6M: S*/{WithBackground,BackgroudMask,Landmarks}/Action[ n].camera/frame.*"""

from __future__ import annotations

from pathlib import Path

from scipy.io import savemat

from kpbench.api import Array
from tests.protocols.trees.people import People, people

ACTIVITIES = ("Directions", "Discussion", "Posing", "Waiting", "Greeting", "Walking")
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
TRAIN, TEST = ("S1", "S5", "S6", "S7", "S8", "S9"), "S11"
_LEG = ("hip", "knee", "ankle", "ankle+{}_big_toe", "big_toe")
_ARM = ("shoulder", "elbow", "wrist", "wrist", "wrist+{}_fingertip", "fingertip", "fingertip")
JOINTS = (
    "pelvis",
    *(f"{side}_{name.format(side)}" for side in "rl" for name in _LEG),
    *("pelvis", "spine", "thorax", "nose", "head_top"),
    *("thorax", *(f"l_{name.format('l')}" for name in _ARM)),
    *("thorax", *(f"r_{name.format('r')}" for name in _ARM)),
)
"""What stands for each of Human3.6M's 32 joints: both collars and the pelvis are duplicates there,
too."""


def write(root: Path, *, n_train: int = 96, n_test: int = 24, seed: int = 0) -> None:
    """Write six subjects to learn from and a seventh, and two folders that do not belong."""
    train, test, others = people(n_train, n_test, seed)
    for k, subject in enumerate(TRAIN):
        _write_subject(root / subject, train[k :: len(TRAIN)], first=k, one_bit=subject == "S5")
    _write_subject(root / TEST, test, first=0, one_bit=False)
    for i, folder in enumerate(("Eating 2", "WalkingDog 1")):
        _write_frame(root / "S1", f"{folder}.{CAMERAS[0]}", 1, others, i, one_bit=False)


def human36m_joints(shown: People) -> Array:
    """Return the 32 joints (N, 32, 2) in Human3.6M's order, (x, y) in [0, 1]."""
    return shown.points(*JOINTS)


def _write_subject(folder: Path, shown: People, first: int, one_bit: bool) -> None:
    count = min(len(ACTIVITIES), len(shown))
    for i in range(len(shown)):
        sequence, turn = i % count + first, i // count
        take = "" if sequence % 2 else f" {sequence % 3 + 1}"
        name = f"{ACTIVITIES[sequence % 6]}{take}.{CAMERAS[sequence % 4]}"
        frame = 10**turn if turn else 9  # 9, 10, 100: not in the order of the alphabet
        _write_frame(folder, name, frame, shown, i, one_bit)


def _write_frame(
    subject: Path, folder: str, frame: int, shown: People, i: int, one_bit: bool
) -> None:
    for kind in ("WithBackground", "BackgroudMask", "Landmarks"):
        (subject / kind / folder).mkdir(parents=True, exist_ok=True)
    shown.picture(i, 128).save(subject / "WithBackground" / folder / f"{frame}.jpg", quality=90)
    mask = shown.mask(i, 128)
    mask = mask.convert("1") if one_bit else mask
    mask.save(subject / "BackgroudMask" / folder / f"{frame}.png")
    rows_and_columns = human36m_joints(shown)[i, :, ::-1]
    savemat(subject / "Landmarks" / folder / f"{frame}.mat", {"keypoints_2d": rows_and_columns})
