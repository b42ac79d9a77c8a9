"""Official weights, gradients and coordinates in kpbench's names and conventions.

AutoLink puts pixel i of n at -1 + 2 i / (n - 1), corners on corners, and writes (y, x). kpbench
puts it at (i + 0.5) / n of the image and writes (x, y). With u = 2 p - 1 the two are proportional:
official = u n / (n - 1), so a length shrinks by (n - 1) / n on the way here, and a thickness, which
divides a squared length, by the square of that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_DETECTOR = "encoder.detector.conv"
_RENAMED = (
    (rf"{_DETECTOR}\.([0-3])\.net\.", r"detector.down.\1.main."),
    (rf"{_DETECTOR}\.([0-3])\.conv_res\.", r"detector.down.\1.shortcut."),
    (rf"{_DETECTOR}\.4\.net\.", r"detector.up.0."),
    (rf"{_DETECTOR}\.5\.net\.", r"detector.up.1."),
    (rf"{_DETECTOR}\.6\.", r"detector.head."),
    (r"decoder\.down0\.", r"decoder.stem."),
    (r"decoder\.conv\.", r"decoder.head."),
)
_NOT_LEARNT = ("encoder.detector.coord", "vgg_loss.")


def converted(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return official weights, or gradients of them, by the names of kpbench's AutoLink.

    Args:
        official: by the names of the official `Model`; what is not learnt is left out.

    Raises:
        KeyError: a name that the official model does not have.
    """
    found: dict[str, Tensor] = {}
    for name, value in official.items():
        if name.startswith(_NOT_LEARNT):
            continue
        if name == "decoder.skeleton_scalar":
            first, second = torch.triu_indices(len(value), len(value), offset=1)
            found["edge_logits"] = value[first.to(value.device), second.to(value.device)]
        elif name == "decoder.alpha":
            found["alpha"] = value.reshape(1)
        else:
            found[_renamed(name)] = value
    return found


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    block = re.match(r"decoder\.(down|up)([1-4])\.net\.", name)
    if block is None:
        raise KeyError(f"the official model has a parameter that kpbench does not know: {name}")
    return f"decoder.{block[1]}.{int(block[2]) - 1}.{name[block.end() :]}"


def points_from_official(keypoints: Tensor, grid: int) -> Tensor:
    """Return (B, K, 2) official (y, x) in [-1, 1] as (x, y) in [0, 1].

    Args:
        keypoints: on a grid whose corners lie at -1 and 1.
        grid: cells along a side of that grid: 32 for what the detector finds, the size of the map
            for what the edges are drawn on.

    Example:
        >>> points_from_official(torch.tensor([[[-1.0, 1.0]]]), 4).tolist()
        [[[0.875, 0.125]]]
    """
    return (keypoints.flip(-1) * ((grid - 1) / grid) + 1) / 2


def points_to_official(points: Tensor, grid: int) -> Tensor:
    """Return what `points_from_official` takes."""
    return (2 * points - 1).flip(-1) * (grid / (grid - 1))


def thickness_from_official(thickness: float, grid: int) -> float:
    """Return the thickness of kpbench's edge map that draws the same pixels on `grid` pixels."""
    return thickness * ((grid - 1) / grid) ** 2
