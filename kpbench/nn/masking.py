"""Hiding most of an image, so that what is behind must be inferred from the keypoints."""

from __future__ import annotations

import torch
from torch import Tensor

from kpbench.nn.images import sent


def random_grid_mask(
    batch: int,
    size: tuple[int, int],
    *,
    cells: int,
    ratio: float,
    generator: torch.Generator,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Draw which pixels stay visible: a grid of cells, each hidden with probability `ratio`.

    AutoLink hides 80 % of 16 x 16 cells, independently for each image. Multiplying an image in
    [-1, 1] by the mask makes the holes 0, that is mid-grey.

    Args:
        batch: number of images.
        size: (height, width) in pixels.
        cells: cells along each side; pixels take the value of the nearest cell.
        ratio: probability in [0, 1] that a cell is hidden.
        generator: source of randomness, on the CPU so that all devices see the same mask.
        device: where the mask is wanted.

    Returns:
        (batch, 1, height, width) float32 on the device, 1 = visible.
    """
    noise = torch.rand((batch, 1, cells, cells), generator=generator)
    visible = sent((noise >= ratio).float(), device)
    return torch.nn.functional.interpolate(visible, size=size, mode="nearest")
