"""Bilinear resizing whose gradient is the same in every run, on a GPU too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

_FEW = 16
"""Channels below which products over them would be too narrow."""


def resized_by_matrices(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize as `interpolate(..., mode="bilinear", align_corners=False)` does, by two products.

    On a GPU the gradient of `interpolate` adds up in the order in which threads happen to run;
    that of a matrix product does not.

    Args:
        x: (B, C, H, W), best with channels last.
        size: (height, width) wanted.

    Returns:
        (B, C, height, width), channels last.
    """
    rows, columns = (_weights(n, m, x) for n, m in zip(x.shape[-2:], size, strict=True))
    with torch.autocast(x.device.type, enabled=False):  # the weights would be rounded
        if x.shape[1] < _FEW:
            y = torch.matmul(torch.matmul(rows, x), columns.T)
            return y.contiguous(memory_format=torch.channels_last)
        batch, _, width, channels = (y := x.permute(0, 2, 3, 1)).shape
        y = torch.matmul(rows, y.flatten(2)).view(batch, size[0], width, channels)
        return torch.matmul(columns, y).permute(0, 3, 1, 2)


def _weights(n: int, wanted: int, like: Tensor) -> Tensor:
    """Return the (wanted, n) matrix of linear interpolation along an axis of n pixels."""
    identity = torch.eye(n, device=like.device)[None]
    columns = interpolate(identity, size=wanted, mode="linear", align_corners=False)[0]
    return columns.T.to(like.dtype)


def bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, H, W) to (B, C, height, width)."""
    if x.is_cuda:
        return resized_by_matrices(x, size)
    return interpolate(x, size=size, mode="bilinear", align_corners=False)


class Resize(nn.Module):
    """Bilinear resizing by a factor."""

    def __init__(self, factor: float) -> None:
        """Set the factor: 2, or 0.5 for even sides."""
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Resize (B, C, H, W)."""
        if self.factor == 0.5 and x.is_cuda:
            return avg_pool2d(x, 2)
        height, width = (int(n * self.factor) for n in x.shape[-2:])
        return bilinear(x, (height, width))
