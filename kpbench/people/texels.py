"""Looking up textures on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from kpbench.people.textures import SIZE, TextureBank


def planar_texels(bank: TextureBank, device: torch.device) -> Tensor:
    """Return the bank as (3, n * SIZE * SIZE) for `look_up`."""
    return torch.as_tensor(bank.texels, device=device).reshape(-1, 3).T.contiguous()


def look_up(texels: Tensor, texture: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return colours (3, ...) at texture coordinates, which repeat with period 1.

    Nearest texel: the renderer averages several samples a pixel, which smooths more than enough.
    """
    column = ((u - u.floor()) * SIZE).long().clamp_(max=SIZE - 1)
    row = ((v - v.floor()) * SIZE).long().clamp_(max=SIZE - 1)
    return texels[:, (texture * SIZE + row) * SIZE + column]
