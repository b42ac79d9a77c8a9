"""Image distance in the feature space of a frozen classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from kpbench.errors import MissingWeightsError, UnknownNameError
from kpbench.nn.efficientnet_lite0 import (
    EfficientNetLite0,
    fold,
    random_efficientnet_lite0,
    trained_efficientnet_lite0,
)
from kpbench.nn.resize import bilinear

Backbone = Literal["vgg16", "efficientnet_lite0", "random"]
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)

_VGG16_FILE = "vgg16-397923af.pth"
_VGG16_COMMAND = (
    "python -c \"import torchvision; torchvision.models.vgg16(weights='IMAGENET1K_V1')\""
)
_VGG16_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
_STAGES = 5
_UNITS = {"vgg16": 1.0, "efficientnet_lite0": 1 / 7, "random": 1 / 7}
"""EfficientNet-Lite0's features have a spread of about 7; this brings distances to those of VGG16,
so that they can be weighed against other losses as in the papers."""


class Vgg16Features(nn.Module):
    """relu1_2, relu2_2, relu3_3 and relu4_3 of torchvision's VGG16 at 224 x 224."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        """Build the layers up to relu4_3, without weights."""
        super().__init__()
        layers: list[nn.Module] = []
        self.taps: list[int] = []
        inputs = 3
        for stage, channels in enumerate(_VGG16_CHANNELS):
            layers += [nn.MaxPool2d(2)] if stage else []
            for outputs in channels:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
            self.taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return four maps of (B, 3, H, W) images in [0, 1]."""
        x = (images - self.mean) / self.std
        x = bilinear(x, (224, 224))
        found = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                found.append(x)
        return found


class EfficientNetLite0Features(nn.Module):
    """The outputs of the first five stages (16 to 112 channels, 1/2 to 1/16 of the size)."""

    def __init__(self, net: EfficientNetLite0) -> None:
        """Wrap a net, trained or random, which is folded in place."""
        super().__init__()
        fold(net)
        self.net = net

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return five maps of (B, 3, H, W) images in [0, 1]."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.net.stages(images, _STAGES)


def vgg16_file() -> Path:
    """Return where torchvision keeps its VGG16 weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _VGG16_FILE


def trained_vgg16() -> Vgg16Features:
    """Load torchvision's ImageNet weights from disk; nothing is downloaded.

    Raises:
        MissingWeightsError: they are not there, or damaged; names the file and the command.
    """
    file = vgg16_file()
    if not file.is_file():
        raise MissingWeightsError(
            f"the VGG16 weights are not at {file}; get them with: {_VGG16_COMMAND} (or choose "
            "another backbone: efficientnet_lite0 comes with kpbench)"
        )
    net = Vgg16Features()
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
        kept = {name: weights[f"features.{name}"] for name in net.features.state_dict()}
        net.features.load_state_dict(kept, strict=True)
    except Exception as error:
        raise MissingWeightsError(
            f"the VGG16 weights at {file} are damaged ({str(error).splitlines()[0]}); delete the "
            f"file and get it again with: {_VGG16_COMMAND}"
        ) from error
    return net


class PerceptualLoss(nn.Module):
    """Mean absolute difference of frozen features, summed over their maps.

    AutoLink's loss: L1, averaged over each map, equal weights. (Distill-DKP eq. 3 prints a squared
    L2 norm; its code base is AutoLink's.) The features of the target carry no gradient.

    Args:
        backbone: `vgg16` (the papers'), `efficientnet_lite0` (works offline) or `random`
            (the latter's architecture with random weights, an ablation).

    Raises:
        MissingWeightsError: the weights are not on this machine.
        UnknownNameError: no such backbone.
    """

    def __init__(self, backbone: str) -> None:
        """Load the frozen features."""
        super().__init__()
        builders: dict[str, Callable[[], nn.Module]] = {
            "vgg16": trained_vgg16,
            "efficientnet_lite0": lambda: EfficientNetLite0Features(trained_efficientnet_lite0()),
            "random": lambda: EfficientNetLite0Features(random_efficientnet_lite0()),
        }
        if backbone not in builders:
            raise UnknownNameError.of("perceptual backbone", backbone, BACKBONES)
        with torch.random.fork_rng(devices=[]):  # building layers draws weights to be replaced
            features = builders[backbone]().eval().requires_grad_(False)
        self.unit = _UNITS[backbone]
        self.features: nn.Module = features.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay in evaluation mode: the normalisation statistics are frozen too."""
        return super().train(False)

    @torch.no_grad()
    def wanted(self, target: Tensor) -> Tensor:
        """Return what a prediction is compared with, so that it can be computed once and kept.

        Args:
            target: (B, 3, H, W) in [-1, 1].

        Returns:
            (B, D) features, one row an image, without gradient.
        """
        return torch.cat(self._rows(target), dim=1)

    def forward(self, prediction: Tensor, wanted: Tensor) -> Tensor:
        """Return the distance of images from a target, a scalar.

        Args:
            prediction: (B, 3, H, W) in [-1, 1].
            wanted: what the method of that name says of the target.
        """
        found = self._rows(prediction)
        parts = torch.split(wanted, [len(rows[0]) for rows in found], dim=1)
        precise = torch.promote_types(found[0].dtype, torch.float32)
        means = [
            (a - b).abs().sum(dtype=precise) * (self.unit / a.numel())
            for a, b in zip(found, parts, strict=True)
        ]
        return torch.stack(means).sum()

    def _rows(self, images: Tensor) -> list[Tensor]:
        """Return each map of images in [-1, 1] as (B, height * width * channels)."""
        images = images.to(torch.promote_types(images.dtype, torch.float32))  # grey levels, all
        maps: list[Tensor] = self.features(images / 2 + 0.5)
        return [found.permute(0, 2, 3, 1).flatten(1) for found in maps]
