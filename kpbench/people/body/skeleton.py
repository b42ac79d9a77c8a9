"""The 32 joints of the rendered people, and the selections that the protocols annotate."""

from __future__ import annotations

from collections.abc import Sequence

HUMAN36M_17 = (
    "pelvis", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "spine", "thorax",
    "nose", "head_top", "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
)  # fmt: skip
"""The 17 joints in the order that most Human3.6M code uses; joint 9 is the nose."""

JOINTS = (
    *HUMAN36M_17,
    "l_eye", "r_eye", "l_ear", "r_ear", "l_big_toe", "r_big_toe", "l_heel", "r_heel",
    "l_fingertip", "r_fingertip", "l_clavicle", "r_clavicle", "l_small_toe", "r_small_toe",
    "spine_low",
)  # fmt: skip
"""All 32 joints. `l_` and `r_` are the person's own left and right."""

COCO_17 = (
    "nose", "l_eye", "r_eye", "l_ear", "r_ear", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow",
    "l_wrist", "r_wrist", "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle", "r_ankle",
)  # fmt: skip
"""The COCO joints in COCO's order."""

OPENPOSE_18 = (
    "nose", "thorax", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist",
    "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "r_eye", "l_eye", "r_ear", "l_ear",
)  # fmt: skip
"""The OpenPose joints in OpenPose's order; its neck is our thorax (the base of the neck)."""

FACE = ("nose", "l_eye", "r_eye", "l_ear", "r_ear")
"""What shows only from one side of the head."""

_EDGE_NAMES = (
    ("pelvis", "r_hip"), ("r_hip", "r_knee"), ("r_knee", "r_ankle"),
    ("pelvis", "l_hip"), ("l_hip", "l_knee"), ("l_knee", "l_ankle"),
    ("pelvis", "spine"), ("spine", "thorax"), ("thorax", "nose"), ("nose", "head_top"),
    ("thorax", "l_shoulder"), ("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist"),
    ("thorax", "r_shoulder"), ("r_shoulder", "r_elbow"), ("r_elbow", "r_wrist"),
)  # fmt: skip
EDGES = tuple((JOINTS.index(a), JOINTS.index(b)) for a, b in _EDGE_NAMES)
"""The 16 bones between the first 17 joints, as index pairs into `JOINTS`."""


def joint_indices(names: Sequence[str]) -> list[int]:
    """Return the place of every name in `JOINTS`.

    Example:
        >>> joint_indices(["pelvis", "head_top"])
        [0, 10]
    """
    return [JOINTS.index(name) for name in names]


def mirrored_name(name: str) -> str:
    """Return the joint's name after exchanging the person's left and right.

    Example:
        >>> mirrored_name("l_knee"), mirrored_name("nose")
        ('r_knee', 'nose')
    """
    other = {"l_": "r_", "r_": "l_"}.get(name[:2])
    return other + name[2:] if other else name


def swap_permutation(names: Sequence[str]) -> list[int]:
    """Return p with `landmarks[:, p]` exchanging left and right; an involution.

    Example:
        >>> swap_permutation(["nose", "l_eye", "r_eye"])
        [0, 2, 1]
    """
    return [list(names).index(mirrored_name(name)) for name in names]
