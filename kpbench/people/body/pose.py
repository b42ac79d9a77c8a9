"""From a motion to the rotation of every bone of the body model.

A bone is rotated by a world rotation from its rest orientation. The body rests in an A-pose with
bent elbows, the motion's actor with straight hanging limbs, so that every limb is first turned from
the direction it has in this body to straight down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kpbench.api import Array
from kpbench.people.body.rotations import fraction, from_rotation_vector, orthonormal_frame

_LATERAL = np.array([1.0, 0.0, 0.0])
_DOWN = np.array([0.0, 0.0, -1.0])
_SPINE = {"spine05": 0.2, "spine04": 0.45, "spine03": 0.75, "spine02": 1.0, "spine01": 1.0}
_NECK = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75, "head": 1.0}


def _limb_to_down(limb: Array, hinge: Array) -> Array:
    target = orthonormal_frame(_DOWN, _LATERAL)
    return target @ np.swapaxes(orthonormal_frame(limb, hinge), -1, -2)


def _transposed(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)


def _leg(
    side: str, root: Array, local: Mapping[str, Array], head: Mapping[str, Array]
) -> dict[str, Array]:
    s, upper = side.lower(), side.upper()
    hip, knee, ankle = (head[f"{bone}.{upper}"] for bone in ("upperleg01", "lowerleg01", "foot"))
    lateral = np.broadcast_to(_LATERAL, hip.shape)
    thigh_motion = root @ local[f"{s}_hip"]
    shin_motion = thigh_motion @ local[f"{s}_knee"]
    thigh = thigh_motion @ _limb_to_down(knee - hip, lateral)
    shin = shin_motion @ _limb_to_down(ankle - knee, lateral)
    return {
        f"pelvis.{upper}": root,
        f"upperleg01.{upper}": thigh,
        f"upperleg02.{upper}": thigh,
        f"lowerleg01.{upper}": shin,
        f"lowerleg02.{upper}": shin,
        f"foot.{upper}": shin_motion @ local[f"{s}_ankle"],
    }


def _arm(
    side: str, chest: Array, local: Mapping[str, Array], head: Mapping[str, Array], twist: Array
) -> dict[str, Array]:
    s, upper = side.lower(), side.upper()
    shoulder, elbow, wrist = (
        head[f"{bone}.{upper}"] for bone in ("upperarm01", "lowerarm01", "wrist")
    )
    hinge = np.cross(elbow - shoulder, wrist - elbow)
    hinge = hinge * np.sign(hinge[..., :1])
    upper_motion = chest @ local[f"{s}_shoulder"]
    upper_arm = upper_motion @ _limb_to_down(elbow - shoulder, hinge)
    forearm = upper_motion @ local[f"{s}_elbow"] @ _limb_to_down(wrist - elbow, hinge)
    raised = _transposed(chest) @ upper_arm
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow, axis=-1, keepdims=True)
    return {
        f"clavicle.{upper}": chest @ fraction(raised, 0.10),
        f"shoulder01.{upper}": chest @ fraction(raised, 0.30),
        f"upperarm01.{upper}": upper_arm,
        f"upperarm02.{upper}": upper_arm,
        f"lowerarm01.{upper}": forearm,
        f"lowerarm02.{upper}": forearm @ from_rotation_vector(along * twist[..., None] / 2),
        f"wrist.{upper}": forearm @ from_rotation_vector(along * twist[..., None]),
    }


def bone_rotations(
    local: Mapping[str, Array],
    heads: Array,
    twist: Array,
    *,
    bones: Sequence[str],
    parents: Sequence[int],
) -> Array:
    """Return the world rotation of every bone from its rest orientation.

    Args:
        local: joint name -> (B, 3, 3), as in `Motion.local`.
        heads: (B, N, 3) heads of the bones at rest, metres.
        twist: (B, 2) turn of the left and the right wrist, radians.
        bones: names of the N bones.
        parents: index of each bone's parent; bones not driven by the motion follow it.

    Returns:
        (B, N, 3, 3) float64.
    """
    head = {name: heads[:, i] for i, name in enumerate(bones)}
    root = local["root"]
    chest = root @ local["chest"]
    driven = {"root": root}
    driven |= {bone: root @ fraction(local["chest"], t) for bone, t in _SPINE.items()}
    driven |= {bone: chest @ fraction(local["neck"], t) for bone, t in _NECK.items()}
    for column, side in enumerate("LR"):
        driven |= _leg(side, root, local, head)
        driven |= _arm(side, chest, local, head, twist[:, column])
    world: list[Array] = []
    for name, parent in zip(bones, parents, strict=True):
        world.append(driven[name] if name in driven else world[parent])
    return np.stack(world, axis=1)
