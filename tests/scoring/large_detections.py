"""Made-up detections of the size of Human3.6M, written to disk part by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from kpbench.scoring.flips import permutation
from kpbench_protocols.human36m.evaluators import PAIRS as HUMAN36M_PAIRS

JOINTS, KEYPOINTS, DIRECTIONS = 32, 16, 12


def write(folder: Path, n_train: int, n_test: int, seed: int = 0) -> Path:
    """Write float32 .npy files as `kpbench score` reads them, with left and right ambiguous.

    A third of the people show their back: their left is right in the image, which the detector does
    not see, so that EM has labels to exchange. Some keypoints are far off, so that trimming has
    samples to drop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    body = rng.uniform(0.3, 0.7, (JOINTS, 2))
    modes = rng.normal(0, 0.04, (DIRECTIONS, JOINTS, 2))
    order = permutation(HUMAN36M_PAIRS, JOINTS)
    for split, n in (("train", n_train), ("test", n_test)):
        landmarks, keypoints = (
            open_memmap(folder / f"{split}_{name}.npy", "w+", np.float32, (n, points, 2))
            for name, points in (("landmarks", JOINTS), ("keypoints", KEYPOINTS))
        )
        for start in range(0, n, 10_000):
            size = min(10_000, n - start)
            pose = body + np.tensordot(rng.normal(size=(size, DIRECTIONS)), modes, 1)
            behind = (rng.random(size) < 1 / 3)[:, None, None]
            found = pose[:, ::2] + rng.normal(0, 0.02, (size, KEYPOINTS, 2))
            found += (rng.random(size) < 0.01)[:, None, None] * rng.normal(0, 0.2, found.shape)
            landmarks[start : start + size] = np.clip(np.where(behind, pose[:, order], pose), 0, 1)
            keypoints[start : start + size] = np.clip(found, 0, 1)
    return folder
