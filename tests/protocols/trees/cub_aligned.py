"""A tiny list of aligned birds in the layout of Lorenz et al.'s, as theRealSuperMario keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpbench.api import Array
from tests.protocols.trees.cub import draw, pose

SIDE = 300


@dataclass(frozen=True)
class Bird:
    """What is drawn: points (15, 2) in pixels of 300 from 0, and which can be seen."""

    fname: str
    points: Array
    seen: Array


def birds(n: int, part: str, seed: int = 0) -> list[Bird]:
    """Return the birds of one part; all look to the left, the far eye and wing are seen of some."""
    rng = np.random.default_rng([seed, part == "test"])
    found = []
    for i in range(n):
        points, seen = pose(rng, (SIDE, SIDE), to_left=True)
        seen[[10, 12]] = i % 2 == 0
        found.append(Bird(f"images/{part}/{179 + 7 * i + (part == 'test'):05d}.png", points, seen))
    return found


def write(root: Path, *, n_train: int = 72, n_test: int = 12, seed: int = 0) -> None:
    """Write the tree.

    Args:
        root: folder of the data set; made if it is not there.
        n_train: rows of train.csv.
        n_test: rows of test.csv.
        seed: of all that is drawn.
    """
    for part, n in (("train", n_train), ("test", n_test)):
        found = birds(n, part, seed)
        (root / "images" / part).mkdir(parents=True, exist_ok=True)
        lines = ["idx,fname,fname_original,category"]
        values = np.full((n, 15, 3), 0.5)
        for i, bird in enumerate(found):
            draw(bird.points, (SIDE, SIDE), seed * 1000 + i + n, grey=False).save(root / bird.fname)
            species = 4 + i * 196 // n
            lines.append(f"{i},{bird.fname},{species:03d}.Bird/Bird_{i:04d}.jpg,{species}")
            values[i, bird.seen, :2] = bird.points[bird.seen] / SIDE
            values[i, :, 2] = bird.seen
        (root / f"{part}.csv").write_text("\n".join(lines) + "\n")
        np.save(root / f"{part}_kp.npy", values)
