"""What the edge map's forward and backward pass in torch operations share."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 1 << 18
"""Numbers in an intermediate result, about: it stays in a core's cache."""


class Segments(NamedTuple):
    """Each edge, seen along itself; (B, E) each, lengths in sqrt(thickness).

    So d^2 / thickness is the square across the edge plus the square of what exceeds half its
    length along it.
    """

    middle_x: Tensor
    middle_y: Tensor
    unit_x: Tensor
    unit_y: Tensor
    half: Tensor
    log_weight: Tensor


def edge_ends(n_keypoints: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return the (E,) first and second keypoints of all E = K (K - 1) / 2 edges, first < second.

    Example:
        >>> [ends.tolist() for ends in edge_ends(3)]
        [[0, 0, 1], [1, 2, 2]]
    """
    first, second = torch.triu_indices(n_keypoints, n_keypoints, offset=1, device=device)
    return first, second


def segments(points: Tensor, weights: Tensor, thickness: float) -> Segments:
    """Return all edges of the (B, K, 2) points in [0, 1]."""
    ends = (2 * points - 1).mul_(thickness**-0.5).permute(2, 0, 1)
    first, second = edge_ends(points.shape[1], points.device)
    start, end = ends.index_select(2, first), ends.index_select(2, second)
    span, middle = end - start, (start + end) / 2
    length = span.square().sum(dim=0).sqrt()
    unit = span / length.clamp_min(torch.finfo(length.dtype).tiny)
    unit[0] += length == 0  # any direction serves an edge without length
    log_weight = weights.log().expand_as(length).contiguous()
    return Segments(middle[0], middle[1], unit[0], unit[1], length / 2, log_weight)


def smallest_exponent(dtype: torch.dtype) -> float:
    """Return the exponent below which the value is taken as 0: before it becomes subnormal."""
    return math.log(torch.finfo(dtype).smallest_normal) + 1


def exponentiate_(exponent: Tensor) -> Tensor:
    """Replace exponents by their exponentials, or 0 from `smallest_exponent` down.

    A CPU takes ten times as long for an exponential that underflows.
    """
    least = smallest_exponent(exponent.dtype)
    return torch.threshold_(exponent.clamp_min_(least).exp_(), math.exp(least + 0.1), 0.0)
