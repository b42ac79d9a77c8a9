"""Plain versions of layers, as their formulas read: what the fast ones are checked against."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from kpbench.nn import edge_ends
from kpbench.nn.soft_argmax import pixel_centres


def edge_map_reference(
    points: Tensor, weights: Tensor, size: tuple[int, int], thickness: float
) -> Tensor:
    """Draw every edge at every pixel and take the maximum, by `kpbench.nn.edge_map`'s formula.

    Computed in the type given, differentiated by autograd, with memory for all E maps. Where edges
    tie they share the gradient.

    Args:
        points: (B, K, 2), (x, y) in [0, 1]; K at least 2.
        weights: (E,) weights >= 0, in the order of `edge_ends`.
        size: (height, width) of the map in pixels.
        thickness: > 0.

    Returns:
        (B, 1, height, width).
    """
    first, second = edge_ends(points.shape[1], points.device)
    ends = (2 * points - 1)[:, :, None, None]
    start, span = ends[:, first], ends[:, second] - ends[:, first]
    y, x = (2 * pixel_centres(n, points) - 1 for n in size)
    pixel = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    squared = span.square().sum(-1)
    along = ((pixel - start) * span).sum(-1) / torch.where(squared > 0, squared, 1)
    nearest = start + along.clamp(0, 1)[..., None] * span
    distance = (pixel - nearest).square().sum(-1)
    drawn = weights[:, None, None] * torch.exp(-distance / thickness)
    return drawn.amax(dim=1, keepdim=True)


def convolved_then_halved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Return what `HalvingConv` computes: a 3 x 3 convolution, then bilinear resizing by 0.5.

    Args:
        conv: its 3 x 3 kernel and bias are taken.
        x: (B, inputs, H, W); H and W are even.
    """
    whole = conv2d(x, conv.weight, conv.bias, padding=1)
    return interpolate(whole, scale_factor=0.5, mode="bilinear", align_corners=False)
