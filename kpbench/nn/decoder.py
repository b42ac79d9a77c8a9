"""The decoder of AutoLink: a U-Net that completes a masked image along the edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kpbench.nn.detector import conv3, leaky_relu
from kpbench.nn.resize import Resize


def _convolutions(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        conv3(inputs, outputs),
        nn.BatchNorm2d(outputs),
        leaky_relu(),
        conv3(outputs, outputs),
        nn.BatchNorm2d(outputs),
    ]


class UNet(nn.Module):
    """Four halvings, four doublings with skips; no output activation.

    AutoLink's, with its channels as multiples of `width` (64 in the paper: 64, 128, 256, 512, 512
    down, 512, 256, 128, 64 up). Sides must be multiples of 16.
    """

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        """Build the layers; weights are those of PyTorch until `initialise`."""
        super().__init__()
        w = width
        self.stem = nn.Sequential(conv3(inputs, w), leaky_relu())
        self.down = nn.ModuleList(
            nn.Sequential(*_convolutions(a, b), Resize(0.5), leaky_relu())
            for a, b in ((w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w), (8 * w, 8 * w))
        )
        self.up = nn.ModuleList(
            nn.Sequential(Resize(2), *_convolutions(a, b), leaky_relu())
            for a, b in ((8 * w, 8 * w), (16 * w, 4 * w), (8 * w, 2 * w), (4 * w, w))
        )
        self.head = conv3(2 * w, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        x = self.stem(x)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for block in self.up:
            x = torch.cat([block(x), skips.pop()], dim=1)
        completed: Tensor = self.head(x)
        return completed
