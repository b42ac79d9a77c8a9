"""Looking up textures on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from kpbench.api import Array
from kpbench.people.scene.textures import SIZE


def packed_texels(texels: Array, device: torch.device) -> Tensor:
    """Pack (n, SIZE, SIZE, 3) uint8 into (n * SIZE * SIZE,) int32: one gather a sample."""
    rgb = torch.as_tensor(texels, device=device).reshape(-1, 3).int()
    return rgb[:, 0] | (rgb[:, 1] << 8) | (rgb[:, 2] << 16)


def look_up(texels: Tensor, texture: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return colours (3, ...) in [0, 1] at texture coordinates, which repeat with period 1.

    Nearest texel: the renderer averages several samples a pixel, which smooths more than enough.
    """
    column = (u - u.floor()).mul_(SIZE).int().clamp_(max=SIZE - 1)
    row = (v - v.floor()).mul_(SIZE).int().clamp_(max=SIZE - 1)
    place = (texture.int() * SIZE + row).mul_(SIZE).add_(column)
    packed = texels.index_select(0, place.flatten()).view(place.shape)
    colour = torch.empty((3, *packed.shape), device=packed.device)
    for plane, shift in zip(colour, (0, 8, 16), strict=True):
        torch.div((packed >> shift).bitwise_and_(255), 255, out=plane)
    return colour
