"""A graph of keypoints drawn as an image, differentiable and cheap in memory."""

from __future__ import annotations

import functools
import math
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from kpbench.errors import InvalidInputError
from kpbench.nn.edge_map import gradient, tiles

_MOST_KEYPOINTS = 256
"""Their 32640 edges still have 16-bit indices."""


def edge_map(points: Tensor, weights: Tensor, size: tuple[int, int], thickness: float) -> Tensor:
    """Draw every edge of the complete graph and keep the strongest at each pixel.

    AutoLink; Distill-DKP eq. 2: S(p) = max over edges of w_ij exp(-d_ij(p)^2 / thickness), where
    d is the distance from pixel p to the segment between keypoints i and j **in units of half the
    image** (coordinates from -1 to 1, as in the papers; their sigma^2 is this thickness).

    The backward pass needs 2 bytes a pixel, however many edges there are: the index of the
    strongest edge, which alone is differentiated. Where edges tie, the first takes the gradient.
    Computed by a Triton kernel for float32 on CUDA, else in torch operations that skip the edges
    which cannot be strongest. Equal inputs give equal bits, whatever the number of threads.

    Args:
        points: (B, K, 2), (x, y) in [0, 1] (beyond is allowed); K from 2 to 256. 16-bit floats
            are computed in float32, also under autocast.
        weights: (E,) weights >= 0, in the order of `edge_ends`.
        size: (height, width) of the map in pixels.
        thickness: > 0.

    Returns:
        (B, 1, height, width), float32 or float64. NaN where an undefined input has a say.

    Raises:
        InvalidInputError: Shapes that do not fit, or a thickness that is not positive and finite.
    """
    _check(points, weights, size, thickness)
    dtype = torch.promote_types(torch.promote_types(points.dtype, weights.dtype), torch.float32)
    height, width = size
    value: Tensor = _edge_map(points.to(dtype), weights.to(dtype), height, width, float(thickness))[
        0
    ]
    return value[:, None]


def _check(points: Tensor, weights: Tensor, size: tuple[int, int], thickness: float) -> None:
    if points.ndim != 3 or points.shape[2] != 2 or not 2 <= points.shape[1] <= _MOST_KEYPOINTS:
        raise InvalidInputError(
            f"edge_map: points must be (B, K, 2) with K from 2 to {_MOST_KEYPOINTS}, "
            f"got {tuple(points.shape)}"
        )
    n_edges = points.shape[1] * (points.shape[1] - 1) // 2
    if weights.shape != (n_edges,):
        raise InvalidInputError(
            f"edge_map: {points.shape[1]} keypoints need weights of shape ({n_edges},), "
            f"got {tuple(weights.shape)}"
        )
    if min(size) < 1:
        raise InvalidInputError(f"edge_map: a map of {size[0]} x {size[1]} pixels has no pixel")
    if not 0 < thickness < math.inf:
        raise InvalidInputError(f"edge_map: thickness must be positive, got {thickness}")


@functools.cache
def _kernels() -> ModuleType | None:
    """Return the Triton kernels, or None, with a warning, where they cannot be built."""
    try:
        from kpbench.nn.edge_map import triton_kernels

        points, weights = torch.zeros(1, 2, 2, device="cuda"), torch.ones(1, device="cuda")
        _, winner = triton_kernels.draw(points, weights, 4, 4, 1.0)
        triton_kernels.differentiate(points, weights, winner, points.new_ones(1, 4, 4), 1.0)
    except Exception as error:  # no Triton, no C compiler, no headers of Python, ...
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(f"the edge map has no GPU kernels, which is slower: {why}", stacklevel=2)
        return None
    return triton_kernels


def _kernels_for(points: Tensor) -> ModuleType | None:
    return _kernels() if points.is_cuda and points.dtype == torch.float32 else None


# Operators of their own, so that torch.compile and torch.export pass over the inside without a
# graph break, and autocast does not reach it.
@torch.library.custom_op(
    "kpbench::edge_map",
    mutates_args=(),
    schema="(Tensor points, Tensor weights, SymInt height, SymInt width, float thickness)"
    " -> (Tensor, Tensor)",
)
def _edge_map(
    points: Tensor, weights: Tensor, height: int, width: int, thickness: float
) -> tuple[Tensor, Tensor]:
    draw = (_kernels_for(points) or tiles).draw
    drawn: tuple[Tensor, Tensor] = draw(points, weights, height, width, thickness)
    return drawn


@torch.library.custom_op(
    "kpbench::edge_map_backward",
    mutates_args=(),
    schema="(Tensor points, Tensor weights, Tensor winner, Tensor grad, float thickness)"
    " -> (Tensor, Tensor)",
)
def _edge_map_backward(
    points: Tensor, weights: Tensor, winner: Tensor, grad: Tensor, thickness: float
) -> tuple[Tensor, Tensor]:
    differentiate = (_kernels_for(points) or gradient).differentiate
    gradients: tuple[Tensor, Tensor] = differentiate(points, weights, winner, grad, thickness)
    return gradients


@_edge_map.register_fake
def _(
    points: Tensor, weights: Tensor, height: int, width: int, thickness: float
) -> tuple[Tensor, Tensor]:
    shape = points.shape[0], height, width
    return points.new_empty(shape), points.new_empty(shape, dtype=torch.int16)


@_edge_map_backward.register_fake
def _(
    points: Tensor, weights: Tensor, winner: Tensor, grad: Tensor, thickness: float
) -> tuple[Tensor, Tensor]:
    return points.new_empty(points.shape), weights.new_empty(weights.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    points, weights, _, _, thickness = inputs
    ctx.save_for_backward(points, weights, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.thickness = thickness


def _backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    points, weights, winner = ctx.saved_tensors
    return *_edge_map_backward(points, weights, winner, grad, ctx.thickness), None, None, None


_edge_map.register_autograd(_backward, setup_context=_remember)
