"""CelebA: five points on faces, aligned or as photographed, and the MAFL subset of 20,000 faces.

Layout, below the folder of the data set::

    Img/img_align_celeba_hq/000001.jpg    or img_align_celeba, or img_align_celeba_png (.png)
    Img/img_celeba/000001.jpg             as photographed
    Anno/list_landmarks_align_celeba.txt  number of rows, header, then name and x y of 5 points
    Anno/list_landmarks_celeba.txt        the same for the photographs
    Anno/list_bbox_celeba.txt             number of rows, header, then name, x, y, width, height
    Anno/list_imsize_celeba.txt           optional (GANSeg): name, HEIGHT, WIDTH
    Anno/identity_CelebA.txt              optional: name, person
    Eval/list_eval_partition.txt          name, and 0 for training
    MAFL/training.txt, MAFL/testing.txt   names; 19,000 and 1,000
    MAFL/celebA_training.txt              names; training without MAFL's test faces

AutoLink and GANSeg keep the files of Anno, and img_celeba, at the top; both places are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench import Array, Box, DataError, Rows, Source
from kpbench.files.image.sizes import image_sizes
from kpbench.files.tables import read_words

from .lists import found, mafl, numbers, people, places

LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
ALIGNED_SIZE = (178, 218)
"""Width and height of an aligned image; its landmarks are pixels of that."""
LEAST_FACE = 0.3
"""Share of the image that the box of a face must cover, in all papers' code."""
_UPRIGHT = ((0, 3), (1, 4), (0, 2), (1, 2))
_SIDEWAYS = ((0, 1), (3, 4))
"""CelebA's left eye is the one on the left of the picture."""


