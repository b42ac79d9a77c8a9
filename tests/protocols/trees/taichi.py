"""Tai-Chi-HD: landmark/*.pkl, eval_images/taichi-256/*, taichi-test-masks/* and train/<clip>/*."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ImageOps

from kpbench.people.body.skeleton import OPENPOSE_18
from tests.files.old_pandas import write_old_frame
from tests.protocols.trees.people import People, people

CLIPS = (
    "-1x_Q3Kd#000012#000140.mp4",
    "-1x_Q3Kd#000200#000310.mp4",
    "u6rJiF-gPx8#000080#000300.mp4",
)
"""<video>#<first frame>#<last frame>; the first two are of one video."""
MISSING = 0.07
"""Share of joints without a label; 7.2 % in the published files."""


def write(root: Path, *, n_train: int = 96, n_test: int = 24, seed: int = 0) -> None:
    """Write the labelled images, the test masks, and clips to discover from."""
    train, test, _ = people(n_train, n_test, seed)
    rng = np.random.default_rng(seed)
    _write_part(root, "train", train, rng)
    _write_part(root, "test", test, rng)
    (root / "taichi-test-masks").mkdir()
    for i in range(n_test):
        test.mask(i, 256).save(root / "taichi-test-masks" / f"{i:05d}.png")
    for i in range(n_train):
        folder = root / "train" / CLIPS[i % len(CLIPS)]
        folder.mkdir(parents=True, exist_ok=True)
        frame = ImageOps.mirror(train.picture(i, 256))  # of the videos, not a labelled image itself
        frame.save(folder / f"{i // len(CLIPS):07d}.png", compress_level=1)


def _write_part(root: Path, part: str, shown: People, rng: np.random.Generator) -> None:
    folder = root / "eval_images" / "taichi-256" / part
    folder.mkdir(parents=True)
    points = np.floor(
        shown.points(*OPENPOSE_18).astype(np.float64) * 256
    )  # whole numbers from 0 to 255, as floats
    points[rng.random(points.shape[:2]) < MISSING] = -1
    points[0, 0] = 0, 61  # a label at the edge, no marker
    n = len(shown)
    order = rng.permutation(n)  # the published rows are in no order
    columns = {
        "file_name": np.array([f"{i:05d}.png" for i in order]),
        "frame_number": np.zeros(n, dtype=np.int64),
        "value": points[order],
    }
    write_old_frame(root / "landmark" / f"taichi_{part}_gt.pkl", columns, protocol=4)
    for i in range(n):
        shown.picture(i, 256).save(folder / f"{i:05d}.png", compress_level=1)
