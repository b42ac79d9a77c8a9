"""The keypoint detector of AutoLink: a small ResNet with upsampling."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from kpbench.nn.resize import Resize
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


def leaky_relu() -> nn.LeakyReLU:
    """Return AutoLink's activation; it overwrites its input, which nothing else may need."""
    return nn.LeakyReLU(SLOPE, inplace=True)


class HalvingConv(nn.Conv2d):
    """A 3 x 3 convolution followed by the mean of each 2 x 2 pixels, as one of 4 x 4 and stride 2.

    That is what bilinear resizing by 0.5 after a convolution amounts to, at less than half of the
    multiplications. Parameters are those of the 3 x 3 convolution.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build a 3 x 3 convolution."""
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H/2, W/2); H and W are even."""
        # The mean of the kernel at four places, zero outside.
        kernel = avg_pool2d(self.weight, 2, stride=1, padding=1)
        return conv2d(x, kernel, self.bias, stride=2, padding=1)


class ResidualBlock(nn.Module):
    """Halve the size; the shortcut is a convolution too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build both paths."""
        super().__init__()
        self.main = nn.Sequential(
            HalvingConv(inputs, outputs),
            nn.Identity(),  # layers keep their numbers in the files of weights
            nn.BatchNorm2d(outputs),
            leaky_relu(),
            conv3(outputs, outputs),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            HalvingConv(inputs, outputs), nn.Identity(), nn.BatchNorm2d(outputs)
        )
        self.activation = leaky_relu()

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
            nn.Sequential(Resize(2), conv3(a, a // 2), nn.BatchNorm2d(a // 2), leaky_relu())
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
