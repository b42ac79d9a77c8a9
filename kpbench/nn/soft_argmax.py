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
    mass = _heatmaps(logits)
    x = (mass.sum(dim=2) * pixel_centres(width, mass)).sum(dim=-1)
    y = (mass.sum(dim=3) * pixel_centres(height, mass)).sum(dim=-1)
    return torch.stack([x, y], dim=-1)


def share_near(logits: Tensor, points: Tensor, radius: float) -> Tensor:
    """Return the share of each heatmap that lies near a point.

    It is 1 where the softmax is one narrow peak at the point, and small where it is flat or where
    the point lies between two peaks. The cells count whose centres are near.

    Args:
        logits: (B, K, H, W), any real values.
        points: (B, K, 2), (x, y) in [0, 1].
        radius: how far is near, in the same unit.

    Returns:
        (B, K) in [0, 1].

    Example:
        >>> share_near(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 2), 0.5), 0.2).tolist()
        [[0.25]]
    """
    mass = _heatmaps(logits)
    x, y = (pixel_centres(size, mass) for size in mass.shape[:1:-1])
    across = (x - points[..., :1]).square().unsqueeze(2)
    down = (y - points[..., 1:]).square().unsqueeze(3)
    return (mass * (across + down <= radius**2)).sum(dim=(2, 3)).clamp(max=1)


def _heatmaps(logits: Tensor) -> Tensor:
    """Return the softmax over both axes of each map."""
    if not torch.is_floating_point(logits) or logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return logits.flatten(2).softmax(dim=-1).view_as(logits)


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
