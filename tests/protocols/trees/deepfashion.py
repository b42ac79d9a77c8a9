"""DeepFashion: data_{train,test}.{csv,json}, img/{MEN,WOMEN}/<kind>/id_<item>/<view>.jpg."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from kpbench.people.body.skeleton import COCO_17
from tests.protocols.trees.people import People, people

NAMES = tuple(name.replace("l_", "left_").replace("r_", "right_") for name in COCO_17)
VIEWS = ("01_1_front", "01_4_full", "02_7_additional")
FIRST_ITEM = 17
SHARED = 1
"""Test images of a garment that training shows: 742 of 1,179 in the published split."""


def write(root: Path, *, n_train: int = 96, n_test: int = 24, seed: int = 0) -> None:
    """Write the lists and the images, two images a garment."""
    train, test, _ = people(n_train, n_test, seed)
    rng = np.random.default_rng(seed)
    first_of_test = FIRST_ITEM + (n_train + 1) // 2
    items = [FIRST_ITEM + i // 2 for i in range(n_train)]
    _write_part(root, "train", train, items, VIEWS[0], rng)
    items = [FIRST_ITEM] * SHARED + [first_of_test + i for i in range(n_test - SHARED)]
    _write_part(root, "test", test, items, VIEWS[2], rng)


def _write_part(
    root: Path, part: str, shown: People, items: list[int], view: str, rng: np.random.Generator
) -> None:
    files = [
        _file(item, VIEWS[1] if items[:i].count(item) else view) for i, item in enumerate(items)
    ]
    entries, lines = [], []
    for i in rng.permutation(len(files)):
        path = root / "img" / files[i]
        path.parent.mkdir(parents=True, exist_ok=True)
        shown.picture(i, 256, white=True).save(path, quality=90)
        entries.append(
            {
                "image_path": files[i],
                "train": bool(rng.integers(2)),  # of another benchmark: says nothing here
                "keypoints": (shown.points(*COCO_17)[i] * 256).tolist(),
                "keypoints_confidence": rng.uniform(0.5, 1, 17).tolist(),
                "person_id": items[i],
                "bbox": [40, 0, 176, 256],
                "joint_order": {str(j): name for j, name in enumerate(NAMES)},
            }
        )
        lines.append([int(rng.integers(11_783)), files[i]])
    with (root / f"data_{part}.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["id", "filename"], *lines])
    (root / f"data_{part}.json").write_text(json.dumps(entries))


def _file(item: int, view: str) -> str:
    kind = "MEN/Pants" if item % 8 == 0 else "WOMEN/Blouses_Shirts"
    return f"{kind}/id_{item:08d}/{view}.jpg"
