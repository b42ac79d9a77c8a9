"""DeepFashion, in-shop clothes: full bodies, chosen and labelled by Lorenz et al. (CVPR 2019).

Layout: data_{train,test}.csv, data_{train,test}.json with one entry for each line of the csv in the
same order, and img/<filename>, the 256 x 256 images of the In-shop Clothes Retrieval Benchmark. The
labels are AlphaPose's, not a person's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench import Array, DataError, Rows, Source
from kpbench.data.holdout import held_out
from kpbench.files.tables import read_csv, read_json

_SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINTS = ("nose", *(f"{side}_{name}" for name in _SIDED for side in "lr"))
"""The 17 joints of COCO."""
SIDE = 256
"""Of the images, and of the pixels that the labels count."""


@dataclass(frozen=True)
class DeepFashion(Source):
    """Full bodies before white, 17 joints.

    The published split shares garments between training and test. The key "train" of the entries
    is another benchmark's split and not used here.

    Attributes:
        split: "test": as published; "validation": a tenth of the garments (item numbers) is left
            out of training, and their images stand in for the test images. The same model may
            wear a garment of training there, which the data set does not tell.
    """

    split: str = "test"

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {"split": ("test", "validation")}
    upright: ClassVar[Sequence[tuple[int, int]]] = ((0, 11), (0, 12), (11, 13), (12, 14))

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts: train and test, or train_fold and validation."""
        train = "train" if self.split == "test" else "train_fold"
        return {"discovery": train, "regression": train, "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List the images in the order of the csv.

        Raises:
            DataError: a list is missing or malformed, or the two do not belong together.
        """
        listed = "test" if part == "test" else "train"
        names = read_csv(root / f"data_{listed}.csv", ("filename",))["filename"]
        rows = Rows(
            files=np.array([f"img/{name}" for name in names], dtype=str),
            landmarks=_landmarks(root / f"data_{listed}.json", names),
            groups=np.array([item_of(str(name)) for name in names], dtype=str),
            sizes=np.full((len(names), 2), SIDE),
        )
        if part == listed:
            return rows
        assert rows.groups is not None
        chosen = held_out(rows.groups)
        return rows[chosen if part == "validation" else ~chosen]

    def labels(self, root: Path, rows: Rows, i: int, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return the joints (17, 2) in pixels, and that all of them are there.

        Raises:
            DataError: the image is not 256 x 256.
        """
        if size != (SIDE, SIDE):
            raise DataError(
                f"{root / str(rows.files[i])} has {size[0]} x {size[1]} pixels, but the labels "
                f"are for {SIDE} x {SIDE}; use the images of Img/img, not those in high resolution"
            )
        return super().labels(root, rows, i, size)


def item_of(name: str) -> str:
    """Return the item number, which is the identity of the garment.

    Example:
        >>> item_of("WOMEN/Dresses/id_00000002/02_4_full.jpg")
        'id_00000002'
    """
    return name.split("/")[-2] if "/" in name else name


def _landmarks(path: Path, names: Array) -> Array:
    """Return the joints (N, 17, 2) in pixels, after checking that the entries are of `names`."""
    entries = read_json(path)
    if not isinstance(entries, list) or len(entries) != len(names):
        count = len(entries) if isinstance(entries, list) else "not a list of"
        raise DataError(f"{path}: {count} entries, the csv beside it lists {len(names)} images")
    for i, (entry, name) in enumerate(zip(entries, names, strict=True)):
        if not isinstance(entry, dict) or not {"image_path", "keypoints"} <= set(entry):
            raise DataError(f"{path}: entry {i} has no image_path or no keypoints")
        if entry["image_path"] != name:
            raise DataError(
                f"{path}: entry {i} is of {entry['image_path']}, but row {i} of the csv of {name}; "
                "both must have one order"
            )
    try:
        found = np.array([entry["keypoints"] for entry in entries], dtype=np.float64)
    except (ValueError, TypeError):
        found = np.zeros(0)
    if found.shape != (len(names), len(JOINTS), 2):
        raise DataError(f"{path}: the keypoints of every entry should be 17 pairs of numbers")
    return found
