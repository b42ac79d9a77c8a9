"""CUB-200-2011, birds as photographed, with the annotation that CMR cleaned.

Layout, below the folder of the data set::

    CUB_200_2011/images/001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg
    CUB_200_2011/cachedir/cub/data/{train,val,test}_cub_cleaned.mat

Each mat-file has a structure array `images` with rel_path, bbox (x1, y1, x2, y2), parts (3 x 15: x,
y, visible). Boxes and parts count pixels from 1 and include the last one. "train" is
CUB's training split, "val" and "test" are halves of its test split, without the birds that show too
few parts. CMR's split_cub.m puts one image in both halves.

Not read: `cub.h5`, a name that three papers give to three things (AutoLink: boxes of all birds,
which `crop="autolink"` repeats; GANSeg: with segmentations; StableKeypoints: aligned birds, not
published).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench import Array, Box, DataError, Rows, Source
from kpbench.files.image.sizes import image_sizes
from kpbench.files.matlab import read_mat

from .autolink_crops import cut_square, shifted

PARTS = (
    *("back", "beak", "belly", "breast", "crown", "forehead", "left_eye", "left_leg", "left_wing"),
    *("nape", "right_eye", "right_leg", "right_wing", "tail", "throat"),
)
UPRIGHT = ((4, 2), (4, 3), (4, 7), (4, 11))
"""The crown above belly, breast and legs."""
_UNCERTAIN = (
    "uncertain: the papers count CUB's own list, of which CMR left out birds that show too few "
    "parts; a public log of train_cub_cleaned.mat shows 29 of class 001"
)
OF_A_CLASS = dict.fromkeys(("discovery", "regression", "test"), _UNCERTAIN)
"""Why the images of a class may be fewer than published."""
OF_ALL = dict.fromkeys(
    ("discovery", "regression"), "uncertain: no paper counts CMR's training images"
)
PADDING = 0.05
"""Of the width and height of the box, on each side: CMR and StableKeypoints."""


@dataclass(frozen=True)
class Cub(Source):
    """Birds cropped by their box.

    Attributes:
        classes: which birds. "all"; or one class, "001", "002", "003", learnt from its own training
            images (StableKeypoints); or "001_of_three" and so on, learnt from the training images
            of classes 1 to 3 together and tested on one (Huang and Li, Choudhury, AutoLink).
        crop: what is shown, and so the unit of the landmarks:
            "padded_square": the box padded by 5 % on each side and squared about its centre, in
            whole pixels, black outside of the image (CMR, StableKeypoints, whose random shift and
            mirror image in training are left out: fits and scores do not depend on chance here);
            "clipped_square": a square of the box's longer side about its centre, clipped to the
            image and squeezed into a square (AutoLink);
            "whole": the whole image, squeezed (Huang and Li, Choudhury, who divide errors by width
            and height of the box; they resize the shorter side and cut to multiples of 16);
            "autolink": what the released cub_preprocess.py makes of "clipped_square", faults
            included, see `autolink_crops`.
        split: what `parts["test"]` is, of CUB's test split: "test", the half that is so called (all
            that AutoLink and StableKeypoints score on "all", and StableKeypoints on a class);
            "validation", the other half; "official", both (all others on a class).
    """

    classes: str = "all"
    crop: str = "padded_square"
    split: str = "test"

    gives = ("aspect", "boxes")
    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "classes": (
            *("all", "001", "002", "003"),
            *("001_of_three", "002_of_three", "003_of_three"),
        ),
        "crop": ("padded_square", "clipped_square", "whole", "autolink"),
        "split": ("test", "validation", "official"),
    }
    upright: ClassVar[Sequence[tuple[int, int]]] = UPRIGHT

    @property
    def parts(self) -> Mapping[str, str]:
        """Return {"discovery", "regression", "test"}: the part that each is."""
        return {"discovery": "train", "regression": "train", "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List the birds of one part, in the order of the mat-files.

        Raises:
            DataError: a mat-file is missing, or not as CMR made it; names the file.
        """
        birds = [bird for bird in _birds(root, part) if self._holds(part, bird.number)]
        if not birds:
            raise DataError(f"{root}: no bird of class {self.classes} in the part {part!r}")
        parts = np.stack([bird.parts for bird in birds])
        boxes = np.stack([bird.box for bird in birds]) - (1, 1, 0, 0)
        points, seen = parts[:, :2].transpose(0, 2, 1) - 1, parts[:, 2] > 0
        files = [f"CUB_200_2011/images/{bird.path}" for bird in birds]
        sizes = None
        if self.crop == "autolink":
            sizes = image_sizes([root / file for file in files])
            # the objects of one class's test images had been shifted before, with all others
            times = 1 if self.classes == "all" or part == "train" else 2
            points, seen = shifted(points + 1, seen, sizes, times)
        return Rows(np.array(files), points, seen, boxes=boxes, sizes=sizes)

    def _holds(self, part: str, number: int) -> bool:
        """Return whether a part has the birds of a class."""
        if self.classes == "all":
            return True
        if part == "train" and self.classes.endswith("_of_three"):
            return number <= 3
        return number == int(self.classes[:3])

    def region(self, rows: Rows, i: int, size: tuple[int, int], points: Array | None) -> Box:
        """Return the region that `crop` shows."""
        assert rows.boxes is not None
        box = rows.boxes[i]
        if self.crop == "padded_square":
            return padded_square(box)
        if self.crop == "clipped_square":
            return clipped_square(box, size)
        if self.crop == "autolink":
            return cut_square(box + np.array([1, 1, 0, 0]), size)
        return (0.0, 0.0, float(size[0]), float(size[1]))


