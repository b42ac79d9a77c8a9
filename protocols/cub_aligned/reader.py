"""CUB aligned as in Lorenz et al. (2019): birds cropped and mirrored so that all look to the left.

Layout, in the folder of the data set, as in theRealSuperMario/unsupervised-disentangling (branch
reproducing_baselines, original_code/custom_datasets/cub_200_2011)::

    train.csv, test.csv            idx, fname, fname_original, category; 4,735 and 4,630 rows
    train_kp.npy, test_kp.npy      N x 15 x 3: x, y in [0, 1] of the image, visible 0 or 1
    images/train/00181.png         as fname says

The images are a separate download, said to have 300 x 300 pixels; as the landmarks are shares of
the image, any size will do. Invisible parts are stored as (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench import Array, DataError, Rows, Source
from kpbench.files.image.sizes import image_sizes
from kpbench.files.tables import read_csv

from ..cub.reader import PARTS, UPRIGHT

EVERY = 10
"""One of so many training images is for validation: the list is in the order of the classes."""


@dataclass(frozen=True)
class CubAligned(Source):
    """Lorenz et al.'s list; the whole image is shown.

    No released code scores it from end to end: StableKeypoints' loader for "cub_aligned" reads a
    `cub.h5` of which neither maker nor content is published.

    Attributes:
        split: what `parts["test"]` is; for "validation", every tenth training image, which training
            then leaves out.
    """

    split: str = "test"

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {"split": ("test", "validation")}
    upright: ClassVar[Sequence[tuple[int, int]]] = UPRIGHT

    @property
    def parts(self) -> Mapping[str, str]:
        """Return {"discovery", "regression", "test"}: the part that each is."""
        return {"discovery": "train", "regression": "train", "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List the birds of one part, in the order of the csv.

        Raises:
            DataError: a file is missing, or the two of a part do not belong together; names it.
        """
        name = "test" if part == "test" else "train"
        files = read_csv(root / f"{name}.csv", ["fname"])["fname"]
        parts = _parts(root / f"{name}_kp.npy", len(files))
        sizes = image_sizes([root / file for file in files])
        rows = Rows(files, parts[..., :2] * sizes[:, None], parts[..., 2] > 0, sizes=sizes)
        held = np.arange(len(rows)) % EVERY == EVERY - 1
        if part == "validation":
            return rows[held]
        return rows[~held] if self.split == "validation" and part == "train" else rows


def _parts(path: Path, count: int) -> Array:
    """Return (N, 15, 3) float64."""
    try:
        parts = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array of numbers: {error}") from error
    if parts.dtype.kind not in "fiu":
        raise DataError(f"{path}: holds no array of numbers")
    if parts.shape != (count, len(PARTS), 3):
        raise DataError(
            f"{path}: has shape {parts.shape}, but {path.with_name(path.name[:-7] + '.csv').name} "
            f"lists {count} images of {len(PARTS)} parts"
        )
    return parts.astype(np.float64)
