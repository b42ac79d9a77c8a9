"""Made-up detections for every named evaluator."""

from __future__ import annotations

import numpy as np

from kpbench.api import Array
from kpbench.registry import datasets
from kpbench.scoring.evaluators import Detections, EvaluatorSpec
from kpbench.scoring.named import evaluators_in, get_evaluator

EVALUATORS = evaluators_in(datasets())
NAMES = list(EVALUATORS)
ALL_LABELS = [name for name, spec in EVALUATORS.items() if spec.rows == "all"]
MISSING_LABELS = [name for name in NAMES if name not in ALL_LABELS]
IN_IMAGE = [name for name, spec in EVALUATORS.items() if spec.frame == "image"]
ON_TRAIN = [name for name, spec in EVALUATORS.items() if spec.fit_on == "train"]
LANDMARKS = {"human36m": 32, "deepfashion": 17, "taichi": 18, "celeba": 5, "cub": 15} | {
    "people_background": 32, "people_plain": 32, "people_rooms": 32, "people_fashion": 17,
    "people_taichi": 18, "aflw": 5, "300w": 68, "lips": 8, "tongue": 14, "mirror_mouse": 17,
    "fly_wings": 12, "yt_faces": 68,
}  # fmt: skip


def shapes(spec: EvaluatorSpec, n: int, seed: int) -> tuple[Array, Array]:
    """A random shape that varies in a few directions: landmarks, and which of them are visible."""
    n_landmarks = LANDMARKS[spec.dataset]
    body = np.random.default_rng(7).uniform(0.25, 0.75, (n_landmarks, 2))
    if spec.pairs:
        # facing the camera: BKinD's oracle is not perfect on people seen from behind, whose labels
        # it exchanges for the fit but not in test
        left, right = np.array(spec.pairs).T
        body[left, 0] = 0.5 + np.abs(body[left, 0] - 0.5) / 2 + 0.1
        body[right, 0] = 0.5 - np.abs(body[right, 0] - 0.5) / 2 - 0.1
    modes = np.random.default_rng(8).normal(0, 0.03, (4, n_landmarks, 2))
    rng = np.random.default_rng(seed)
    landmarks = body + np.tensordot(rng.normal(size=(n, 4)), modes, 1)
    landmarks += rng.normal(0, 0.01, landmarks.shape)
    visible = np.ones(landmarks.shape[:2], bool)
    if spec.rows != "all":
        visible = rng.random(visible.shape) < 0.85
        visible[:, [0, *(spec.eyes or ())]] = True
    return landmarks, visible


def toy(
    name: str, n: tuple[int, int] = (200, 90), noise: float = 0.02, seed: int = 0
) -> tuple[Detections, Detections]:
    """Keypoints that follow six of the landmarks, or all where there are fewer."""
    parts = []
    for part, size in enumerate(n):
        landmarks, visible = shapes(get_evaluator(name), size, seed + part)
        rng = np.random.default_rng(100 + seed + part)
        chosen = np.linspace(0, landmarks.shape[1] - 1, 6).astype(int)
        keypoints = landmarks[:, chosen] + rng.normal(0, noise, (size, 6, 2))
        corner, extent = rng.uniform(0, 0.2, (size, 2)), rng.uniform(0.5, 0.8, (size, 2))
        parts.append(
            Detections(
                keypoints,
                landmarks,
                visible,
                np.array(["walk", "pose", "wait"])[np.arange(size) % 3],
                np.hstack([corner, extent]),
                rng.uniform(0.6, 1.4, size),
            )
        )
    return parts[0], parts[1]


def subset(detections: Detections, rows: Array) -> Detections:
    """The same detections of some images."""
    columns = ("keypoints", "landmarks", "visible", "activities", "boxes", "aspect")
    return Detections(*(getattr(detections, column)[rows] for column in columns))
