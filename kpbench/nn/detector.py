"""The keypoint detector of AutoLink: a small ResNet with upsampling."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import interpolate

from kpbench.nn.soft_argmax import soft_argmax

SLOPE = 0.2
"""Negative slope of every leaky ReLU of AutoLink."""


def initialise(module: nn.Module) -> None:
    """Kaiming-normal weights for the leaky ReLU and zero biases, in every convolution."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Resize(nn.Module):
    """Bilinear resizing by a factor."""

    def __init__(self, factor: float) -> None:
        """Set the factor, 0.5 or 2."""
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Resize (B, C, H, W)."""
        return interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """Halve the size; the shortcut is a convolution too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build both paths."""
        super().__init__()
        self.main = nn.Sequential(
            conv3(inputs, outputs),
            Resize(0.5),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            conv3(outputs, outputs),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(conv3(inputs, outputs), Resize(0.5), nn.BatchNorm2d(outputs))
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H/2, W/2)."""
        activated: Tensor = self.activation(self.main(x) + self.shortcut(x))
        return activated


class Detection(NamedTuple):
    """What the detector computes.

    Attributes:
        points: (B, K, 2), (x, y) in (0, 1).
        logits: (B, K, n, n), before the softmax; n is a quarter of the image size.
        resnet: activations after the first residual block, (B, width, H/2, W/2).
        transposed_conv: activations after the first upsampling block, (B, 4 width, H/8, W/8).
    """

    points: Tensor
    logits: Tensor
    resnet: Tensor
    transposed_conv: Tensor


class Detector(nn.Module):
    """Four residual blocks down, two upsampling blocks, one map a keypoint.

    AutoLink's, with its channels as multiples of `width` (64 in the paper: 64, 128, 256, 512 down,
    256, 128 up). Sides must be multiples of 16.
    """

    def __init__(self, n_keypoints: int, width: int) -> None:
        """Build the layers; weights are those of PyTorch until `initialise`."""
        super().__init__()
        channels = (3, width, 2 * width, 4 * width, 8 * width)
        self.down = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(channels))
        self.up = nn.ModuleList(
            nn.Sequential(Resize(2), conv3(a, a // 2), nn.BatchNorm2d(a // 2), nn.LeakyReLU(SLOPE))
            for a in (8 * width, 4 * width)
        )
        self.head = conv3(2 * width, n_keypoints)

    def forward(self, images: Tensor) -> Detection:
        """Find keypoints in (B, 3, H, W) images with values in [-1, 1]."""
        x = resnet = self.down[0](images)
        for block in self.down[1:]:
            x = block(x)
        x = transposed_conv = self.up[0](x)
        logits = self.head(self.up[1](x))
        return Detection(soft_argmax(logits), logits, resnet, transposed_conv)
