"""Rotations as 3 x 3 matrices, batched over leading axes, in float64 numpy."""

from __future__ import annotations

import numpy as np

from kpbench.api import Array


def from_quaternion(quaternion: Array) -> Array:
    """Return rotation matrices (..., 3, 3) of quaternions (..., 4) in the order w, x, y, z.

    The quaternions need not have unit length.

    Example:
        >>> from_quaternion(np.array([0.0, 0.0, 0.0, 2.0])).diagonal()
        array([-1., -1.,  1.])
    """
    unit = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, x, y, z = np.moveaxis(unit, -1, 0)
    matrix = np.empty((*w.shape, 3, 3))
    for place, value in (
        ((0, 0), 1 - 2 * (y * y + z * z)),
        ((0, 1), 2 * (x * y - w * z)),
        ((0, 2), 2 * (x * z + w * y)),
        ((1, 0), 2 * (x * y + w * z)),
        ((1, 1), 1 - 2 * (x * x + z * z)),
        ((1, 2), 2 * (y * z - w * x)),
        ((2, 0), 2 * (x * z - w * y)),
        ((2, 1), 2 * (y * z + w * x)),
        ((2, 2), 1 - 2 * (x * x + y * y)),
    ):
        matrix[..., *place] = value
    return matrix


def from_rotation_vector(vector: Array) -> Array:
    """Return rotation matrices of rotation vectors (..., 3): axis times angle in radians."""
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    axis = vector / np.maximum(angle, 1e-12)
    return from_quaternion(np.concatenate([np.cos(angle / 2), axis * np.sin(angle / 2)], axis=-1))


def to_rotation_vector(matrix: Array) -> Array:
    """Return rotation vectors (..., 3) of rotation matrices, for angles below pi."""
    trace = np.trace(matrix, axis1=-2, axis2=-1)
    angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
    twice_sine_axis = np.stack(
        [
            matrix[..., 2, 1] - matrix[..., 1, 2],
            matrix[..., 0, 2] - matrix[..., 2, 0],
            matrix[..., 1, 0] - matrix[..., 0, 1],
        ],
        axis=-1,
    )
    length = np.linalg.norm(twice_sine_axis, axis=-1, keepdims=True)
    return np.asarray(twice_sine_axis / np.maximum(length, 1e-9) * angle[..., None])


def fraction(matrix: Array, share: float) -> Array:
    """Return the rotation about the same axis by `share` of the angle."""
    return from_rotation_vector(to_rotation_vector(matrix) * share)


def orthonormal_frame(first: Array, second: Array) -> Array:
    """Return (..., 3, 3) frames: column 0 along `first`, column 1 `second` made orthogonal."""
    a = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b = second - a * (a * second).sum(axis=-1, keepdims=True)
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    return np.stack([a, b, np.cross(a, b)], axis=-1)


def about_vertical(angle: float) -> Array:
    """Return the (3, 3) rotation by `angle` radians counterclockwise about the z axis.

    Example:
        >>> (about_vertical(np.pi / 2) @ [1, 0, 0]).round(3) + 0.0
        array([0., 1., 0.])
    """
    return from_rotation_vector(np.array([0.0, 0.0, angle]))
