"""Rendered people in the roles of the published data sets: one rendering a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from kpbench.api import Array, Labelled
from kpbench.people.body.skeleton import JOINTS
from kpbench.registry import load_protocol


@dataclass(frozen=True)
class People:
    """Images (N, 32, 32, 3), masks (N, 32, 32), joints (N, 32, 2) in [0, 1] in JOINTS' order."""

    images: Array
    masks: Array
    joints: Array

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Array | slice) -> People:
        return People(self.images[index], self.masks[index], self.joints[index])

    def picture(self, i: int, side: int, *, white: bool = False) -> Image.Image:
        """Return image i enlarged, before white if asked for."""
        pixels = self.images[i]
        if white:
            pixels = np.where(self.masks[i][..., None], pixels, np.uint8(255))
        return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)

    def mask(self, i: int, side: int) -> Image.Image:
        """Return the mask of image i enlarged, 0 and 255."""
        grey = Image.fromarray(self.masks[i].astype(np.uint8) * 255)
        return grey.resize((side, side), Image.Resampling.NEAREST)

    def points(self, *names: str) -> Array:
        """Return the named joints (N, len(names), 2); "a+b" is the middle of two."""
        return np.stack([self._point(name) for name in names], 1)

    def _point(self, name: str) -> Array:
        parts = [self.joints[:, JOINTS.index(part)] for part in name.split("+")]
        return np.asarray(np.mean(parts, 0))


@cache
def _rendered() -> tuple[People, People, People]:
    splits = load_protocol("people_background").splits("smoke")
    assert splits.validation is not None

    def people(part: Labelled) -> People:
        assert part.images.mask is not None and part.visible.all()
        return People(part.images.images, part.images.mask, np.array(part.landmarks))

    return people(splits.regression), people(splits.test), people(splits.validation)


def people(n_train: int, n_test: int, seed: int) -> tuple[People, People, People]:
    """Return people to learn from (96 at most), test people (24 at most) and 16 others."""
    rng = np.random.default_rng(seed)
    train, test, others = _rendered()
    assert n_train <= len(train) and n_test <= len(test)
    chosen = rng.permutation(len(train))[:n_train]
    return train[chosen], test[rng.permutation(len(test))[:n_test]], others