@dataclass(frozen=True)
class CelebaAligned(Source):
    """Aligned CelebA, with landmarks regressed and tested on MAFL.

    `geometry` is a paper's rule of what is shown and what is learnt from:

    - "imm": resized to 160, the central 128 of it, so without 10 % of width and height on each
      side. Discovery: CelebA's training part without MAFL's test and validation (160,215);
      regression: MAFL's training faces without validation (17,100).
    - "zhang": resized to 100, the central 80, which is the same region. Discovery: CelebA's
      training part without MAFL's test (161,962); regression: MAFL's training faces (19,000).
    - "dve": rows 30 to 208, resized to 100, the central 70; the only one that keeps the
      proportions of a face. Discovery: CelebA's training part without MAFL (146,501); regression:
      19,000.
    - "whole" (StableKeypoints): the whole image; discovery and regression: the 19,000.

    Validation is the last 10 % of MAFL's training list, in its order, as in IMM; the others learn
    from it unless it is asked for. Landmarks outside of the region stay labelled, as in all four.
    The papers' resizing differs from ours by less than a pixel (IMM aligns the corners).

    Sources: IMM, imm/datasets/celeba_dataset.py; Zhang et al., nets/data/celeba_mafl_100x100_80x80;
    DVE, data_loader/data_loaders.py; StableKeypoints, datasets/celeba.py. The numbers are counted
    from the published lists.

    Attributes:
        geometry: see above.
        split: what `parts["test"]` is: MAFL's test faces, or the validation.
    """

    geometry: str = "imm"
    split: str = "test"

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "geometry": ("imm", "zhang", "dve", "whole"),
        "split": ("test", "validation"),
    }
    upright: ClassVar[Sequence[tuple[int, int]]] = _UPRIGHT
    sideways: ClassVar[Sequence[tuple[int, int]]] = _SIDEWAYS

    @property
    def parts(self) -> Mapping[str, str]:
        """Return {"discovery", "regression", "test"}: the part that each is."""
        discovery = "regression" if self.geometry == "whole" else "discovery"
        return {"discovery": discovery, "regression": "regression", "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List one part: in the order of the partition file (discovery) or of MAFL's lists.

        Raises:
            DataError: a list is missing, or names a face that another list lacks; names the file.
        """
        names = self._names(root, part)
        folder = found(
            root, "Img/img_align_celeba_hq", "Img/img_align_celeba", "Img/img_align_celeba_png"
        )
        as_png = names[0].removesuffix(".jpg") + ".png"
        suffix = ".png" if (folder / as_png).exists() else ".jpg"
        table = found(root, *places("list_landmarks_align_celeba.txt"))
        relative = folder.relative_to(root).as_posix()
        return Rows(
            np.array([f"{relative}/{name.removesuffix('.jpg')}{suffix}" for name in names]),
            numbers(table, names, 10, skip=2).reshape(-1, 5, 2),
            groups=people(root, names),
        )

    def _names(self, root: Path, part: str) -> list[str]:
        train, validation, test = mafl(root)
        if part in ("test", "validation"):
            return test if part == "test" else validation
        kept_out = self.geometry == "imm" or self.split == "validation"
        if part == "regression":
            return train if kept_out else train + validation
        partition = read_words(found(root, "Eval/list_eval_partition.txt"))
        without = {*test, *(validation if kept_out else ())}
        if self.geometry == "dve":
            without |= {*train, *validation}
        names = [row[0] for row in partition if row[1:] == ["0"] and row[0] not in without]
        if not names:
            raise DataError(f"{root}: the lists leave no face to learn from")
        return names

    def region(self, rows: Rows, i: int, size: tuple[int, int], points: Array | None) -> Box:
        """Return the region that `geometry` shows.

        Raises:
            DataError: the image is not of the size to which the landmarks refer.
        """
        if size != ALIGNED_SIZE:
            raise DataError(
                f"{rows.files[i]} has {size[0]} x {size[1]} pixels, but the landmarks of aligned "
                f"faces refer to {ALIGNED_SIZE[0]} x {ALIGNED_SIZE[1]}"
            )
        width, height = map(float, size)
        if self.geometry == "whole":
            return (0.0, 0.0, width, height)
        if self.geometry == "dve":
            margin = 0.15 * width
            return (margin, 30 + margin, width - margin, 30 + width - margin)
        return (0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height)


@dataclass(frozen=True)
class CelebaWild(Source):
    """CelebA as photographed, faces that fill at least 30 % of the image; tested on MAFL.

    The whole image is shown, squeezed into a square. Validation is the last 10 % of MAFL's training
    list, as for aligned faces; training then leaves it out.

    Sources: AutoLink, datasets/preprocess/celeba_wild_preprocess.py; GANSeg, the same file, with
    correct sizes; StableKeypoints, datasets/celeba.py.

    Attributes:
        preprocessing: "correct", or "autolink": the script that AutoLink has released since January
            2023 takes (width, height) for (height, width), so that rows are divided by the width
            and columns by the height. The paper's numbers are older than this.
        discovery: images without labels: "celeba" (CelebA's training faces that MAFL does not test:
            AutoLink, GANSeg, SCOPS), or "mafl" (StableKeypoints).
        split: what `parts["test"]` is.
    """

    preprocessing: str = "correct"
    discovery: str = "celeba"
    split: str = "test"

    gives = ("aspect", "boxes")
    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "preprocessing": ("correct", "autolink"),
        "discovery": ("celeba", "mafl"),
        "split": ("test", "validation"),
    }
    upright: ClassVar[Sequence[tuple[int, int]]] = _UPRIGHT
    sideways: ClassVar[Sequence[tuple[int, int]]] = _SIDEWAYS

    @property
    def parts(self) -> Mapping[str, str]:
        """Return {"discovery", "regression", "test"}: the part that each is."""
        discovery = "regression" if self.discovery == "mafl" else "discovery"
        return {"discovery": discovery, "regression": "regression", "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List the faces of one part that are large enough, in the order of its list.

        Without `list_imsize_celeba.txt` the sizes are read from the heads of the image files.

        Raises:
            DataError: a list or an image is missing; names the file.
        """
        names = self._names(root, part)
        boxes = numbers(found(root, *places("list_bbox_celeba.txt")), names, 4, skip=2)
        folder = found(root, "Img/img_celeba", "img_celeba")
        sizes = _sizes(root, folder, names)
        large = boxes[:, 2:].prod(1) >= LEAST_FACE * sizes.prod(1)
        kept = [name for name, keep in zip(names, large, strict=True) if keep]
        if not kept:
            raise DataError(f"{root}: no face of the part {part!r} fills 30 % of its image")
        table = found(root, *places("list_landmarks_celeba.txt"))
        relative = folder.relative_to(root).as_posix()
        return Rows(
            np.array([f"{relative}/{name}" for name in kept]),
            numbers(table, kept, 10, skip=2).reshape(-1, 5, 2),
            groups=people(root, kept),
            boxes=np.hstack([boxes[large, :2], boxes[large, :2] + boxes[large, 2:]]),
            sizes=sizes[large].astype(int),
        )

    def _names(self, root: Path, part: str) -> list[str]:
        train, validation, test = mafl(root)
        if part in ("test", "validation"):
            return test if part == "test" else validation
        held = {*validation} if self.split == "validation" else set()
        if part == "regression":
            return train if held else train + validation
        everything = read_words(found(root, "MAFL/celebA_training.txt"))
        return [row[0] for row in everything if row[0] not in held]

    def labels(self, root: Path, rows: Rows, i: int, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return landmarks (5, 2) in pixels of the image file, and that all are visible.

        Raises:
            DataError: the image is not of the size that the list says.
        """
        if rows.sizes is not None and tuple(rows.sizes[i]) != size:
            raise DataError(
                f"{rows.files[i]} is {size[0]} wide and {size[1]} high, but list_imsize_celeba.txt "
                "says otherwise (its columns are name, HEIGHT, WIDTH); landmarks refer to the "
                "original size. If the image is the original one, delete the list: it is optional"
            )
        points, seen = super().labels(root, rows, i, size)
        if self.preprocessing == "autolink":
            points = points * (size[0] / size[1], size[1] / size[0])
        return points, seen


def _sizes(root: Path, folder: Path, names: Sequence[str]) -> Array:
    """Return (N, 2), width and height of the images."""
    for place in places("list_imsize_celeba.txt"):
        if (root / place).exists():
            return numbers(root / place, names, 2, skip=0)[:, ::-1]  # height comes first
    return image_sizes([folder / name for name in names])
