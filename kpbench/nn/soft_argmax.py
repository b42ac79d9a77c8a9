"""From heatmaps to points."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_centres(size: int, like: Tensor) -> Tensor:
    """Return (size,) positions (i + 0.5) / size, with the device and type of `like`."""
    return (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size


def soft_argmax(logits: Tensor) -> Tensor:
    """Return the expected position under a softmax over both axes of each map.

    AutoLink and Distill-DKP eq. 1, at temperature 1. They put the corners of the grid at the
    centres of the outer cells; here a cell lies at its centre, as everywhere in kpbench.

    Args:
        logits: (B, K, H, W), any real values.

    Returns:
        (B, K, 2) points (x, y) in (0, 1).

    Example:
        >>> logits = torch.full((1, 1, 4, 8), -1e9)
        >>> logits[0, 0, 3, 0] = 0.0  # last row, first column
        >>> soft_argmax(logits).tolist()
        [[[0.0625, 0.875]]]
    """
    height, width = logits.shape[-2:]
    if not torch.is_floating_point(logits) or logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    mass = logits.flatten(2).softmax(dim=-1).view_as(logits)
    x = (mass.sum(dim=2) * pixel_centres(width, mass)).sum(dim=-1)
    y = (mass.sum(dim=3) * pixel_centres(height, mass)).sum(dim=-1)
    return torch.stack([x, y], dim=-1)


def centres_of_mass(weights: Tensor) -> Tensor:
    """Return the mean place of each map, weighted by what it holds there.

    Args:
        weights: (B, K, H, W), not negative, and not 0 everywhere in a map.

    Returns:
        (B, K, 2) points (x, y) in (0, 1).

    Example:
        >>> weights = torch.zeros(1, 1, 2, 4)
        >>> weights[0, 0, 1, :2] = torch.tensor([3.0, 1.0])  # last row
        >>> centres_of_mass(weights).tolist()
        [[[0.1875, 0.75]]]
    """
    y, x = (pixel_centres(size, weights) for size in weights.shape[-2:])
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    mass = weights.flatten(2)
    return (mass @ grid) / mass.sum(dim=2, keepdim=True)
