"""A graph of keypoints drawn as an image, differentiable and cheap in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kpbench.nn.soft_argmax import pixel_centres

_CPU_BLOCK, _GPU_BLOCK = 1 << 18, 1 << 25
"""Distances computed at a time: what stays in a core's cache, and what fills a GPU."""


def edge_ends(n_keypoints: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return the (E,) first and second keypoints of all E = K (K - 1) / 2 edges, first < second.

    Example:
        >>> [ends.tolist() for ends in edge_ends(3)]
        [[0, 0, 1], [1, 2, 2]]
    """
    first, second = torch.triu_indices(n_keypoints, n_keypoints, offset=1, device=device)
    return first, second


def edge_map(points: Tensor, weights: Tensor, size: tuple[int, int], thickness: float) -> Tensor:
    """Draw every edge of the complete graph and keep the strongest at each pixel.

    AutoLink; Distill-DKP eq. 2: S(p) = max over edges of w_ij exp(-d_ij(p)^2 / thickness), where
    d is the distance from pixel p to the segment between keypoints i and j **in units of half the
    image** (coordinates from -1 to 1, as in the papers; their sigma^2 is this thickness).

    Memory is O(B H W): the forward pass remembers the winning edge of each pixel, and only those
    are differentiated. Where edges tie, one of them takes the gradient.

    Args:
        points: (B, K, 2), (x, y) in [0, 1]; K at least 2.
        weights: (E,) weights >= 0, in the order of `edge_ends`.
        size: (height, width) of the map in pixels.
        thickness: > 0.

    Returns:
        (B, 1, height, width).
    """
    mapped: Tensor = _StrongestEdge.apply(2 * points - 1, weights, size, thickness)
    return mapped[:, None]


class _StrongestEdge(torch.autograd.Function):
    """The map on [-1, 1] coordinates, (B, H, W)."""

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, weights: Tensor, size: tuple[int, int], thickness: float
    ) -> Tensor:
        first, second = edge_ends(points.shape[1], points.device)
        start, end = points[:, first], points[:, second]
        winner = _strongest(start, end, weights, size, thickness)
        value = weights[winner] * _nearest(start, end, winner)[0].div(-thickness).exp()
        ctx.save_for_backward(points, weights, winner.to(torch.int16))
        ctx.thickness = thickness
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        points, weights, winner = ctx.saved_tensors
        winner = winner.long()
        first, second = edge_ends(points.shape[1], points.device)
        squared, along, offset = _nearest(points[:, first], points[:, second], winner)
        by_weight = grad * squared.div(-ctx.thickness).exp()
        # With r the vector from the segment to the pixel and s the position along the segment,
        # d(d^2)/d(start) = -2 r (1 - s) and d(d^2)/d(end) = -2 r s, clamped or not.
        pull = (by_weight * weights[winner] * (2 / ctx.thickness))[..., None] * offset
        to_end = pull * along[..., None]
        per_pixel = torch.cat([by_weight[..., None], pull - to_end, to_end], dim=-1)
        batch, n_edges = len(points), len(weights)
        row = winner + n_edges * torch.arange(batch, device=winner.device)[:, None, None]
        per_edge = per_pixel.new_zeros(batch * n_edges, 5)
        per_edge.index_add_(0, row.flatten(), per_pixel.flatten(0, 2))
        per_edge = per_edge.view(batch, n_edges, 5)
        to_points = torch.zeros_like(points)
        to_points.index_add_(1, first, per_edge[..., 1:3]).index_add_(1, second, per_edge[..., 3:])
        return to_points, per_edge[..., 0].sum(dim=0), None, None


def _grid(size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (H,) rows y and (W,) columns x of the pixel centres in [-1, 1]."""
    return 2 * pixel_centres(size[0], like) - 1, 2 * pixel_centres(size[1], like) - 1


def _strongest(
    start: Tensor, end: Tensor, weights: Tensor, size: tuple[int, int], thickness: float
) -> Tensor:
    """Return the (B, H, W) index of the edge with the largest w exp(-d^2 / thickness).

    Compared as d^2 / thickness - log w, which does not underflow far from all edges. In the frame
    of the edge, d^2 is the squared distance across plus the squared excess along, and both axes
    are sums of a row term and a column term.
    """
    batch, n_edges = start.shape[:2]
    y, x = _grid(size, start)
    span = end - start
    length = span.norm(dim=-1, keepdim=True)
    unit = torch.where(length > 0, span / length.clamp_min(1e-30), torch.zeros_like(span))
    unit[..., 0] += length[..., 0] == 0  # any direction serves an edge without length
    scale = thickness**-0.5
    middle = (start + end) / 2
    dx = (x - middle[..., :1]) * scale
    dy = (y - middle[..., 1:]) * scale
    ux, uy, half = unit[..., :1], unit[..., 1:], (length * (scale / 2))[..., None]
    along_x, along_y, across_x, across_y = dx * ux, dy * uy, -dx * uy, dy * ux
    cost = -weights.log()
    block = _GPU_BLOCK if start.is_cuda else _CPU_BLOCK
    n = max(1, block // (size[0] * size[1] * batch))
    best = start.new_full((batch, *size), float("inf"))
    winner = torch.zeros((batch, *size), dtype=torch.long, device=start.device)
    for at in range(0, n_edges, n):
        e = slice(at, at + n)
        excess = along_x[:, e, None, :] + along_y[:, e, :, None]
        excess.abs_().sub_(half[:, e]).clamp_min_(0)
        across = across_x[:, e, None, :] + across_y[:, e, :, None]
        distance = torch.addcmul(cost[e, None, None], across, across).addcmul_(excess, excess)
        value, index = distance.min(dim=1)
        closer = value < best
        winner = torch.where(closer, index + at, winner)
        best = torch.where(closer, value, best)
    return winner


def _nearest(start: Tensor, end: Tensor, winner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for the chosen edge of each pixel, what its distance is made of.

    Returns:
        d^2 (B, H, W); the position s in [0, 1] along the edge, (B, H, W); and the vector from the
        nearest point of the edge to the pixel, (B, H, W, 2).
    """
    batch, height, width = winner.shape
    y, x = _grid((height, width), start)
    pixel = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)
    rows = torch.arange(batch, device=winner.device)[:, None, None]
    origin, span = start[rows, winner], (end - start)[rows, winner]
    relative = pixel - origin
    squared_length = span.square().sum(-1).clamp_min(torch.finfo(span.dtype).tiny)
    along = ((relative * span).sum(-1) / squared_length).clamp(0, 1)
    offset = relative - along[..., None] * span
    return offset.square().sum(-1), along, offset
