"""The ceiling: the K true joints that regress best to all landmarks. It reads labels, unranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from kpbench.api import (
    Array,
    FitContext,
    ImageSet,
    Keypoints,
    Labelled,
    LabelReader,
    Reference,
)
from kpbench.errors import CheckpointError, ContractError

from .oracle import Oracle

ROUNDS = 10
RIDGE = 1e-4
"""The square of 1 % of the image: joints are known no better, which keeps the guess stable."""
NOTHING = 1e-9
"""Of the largest coordinate: what is left of a joint that others determine."""


@dataclass
class JointCeiling(Oracle):
    """As good as K keypoints can be: true joints, chosen on the training labels alone.

    Joints are chosen one after another, each the one that leaves the least squared error of all
    visible training labels under least squares without bias, each landmark on its visible rows.
    That is greedy: another set of K may be better. The flips and trimming of some evaluators take
    no part. Where there are no more than K landmarks, all are chosen.

    Every image has to show a point for a chosen joint. One without a label is guessed from the
    joints with one: the conditional mean under a Gaussian of all joints, estimated on the training
    labels by filling in and estimating again; inside the image.
    """

    name = "joint_ceiling"
    reference: ClassVar[Reference] = "ceiling"

    _chosen: Array = field(
        default_factory=lambda: np.zeros(0, np.int64), init=False, repr=False, compare=False
    )
    _gaussian: tuple[Array, Array] = field(
        default_factory=lambda: (np.zeros(0), np.zeros((0, 0))),
        init=False,
        repr=False,
        compare=False,
    )

    def fit(
        self, images: ImageSet | Labelled, *, n_keypoints: int, seed: int, context: FitContext
    ) -> None:
        """Choose the joints.

        Raises:
            ContractError: there are no labels.
        """
        if not isinstance(images, Labelled):
            raise ContractError(f"{self.name} chooses on labels; it cannot learn from images")
        landmarks, visible = images.landmarks, images.visible
        self._gaussian = _estimated(landmarks, visible)
        joints = self.told(_filled(landmarks, visible, *self._gaussian), images.names)
        self._chosen = choose(joints, landmarks, visible, n_keypoints)

    def read(self, labelled: Labelled) -> Keypoints:
        """Return the chosen joints.

        Raises:
            CheckpointError: nothing was chosen yet.
            ContractError: other landmarks than those chosen from.
        """
        if not len(self._chosen):
            raise CheckpointError(f"{self.name} is not fitted; call fit or load first")
        n, chosen_from = labelled.landmarks.shape[1], len(self._gaussian[0]) // 2
        if n != chosen_from:
            raise ContractError(f"{self.name} chose among {chosen_from} landmarks, here are {n}")
        joints = _filled(labelled.landmarks, labelled.visible, *self._gaussian)
        return Keypoints(self.told(joints, labelled.names)[:, self._chosen])

    def told(self, joints: Array, names: Sequence[str]) -> Array:
        """Return what is known of all joints (N, L, 2): here everything."""
        return joints

    def state(self) -> dict[str, Array]:
        """Return the choice, and what guesses are made from."""
        mean, covariance = self._gaussian
        return {"chosen": self._chosen, "mean": mean, "covariance": covariance}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take the choice back."""
        self._chosen, self._gaussian = state["chosen"], (state["mean"], state["covariance"])


def choose(joints: Array, landmarks: Array, visible: Array, k: int) -> Array:
    """Return the indices of K joints, each the best beside those before it; see `JointCeiling`.

    Landmarks that are visible in the same images share a QR decomposition: instead of N rows it
    leaves as many as there are coordinates. What is chosen is projected out of all the rest.

    Args:
        joints: (N, L, 2) to choose from.
        landmarks: (N, L, 2) to regress to.
        visible: (N, L) bool, which of the landmarks count.
        k: K; L where there are fewer.
    """
    n_joints = joints.shape[1]
    chosen: list[int] = []
    triangles = _triangles(joints, landmarks, visible)
    largest = max((float(np.abs(r).max()) for r in triangles), default=0.0)
    for _ in range(min(k, n_joints)):
        bases = [_bases(r[:, : 2 * n_joints], NOTHING * largest) for r in triangles]
        gain = np.zeros(n_joints)
        for r, basis in zip(triangles, bases, strict=True):
            gain += ((basis.mT @ r[:, 2 * n_joints :]) ** 2).sum((1, 2))
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        for r, basis in zip(triangles, bases, strict=True):
            r -= basis[best] @ (basis[best].T @ r)
    return np.array(chosen, np.int64)


def _triangles(joints: Array, landmarks: Array, visible: Array) -> list[Array]:
    """Return R of [joints, landmarks] = QR, for each set of landmarks seen in the same images."""
    flat, found = joints.reshape(len(joints), -1), []
    patterns, member = np.unique(visible.T, axis=0, return_inverse=True)
    for i, rows in enumerate(patterns):
        wanted = landmarks[:, member.ravel() == i][rows]
        if len(wanted):
            both = np.hstack([flat[rows], wanted.reshape(len(wanted), -1)])
            found.append(np.asarray(np.linalg.qr(both, mode="r")))
    return found


def _bases(coordinates: Array, smallest: float) -> Array:
    """Return orthonormal columns (L, rows, 2) that span each joint's two, 0 where they vanish."""
    pairs = coordinates.reshape(len(coordinates), -1, 2).transpose(1, 0, 2)
    u, s, _ = np.linalg.svd(pairs, full_matrices=False)
    return np.asarray(u * (s > smallest)[:, None])


def _estimated(landmarks: Array, visible: Array) -> tuple[Array, Array]:
    """Return mean (2L,) and covariance (2L, 2L) of the joints."""
    shown, count = visible[..., None], visible.sum(0)[:, None]
    mean = np.where(count > 0, (landmarks * shown).sum(0) / np.maximum(count, 1), 0.5)
    filled: Array = np.where(shown, landmarks, mean)
    for _ in range(ROUNDS):
        flat = filled.reshape(len(filled), -1)
        mean = flat.mean(0)
        covariance = (flat - mean).T @ (flat - mean) / len(flat) + RIDGE * np.eye(len(mean))
        if visible.all():
            break
        filled = _filled(landmarks, visible, mean, covariance)
    return mean, covariance


def _filled(landmarks: Array, visible: Array, mean: Array, covariance: Array) -> Array:
    """Return landmarks (N, L, 2), those without a label guessed from the others of the image."""
    flat = np.array(landmarks, np.float64).reshape(len(landmarks), -1)
    lacking = np.flatnonzero(~visible.all(1))
    patterns, member = np.unique(visible[lacking], axis=0, return_inverse=True)
    for i, seen in enumerate(patterns):
        rows, known = lacking[member.ravel() == i], np.repeat(seen, 2)
        gain = np.linalg.solve(covariance[known][:, known], covariance[known][:, ~known])
        guess = mean[~known] + (flat[rows][:, known] - mean[known]) @ gain
        flat[np.ix_(rows, ~known)] = guess.clip(0, 1)
    return flat.reshape(landmarks.shape)


PLUGIN: LabelReader = JointCeiling()
