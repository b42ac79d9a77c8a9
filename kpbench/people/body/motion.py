"""Motion clips as rotations of joints relative to their parent.

A stored frame has 43 numbers in DeepMimic's humanoid: root position, then a quaternion (w, x, y, z)
or one hinge angle a joint. Its axes are x forward, y up, z right; ours are -y forward, z up, +x the
person's left. At rest all limbs hang straight down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from kpbench.api import Array
from kpbench.people.body.assets import load_clips
from kpbench.people.body.rotations import from_quaternion, from_rotation_vector

FRAME_STRIDE = 4
"""Frames of the clip between the two images of a pair: 0.07 to 0.13 seconds."""
ACTOR_HEIGHT = 1.62
"""Metres, of DeepMimic's humanoid; scales the root's path to other bodies."""

_AXES = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_QUATERNIONS = {
    "root": 3, "chest": 7, "neck": 11, "r_hip": 15, "r_ankle": 20, "r_shoulder": 24,
    "l_hip": 29, "l_ankle": 34, "l_shoulder": 38,
}  # fmt: skip
_HINGES = {"r_knee": 19, "r_elbow": 28, "l_knee": 33, "l_elbow": 42}


@dataclass(frozen=True)
class Motion:
    """Consecutive poses.

    Attributes:
        local: joint name -> (T, 3, 3) rotation relative to the parent joint, in our axes.
        position: (T, 3) of the root, metres of DeepMimic's actor, in our axes.
    """

    local: dict[str, Array]
    position: Array

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.position)

    def mirrored(self) -> Motion:
        """Return the motion seen in a mirror at x = 0, left and right exchanged."""
        flip = np.diag([-1.0, 1.0, 1.0])
        names = {"l": "r", "r": "l"}
        local = {}
        for name, rotation in self.local.items():
            sided = name[1] == "_"
            local[names[name[0]] + name[1:] if sided else name] = flip @ rotation @ flip
        return Motion(local, self.position @ flip)

    def at(self, frames: Array) -> Motion:
        """Return the motion at the given frames only."""
        return Motion({k: v[frames] for k, v in self.local.items()}, self.position[frames])


def parse(frames: Array) -> Motion:
    """Return the motion of stored frames (T, 43)."""
    local = {}
    for name, start in _QUATERNIONS.items():
        local[name] = _AXES @ from_quaternion(frames[:, start : start + 4]) @ _AXES.T
    for name, column in _HINGES.items():
        about_z = frames[:, column, None] * np.array([0.0, 0.0, 1.0])
        local[name] = _AXES @ from_rotation_vector(about_z) @ _AXES.T
    return Motion(local, frames[:, :3] @ _AXES.T)


@cache
def motion(clip: str, mirrored: bool) -> Motion:
    """Return a clip, as recorded or mirrored."""
    found = parse(load_clips()[clip])
    return found.mirrored() if mirrored else found


def pick_pair(rng: np.random.Generator, found: Motion) -> Motion:
    """Draw two frames of one clip, `FRAME_STRIDE` apart."""
    first = int(rng.integers(len(found) - FRAME_STRIDE))
    return found.at(np.array([first, first + FRAME_STRIDE]))
