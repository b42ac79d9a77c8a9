"""Human3.6M as h36m-fetch leaves it: S*/Action-n/{annot.h5,imageSequence/<camera>/img_%06d.jpg}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kpbench.api import Array
from tests.protocols.trees.human36m import ACTIVITIES, CAMERAS, TEST, TRAIN, human36m_joints
from tests.protocols.trees.people import People, people

NUMBERS = {
    **dict(zip(ACTIVITIES, (2, 3, 7, 13, 5, 14), strict=True)),
    "WalkingDog": 15,
    "WalkingTogether": 16,
}
"""What annot.h5 calls the activities."""
HEIGHTS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}
PERSON = 420
"""Side of the square with the person, in pixels of the frame."""


def write(root: Path, *, n_train: int = 96, n_test: int = 24, seed: int = 0) -> None:
    """Write six subjects to learn from and a seventh, and two folders that do not belong."""
    rng = np.random.default_rng(seed)
    train, test, others = people(n_train, n_test, seed)
    for k, subject in enumerate(TRAIN):
        _write_subject(root / subject, train[k :: len(TRAIN)], k, rng)
    _write_subject(root / TEST, test, 0, rng)
    for i, name in enumerate(("WalkingDog", "WalkingTogether")):
        _write_action(root / "S1", name, 1, others[i : i + 1], rng)


def _write_subject(folder: Path, shown: People, first: int, rng: np.random.Generator) -> None:
    count = min(len(ACTIVITIES), len(shown))
    for j in range(count):
        name = ACTIVITIES[(first + j) % len(ACTIVITIES)]
        _write_action(folder, name, 1 + (first + j) % 2, shown[j::count], rng)


def _write_action(
    subject: Path, name: str, take: int, shown: People, rng: np.random.Generator
) -> None:
    """Write an action: frames 1, 65 ... of the cameras in turn, annotated camera by camera."""
    folder = subject / f"{name}-{take}"
    used = sorted(range(len(shown)), key=lambda i: i % len(CAMERAS))
    cameras = [CAMERAS[i % len(CAMERAS)] for i in used]
    frames = [1 + 64 * (i // len(CAMERAS)) for i in used]
    poses = []
    for i, camera, frame in zip(used, cameras, frames, strict=True):
        image, pose = _frame(shown, i, HEIGHTS[camera], rng)
        path = folder / "imageSequence" / camera / f"img_{frame:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=85)
        poses.append(pose)
    n = len(frames)
    columns: dict[str, Any] = {
        "pose/2d": np.array(poses, np.float32),
        "pose/3d": np.zeros((n, 32, 3), np.float32),
        "pose/3d-univ": np.zeros((n, 32, 3), np.float32),
        "frame": np.array(frames),
        "camera": np.array([int(camera) for camera in cameras]),
        "subject": np.full(n, int(subject.name[1:])),
        "action": np.full(n, NUMBERS[name]),
        "subaction": np.full(n, take),
        **{f"intrinsics/{camera}": np.array([1145.0, 512.5, 1143.8, 515.5]) for camera in cameras},
    }
    _write_h5(folder / "annot.h5", columns)


def _frame(
    shown: People, i: int, height: int, rng: np.random.Generator
) -> tuple[Image.Image, Array]:
    """Return a frame of 1000 x `height` with the person somewhere, and its joints in pixels."""
    size = np.array([1000, height])
    corner = rng.integers(0, size - PERSON)
    shade = np.linspace(60, 160, 1000, dtype=np.uint8)
    frame = Image.fromarray(np.repeat(np.tile(shade, (height, 1))[..., None], 3, 2))
    frame.paste(shown.picture(i, PERSON), (int(corner[0]), int(corner[1])))
    return frame, corner + human36m_joints(shown)[i] * PERSON


def _write_h5(path: Path, columns: dict[str, Any]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, data in columns.items():
            file.create_dataset(name, data=data)
