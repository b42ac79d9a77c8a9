"""The edge map's backward pass in torch operations: each pixel speaks to its winner alone."""

from __future__ import annotations

import torch
from torch import Tensor

from kpbench.nn.edge_map.segments import BLOCK, Segments, edge_ends, exponentiate_, segments
from kpbench.nn.soft_argmax import pixel_centres

_LANES = 4
"""Neighbouring pixels add to sums apart, so that no addition waits for the one before it."""


def differentiate(
    points: Tensor, weights: Tensor, winner: Tensor, grad: Tensor, thickness: float
) -> tuple[Tensor, Tensor]:
    """Return the gradient by points, (B, K, 2), and by weights, (E,).

    Args:
        points: (B, K, 2) in [0, 1].
        weights: (E,).
        winner: (B, H, W) integers, the strongest edge of each pixel.
        grad: (B, H, W), the gradient by the map.
        thickness: > 0.
    """
    edges = segments(points, weights, thickness)
    scale = thickness**-0.5
    y, x = ((2 * pixel_centres(n, points) - 1) * scale for n in winner.shape[1:])
    sums = points.new_zeros(5, _LANES * edges.half.numel())
    images = max(1, BLOCK // (len(y) * len(x)))
    for b in range(0, len(points), images):
        here = slice(b, b + images)
        _add_pixels(sums, edges, b, winner[here], grad[here], y[:, None], x)
    sums = sums.view(5, _LANES, *edges.half.shape).sum(dim=1)
    by_weight, across, across_inner, excess, excess_size = sums
    # With r the vector from the edge to the pixel and s the position along the edge from 0 to 1,
    # d(d^2)/d(end) = -2 r s and d(d^2)/d(start) = -2 r (1 - s), clamped or not. The vector r has
    # an excess along the edge beyond its ends only, where s is 0 or 1.
    tiny = torch.finfo(points.dtype).tiny
    end_across = across / 2 + across_inner / (2 * edges.half).clamp_min(tiny)
    end_along = (excess + excess_size) / 2
    factor = weights * (4 * scale)  # 4: another 2 from [0, 1] to [-1, 1]
    to_end = _to_image(edges, end_along, end_across) * factor
    to_start = _to_image(edges, excess - end_along, across - end_across) * factor
    return _gather_ends(to_start, to_end, points.shape[1]), by_weight.sum(dim=0)


def _add_pixels(
    sums: Tensor, edges: Segments, first: int, winner: Tensor, grad: Tensor, y: Tensor, x: Tensor
) -> None:
    """Add the images from the first on to five sums for each edge.

    With e = grad exp(-d^2 / thickness), over the pixels that the edge has won: e, e across,
    e across times the position within the edge, e excess, e |excess|.
    """
    image = torch.arange(first, first + len(winner), device=winner.device)
    row = winner + image[:, None, None] * edges.half.shape[1]
    lane = torch.arange(winner.shape[2], device=winner.device) % _LANES
    into = (row + lane * edges.half.numel()).view(-1)
    middle_x, middle_y, unit_x, unit_y, half = (
        each.view(-1).index_select(0, row.view(-1)).view(winner.shape) for each in edges[:5]
    )
    dx, dy = x - middle_x, y - middle_y
    along = (dx * unit_x).addcmul_(dy, unit_y)
    across = (dy * unit_x).addcmul_(dx, unit_y, value=-1)
    inner = along.clamp(-half, half)
    excess = along.sub_(inner)
    part = exponentiate_((across * across).addcmul_(excess, excess).neg_()).mul_(grad)
    by_across, by_excess = across.mul_(part), excess * part
    terms = part, by_across, inner.mul_(by_across), by_excess, excess.abs_().mul_(part)
    for total, term in zip(sums, terms, strict=True):
        total.scatter_add_(0, into, term.view(-1))


def _to_image(edges: Segments, along: Tensor, across: Tensor) -> Tensor:
    """Return (2, B, E) x and y of vectors given in the frames of the edges."""
    x = along * edges.unit_x - across * edges.unit_y
    y = along * edges.unit_y + across * edges.unit_x
    return torch.stack([x, y])


def _gather_ends(to_start: Tensor, to_end: Tensor, n_keypoints: int) -> Tensor:
    """Return (B, K, 2) sums over each keypoint's K - 1 edges, in a fixed order."""
    ends = torch.cat(edge_ends(n_keypoints, to_start.device))
    of_keypoint = ends.argsort(stable=True).view(n_keypoints, n_keypoints - 1)
    both = torch.cat([to_start, to_end], dim=-1)
    return both[..., of_keypoint].sum(dim=-1).permute(1, 2, 0).contiguous()
