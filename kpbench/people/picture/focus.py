"""What lies before or behind the person is out of focus, as a thin lens makes it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

LEVELS = 3
"""Blurred copies that the picture is put together from, besides the sharp one."""


def circle_of_confusion(depth: Tensor, focal: Tensor, distance: Tensor, aperture: Tensor) -> Tensor:
    """Return the diameter of the disc that a point becomes, in image widths.

    A thin lens of diameter A and focal length f (small against the distances) that is focused at
    d0 images a point at depth d as a disc of A f |d - d0| / (d d0).

    Args:
        depth: (B, P) metres, positive.
        focal: (B,) in image widths.
        distance: (B,) metres, of what is sharp.
        aperture: (B,) metres.
    """
    away = (depth - distance[:, None]).abs() / depth
    return (aperture * focal / distance)[:, None] * away


def defocused(colour: Tensor, diameter: Tensor) -> Tensor:
    """Return pictures in which every sample is blurred by a disc of its own.

    The disc is a Gaussian of the same variance: a quarter of the diameter along each axis. Between
    `LEVELS` blurred copies, up to the strongest of each picture, values are interpolated.

    Args:
        colour: (3, B, S, S).
        diameter: (B, S, S) in samples.
    """
    spread = diameter / 4
    strongest = spread.flatten(1).amax(1)
    if not bool((strongest > 0).any()):
        return colour
    level = spread / strongest.clamp(min=1e-6)[:, None, None] * LEVELS
    found = colour * (1 - level).clamp(min=0)
    for number in range(1, LEVELS + 1):
        weight = (1 - (level - number).abs()).clamp(min=0)
        found += _blurred(colour, strongest * (number / LEVELS)) * weight
    return found


def _blurred(colour: Tensor, spread: Tensor) -> Tensor:
    """Blur (3, B, S, S) by Gaussians of (B,) standard deviations, with replicated borders."""
    radius = int(torch.ceil(3 * spread.max()).clamp(min=1))
    steps = torch.arange(-radius, radius + 1, device=colour.device, dtype=colour.dtype)
    kernel = torch.exp(-(steps**2) / (2 * spread.clamp(min=1e-3)[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, None]
    for _ in range(2):  # rows, then columns
        rows = colour.permute(0, 2, 1, 3).flatten(0, 1)  # (3 S, B, S)
        blurred = conv1d(pad(rows, (radius, radius), mode="replicate"), kernel, groups=len(kernel))
        colour = blurred.view(3, -1, *blurred.shape[1:]).permute(0, 2, 3, 1)
    return colour.contiguous()