def padded_square(box: Array) -> Box:
    """Return CMR's square about a bird, in whole pixels; it may reach outside of the image.

    Args:
        box: (4,) left, top, right, bottom edge of the bird in pixels.

    Example:
        >>> padded_square(np.array([10.0, 20.0, 110.0, 60.0]))
        (5.0, -15.0, 115.0, 95.0)
    """
    first, last = box[:2], box[2:] - 1  # the pixels, both included
    pad = PADDING * (last - first + 1)
    first, last = np.rint(first - pad), np.rint(last + pad)
    extent = last - first + 1
    side = extent.max()
    left, top = first - np.rint((side - extent) / 2)
    return (float(left), float(top), float(left + side), float(top + side))


def clipped_square(box: Array, size: tuple[int, int]) -> Box:
    """Return AutoLink's square about a bird, clipped to the image.

    Args:
        box: (4,) left, top, right, bottom edge of the bird in pixels.
        size: (width, height) of the image.

    Example:
        >>> clipped_square(np.array([10.0, 20.0, 110.0, 60.0]), (200, 100))
        (10.0, 0.0, 110.0, 90.0)
    """
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2
    left, top = np.maximum(middle - half, 0)
    right, bottom = np.minimum(middle + half, size)
    return (float(left), float(top), float(right), float(bottom))


@dataclass(frozen=True)
class _Bird:
    """One entry of a mat-file: class, image, box (4,) and parts (3, 15), pixels from 1."""

    number: int
    path: str
    box: Array
    parts: Array


def _birds(root: Path, part: str) -> list[_Bird]:
    """Return the birds of one part."""
    names = {"official": ("val", "test"), "validation": ("val", "test")}.get(part, (part,))
    halves = [_cleaned(root, name) for name in names]
    if len(halves) == 1:
        return halves[0]
    # one image is in both halves: a test image everywhere
    tested = {bird.path for bird in halves[1]}
    validation = [bird for bird in halves[0] if bird.path not in tested]
    return validation if part == "validation" else validation + halves[1]


def _cleaned(root: Path, name: str) -> list[_Bird]:
    path = root / "CUB_200_2011" / "cachedir" / "cub" / "data" / f"{name}_cub_cleaned.mat"
    found = read_mat(path, "images")["images"]
    return [_bird(item, i, path) for i, item in enumerate(_listed(found))]


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _bird(item: Any, i: int, path: Path) -> _Bird:
    try:
        box = np.array([float(item["bbox"][name]) for name in ("x1", "y1", "x2", "y2")])
        parts = np.asarray(item["parts"], float)
        image = str(item["rel_path"])
        number = int(image.partition(".")[0])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: entry {i + 1} of images is not as in CMR: {error!r}") from None
    if parts.shape != (3, len(PARTS)) or not np.isfinite(box).all() or (box[2:] < box[:2]).any():
        raise DataError(f"{path}: entry {i + 1}: box {box}, parts of shape {parts.shape}")
    return _Bird(number, image, box, parts)
