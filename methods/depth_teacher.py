"""The teacher of Distill-DKP: AutoLink on depth maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kpbench import Array, ImageSet, Method

from .autolink import RECIPES as OF_AUTOLINK
from .autolink import AutoLink

_NEAREST, _FURTHEST = 255, 64

RECIPES = {
    name: {"weight_decay": AutoLink.weight_decay, **values} for name, values in OF_AUTOLINK.items()
}
"""AutoLink's, with its weight decay, so that rows differ in the teacher alone."""


def inverse_depth(depth: Array) -> Array:
    """Return depth maps as images like those of MiDaS: near is bright, scaled image by image.

    Inverse distance is stretched between its 1st and 99th percentiles over the pixels that show a
    surface, to the values 64 to 255; 0 is left for "no surface", so that a person before nothing
    keeps its relief and its outline.

    Args:
        depth: (N, H, W) uint16, millimetres, 0 = no surface.

    Returns:
        (N, H, W, 3) uint8, three equal channels.

    Example:
        >>> inverse_depth(np.array([[[0, 1000], [2000, 4000]]], np.uint16))[0, :, :, 0].tolist()
        [[0, 255], [128, 64]]
    """
    grey = np.zeros(depth.shape, np.uint8)
    for image, millimetres in zip(grey, depth, strict=True):
        surface = millimetres > 0
        if not surface.any():
            continue
        inverse = 1 / millimetres[surface].astype(np.float32)
        far, near = np.percentile(inverse, [1, 99])
        share = np.clip((inverse - far) / max(near - far, 1e-9), 0, 1)
        image[surface] = np.rint(_FURTHEST + (_NEAREST - _FURTHEST) * share)
    return np.repeat(grey[..., None], 3, axis=-1)


@dataclass
class DepthTeacher(AutoLink):
    """AutoLink on depth maps, while training and at prediction (Distill-DKP section 3.2).

    The paper estimates depth from RGB with MiDaS; here it is what the data set provides. It prints
    Adam and no weight decay, though AutoLink's code, on which it builds, has AdamW with a decay of
    1e-3. `paper` is as printed: AdamW without decay is Adam. The other recipes decay as AutoLink.
    """

    name = "depth_teacher"
    needs = ("depth",)
    inputs = ("depth",)
    paper = "Distill-DKP, arXiv:2410.14700, depth teacher"
    recipes = RECIPES

    weight_decay: float = 0.0

    def pixels(self, images: ImageSet) -> Array:
        """Return the inverse depth maps.

        Raises:
            InvalidInputError: the images have no depth.
        """
        depth = images.restricted(("depth",)).depth
        assert depth is not None
        return inverse_depth(depth)


PLUGIN: Method = DepthTeacher()
