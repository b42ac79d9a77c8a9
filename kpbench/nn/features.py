"""Frozen features of images: one stage of EfficientNet-Lite0, or of a network of timm by its name.

The weights of EfficientNet-Lite0 come with kpbench; those of timm lie in timm's own cache, or come
from where timm gets them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from kpbench.contracts.types import Array
from kpbench.errors import (
    MissingPackageError,
    MissingWeightsError,
    TrainingError,
    UnknownNameError,
)
from kpbench.nn.efficientnet_lite0 import fold, trained_efficientnet_lite0
from kpbench.nn.fast import torch_threads
from kpbench.nn.images import device_batches

OWN = "efficientnet_lite0"
OWN_STAGES = 5
SMALLEST = 32
"""Pixels: what the last stages halve to one."""


def feature_maps(images: Array, features: str, stage: int, image_size: int) -> Iterator[Tensor]:
    """Yield the features (B, C, h, w) of images, in order, computed on one thread of the CPU.

    Args:
        images: uint8 (N, H, W, 3).
        features: name of the network: `efficientnet_lite0`, or any of timm that has weights and
            stages. A tag (`resnet18.a1_in1k`) says which weights, whatever timm's default is.
        stage: from 1, whose output is taken; the first five of EfficientNet-Lite0.
        image_size: side in pixels that images are resized to.

    Raises:
        TrainingError: no such stage, or images of a size that the network cannot read.
        UnknownNameError: no such network.
        MissingPackageError: timm is not installed.
        MissingWeightsError: the weights are not on this machine, and cannot be had.
    """
    if image_size < SMALLEST:
        raise TrainingError(f"image_size must be at least {SMALLEST}, got {image_size}")
    network = _stage(features, stage)
    with torch_threads(1), torch.inference_mode():
        for batch in device_batches(images, image_size, "cpu"):
            yield network(batch / 2 + 0.5)


@lru_cache(maxsize=1)
def _stage(features: str, stage: int) -> Callable[[Tensor], Tensor]:
    """Return what maps images in [0, 1] to features; read once a process, for all images."""
    with torch.random.fork_rng(devices=[]):  # building layers draws weights to be replaced
        return _own_stage(stage) if features == OWN else _timm_stage(features, stage)


def _check_stage(stage: int, last: int) -> None:
    if not 1 <= stage <= last:
        raise TrainingError(f"stage must be from 1 to {last}, got {stage}")


def _own_stage(stage: int) -> Callable[[Tensor], Tensor]:
    _check_stage(stage, OWN_STAGES)
    network = trained_efficientnet_lite0().requires_grad_(False)
    fold(network)
    network = network.to(memory_format=torch.channels_last)

    def found(images: Tensor) -> Tensor:
        return network.stages(images.contiguous(memory_format=torch.channels_last), stage)[-1]

    return found


def _timm_stage(name: str, stage: int) -> Callable[[Tensor], Tensor]:
    timm = _timm(name)
    if not timm.is_model_pretrained(name):
        raise _unknown(name, [OWN, *timm.list_models(pretrained=True, include_tags=False)])
    try:
        layout = timm.create_model(name, features_only=True)
    except Exception as error:
        raise TrainingError(
            f"{name} has no stages whose features could be taken ({_first_line(error)}); "
            "choose another network"
        ) from error
    _check_stage(stage, len(layout.feature_info.channels()))
    network = _trained(timm, name, stage)
    mean, std = (
        torch.tensor(network.pretrained_cfg[key]).view(-1, 1, 1) for key in ("mean", "std")
    )
    last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def found(images: Tensor) -> Tensor:
        try:
            maps: Tensor = network((images - mean) / std)[0]
        except (AssertionError, RuntimeError) as error:
            trained_at = network.pretrained_cfg["input_size"][-1]
            raise TrainingError(
                f"{name} cannot read images of {images.shape[-1]} px ({_first_line(error)}); "
                f"it was trained at {trained_at}: set image_size={trained_at}"
            ) from error
        return maps.permute(0, 3, 1, 2) if last else maps

    return found


def _trained(timm: Any, name: str, stage: int) -> Any:
    try:
        network = timm.create_model(
            name, pretrained=True, features_only=True, out_indices=(stage - 1,)
        )
    except Exception as error:
        raise MissingWeightsError(
            f"the weights of {name} are not on this machine, or damaged, and cannot be had "
            f"({_first_line(error)}); with network, run: "
            f"python -c \"import timm; timm.create_model('{name}', pretrained=True)\" "
            f"(or choose other features: {OWN} comes with kpbench)"
        ) from error
    return network.eval().requires_grad_(False)


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingPackageError(
            f"features of {name!r} need the package timm ({error}); run: "
            f"pip install 'kpbench[timm]' (or choose {OWN}, which comes with kpbench)"
        ) from error
    return timm


def _unknown(name: str, known: list[str]) -> UnknownNameError:
    """Return the error with close names, of which there are too many to list them all."""
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {OWN}, timm.list_pretrained()"
    return UnknownNameError(f"no network with weights called {name!r}; {hint}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
