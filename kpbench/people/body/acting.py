"""What people do: everyday actions made of the legs of one clip and the arms of another.

No clip shows somebody who waits, greets or directs. They are made here: legs and arms are taken
from recorded motion, and each joint turns by a share of the recorded angle, 0 being a person who
stands with hanging limbs and 1 the recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kpbench.api import Array
from kpbench.people.body.motion import Motion, motion, pick_pair
from kpbench.people.body.rotations import about_vertical, fraction, from_rotation_vector

Acting = Literal["everyday", "tai_chi", "fashion"]
Half = Literal["train", "test"]
Pool = Literal["walks", "gestures"]

CLIPS: Mapping[Half, Mapping[Pool, Sequence[str]]] = {
    "train": {
        "walks": ("0walk_forward", "turn_left0", "turn_right1"),
        "gestures": ("dance_a", "punch", "jump"),
    },
    "test": {
        "walks": ("walk", "turn_left1", "turn_right0"),
        "gestures": ("dance_b", "spinkick"),
    },
}
"""The two halves share no clip, as the subjects of Human3.6M. Training and validation draw from the
first."""
WRIST_TWIST = 0.35
"""Largest random turn of the wrist about the forearm, radians."""

_LEGS = ("r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle")
_TRUNK = ("chest", "neck")
_ARMS = ("shoulder", "elbow")
_JITTER = {
    "root": 0.04, "chest": 0.07, "neck": 0.15, "r_shoulder": 0.15, "l_shoulder": 0.15,
    "r_hip": 0.06, "l_hip": 0.06, "r_ankle": 0.05, "l_ankle": 0.05,
}  # fmt: skip
"""Standard deviation in radians; hinges (knees, elbows) are left as they are."""
_DEVIATIONS = np.repeat(list(_JITTER.values()), 3).reshape(-1, 3)


@dataclass(frozen=True)
class Action:
    """Where legs and arms come from, and how much of the recorded angles is kept.

    Attributes:
        legs: pool of the clips of root and legs.
        arms: pool of the clips of trunk and arms.
        leg_share: range that the legs' share of the recorded angles is drawn from.
        arm_share: likewise, of trunk and arms.
        one_arm: whether one arm, drawn at random, keeps a quarter of its share alone.
        jitter: factor of the random turns that are added.
    """

    legs: Pool
    arms: Pool
    leg_share: tuple[float, float]
    arm_share: tuple[float, float]
    one_arm: bool = False
    jitter: float = 1.0


ACTIONS: Mapping[Acting, Mapping[str, Action]] = {
    "everyday": {
        "directions": Action("walks", "gestures", (0.1, 0.5), (0.6, 0.9), one_arm=True),
        "discussion": Action("walks", "gestures", (0.1, 0.5), (0.4, 0.8)),
        "greeting": Action("walks", "gestures", (0.2, 0.8), (0.7, 1.0), one_arm=True),
        "posing": Action("gestures", "gestures", (0.2, 0.5), (0.4, 0.9)),
        "waiting": Action("walks", "gestures", (0.1, 0.5), (0.1, 0.5)),
        "walking": Action("walks", "walks", (0.9, 1.0), (0.8, 1.2)),
    },
    "tai_chi": {
        "forms": Action("gestures", "gestures", (0.5, 1.0), (0.7, 1.1)),
        "steps": Action("walks", "gestures", (0.4, 1.0), (0.7, 1.1)),
    },
    "fashion": {
        "standing": Action("walks", "walks", (0.0, 0.3), (0.0, 0.5), jitter=0.5),
        "stepping": Action("walks", "walks", (0.2, 0.8), (0.0, 0.5), jitter=0.5),
        "posing": Action("walks", "gestures", (0.0, 0.5), (0.4, 1.0), jitter=0.5),
    },
}
"""The six actions of Simplified Human3.6M; slow forms, standing; a catalogue's models."""


def act(rng: np.random.Generator, acting: Acting, half: Half) -> tuple[Motion, str]:
    """Draw an action and its two moments; at the first the person faces -y.

    Returns:
        The two poses as a motion of length 2, and the name of the action.
    """
    actions = ACTIONS[acting]
    name = list(actions)[int(rng.integers(len(actions)))]
    action = actions[name]
    legs, arms = (_recorded(rng, CLIPS[half][pool]) for pool in (action.legs, action.arms))
    walked, gestured = rng.uniform(*action.leg_share), rng.uniform(*action.arm_share)
    resting = "lr"[int(rng.integers(2))] if action.one_arm else ""
    local = {"root": fraction(_heading(legs.local["root"]), walked)}
    local |= {joint: fraction(legs.local[joint], walked) for joint in _LEGS}
    local |= {joint: fraction(arms.local[joint], gestured) for joint in _TRUNK}
    for side in "lr":
        share = gestured / 4 if side == resting else gestured
        for joint in _ARMS:
            local[f"{side}_{joint}"] = fraction(arms.local[f"{side}_{joint}"], share)
    turns = from_rotation_vector(rng.normal(0, _DEVIATIONS * action.jitter))
    for joint, turn in zip(_JITTER, turns, strict=True):
        local[joint] = local[joint] @ turn
    path = legs.position @ _facing(legs.local["root"][0]).T * walked
    return Motion(local, path), name


def _recorded(rng: np.random.Generator, clips: Sequence[str]) -> Motion:
    name = clips[int(rng.integers(len(clips)))]
    return pick_pair(rng, motion(name, bool(rng.random() < 0.5)))


def _facing(root: Array) -> Array:
    """Return the turn (3, 3) about the vertical after which a root (3, 3) faces -y."""
    ahead = -root[:, 1]
    return about_vertical(-np.arctan2(ahead[0], -ahead[1]))


def _heading(root: Array) -> Array:
    """Return roots (T, 3, 3) turned alike, so that the first faces -y."""
    return np.asarray(_facing(root[0]) @ root)
