"""What lies before or behind the person is out of focus, as a thin lens makes it."""

from __future__ import annotations

import math
from itertools import zip_longest

import torch
from torch import Tensor
from torch.nn.functional import pad

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
    """Blur (3, B, S, S) by Gaussians of (B,) standard deviations, with replicated borders.

    The shifted pictures are added one by one. A convolution would round otherwise for every batch
    (and in half precision on some GPUs), so that a picture would depend on those beside it.
    """
    kernels = [_kernel(deviation) for deviation in spread.tolist()]
    rows = list(zip_longest(*kernels, fillvalue=0.0))  # of the same distance, one a picture
    weights = torch.tensor(rows, dtype=colour.dtype, device=colour.device)[..., None, None]
    radius, size = len(weights) - 1, colour.shape[-1]
    for axis, border in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        wide = pad(colour, border, mode="replicate")
        colour = colour * weights[0]
        for away in range(1, radius + 1):
            pair = wide.narrow(axis, radius - away, size) + wide.narrow(axis, radius + away, size)
            colour += pair.mul_(weights[away])
    return colour


def _kernel(deviation: float) -> list[float]:
    """Return the weights of a Gaussian at distances 0, 1, ... up to three deviations."""
    variance = max(deviation, 1e-3) ** 2
    half = [math.exp(-(away**2) / (2 * variance)) for away in range(math.ceil(3 * deviation) + 1)]
    total = math.fsum([*half, *half[1:]])
    return [weight / total for weight in half]
