"""The edge map as two CUDA kernels; float32. Nothing here waits for the device."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_DRAW_BLOCK, _DIFFERENTIATE_BLOCK = 512, 1024
"""Pixels that one program works on at a time."""


def draw(
    points: Tensor, weights: Tensor, height: int, width: int, thickness: float
) -> tuple[Tensor, Tensor]:
    """Return the (B, H, W) map and the int16 index of the edge that is strongest at each pixel.

    See `kpbench.nn.edge_map` for the arguments.
    """
    batch, n_keypoints = points.shape[:2]
    value = points.new_empty(batch, height, width)
    winner = points.new_empty((batch, height, width), dtype=torch.int16)
    grid = triton.cdiv(height * width, _DRAW_BLOCK), batch
    if batch:
        with torch.cuda.device_of(points):
            _draw[grid](
                points.contiguous(),
                weights.contiguous(),
                value,
                winner,
                1 / thickness,
                n_keypoints,
                height,
                width,
                BLOCK=_DRAW_BLOCK,
            )
    return value, winner


def differentiate(
    points: Tensor, weights: Tensor, winner: Tensor, grad: Tensor, thickness: float
) -> tuple[Tensor, Tensor]:
    """Return the gradient by points, (B, K, 2), and by weights, (E,).

    Each edge of each image sums over its own pixels in a fixed order: equal inputs give equal bits.
    """
    batch, n_keypoints = points.shape[:2]
    height, width = winner.shape[1:]
    to_ends = points.new_empty(batch, n_keypoints, n_keypoints, 2)
    to_weights = points.new_empty(batch, len(weights))
    if batch:
        with torch.cuda.device_of(points):
            _differentiate[n_keypoints * n_keypoints, batch](
                points.contiguous(),
                weights.contiguous(),
                winner.contiguous(),
                grad.contiguous(),
                to_ends,
                to_weights,
                1 / thickness,
                n_keypoints,
                height,
                width,
                BLOCK=_DIFFERENTIATE_BLOCK,
            )
    return to_ends.sum(dim=2), to_weights.sum(dim=0)


@triton.jit
def _nearest(px, py, ax, ay, bx, by):
    """Return the position along the edge from a to b in [0, 1], and the vector from there."""
    dx = bx - ax
    dy = by - ay
    squared = dx * dx + dy * dy
    inverse = 1.0 / tl.where(squared > 0.0, squared, 1.0)
    rx = px - ax
    ry = py - ay
    along = tl.minimum(tl.maximum(rx * (dx * inverse) + ry * (dy * inverse), 0.0), 1.0)
    return along, rx - along * dx, ry - along * dy


@triton.jit
def _draw(
    points,
    weights,
    value,
    winner,
    sharpness,
    n_keypoints: tl.constexpr,
    height: tl.constexpr,
    width: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Compare all edges at a block of pixels of one image, as d^2 / thickness - log w."""
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    px = (2 * (pixel % width) + 1).to(tl.float32) / width - 1.0
    py = (2 * (pixel // width) + 1).to(tl.float32) / height - 1.0
    ends = points + image * n_keypoints * 2
    least = tl.full((BLOCK,), float("inf"), tl.float32)
    index = tl.zeros((BLOCK,), tl.int32)
    undefined = 0.0  # or NaN, as comparisons would pass over a NaN
    edge = 0
    for i in range(n_keypoints):
        ax = 2.0 * tl.load(ends + 2 * i) - 1.0
        ay = 2.0 * tl.load(ends + 2 * i + 1) - 1.0
        undefined += 0.0 * (ax + ay)
        for j in range(i + 1, n_keypoints):
            bx = 2.0 * tl.load(ends + 2 * j) - 1.0
            by = 2.0 * tl.load(ends + 2 * j + 1) - 1.0
            weight = tl.load(weights + edge)
            undefined += tl.where(weight >= 0.0, 0.0, float("nan"))
            _, qx, qy = _nearest(px, py, ax, ay, bx, by)
            cost = (qx * qx + qy * qy) * sharpness - tl.log(weight)
            closer = cost < least
            least = tl.where(closer, cost, least)
            index = tl.where(closer, edge, index)
            edge += 1
    at = image * height * width + pixel
    inside = pixel < height * width
    tl.store(value + at, tl.exp(-least) + undefined, mask=inside)
    tl.store(winner + at, index.to(tl.int16), mask=inside)


@triton.jit
def _differentiate(
    points,
    weights,
    winner,
    grad,
    to_ends,
    to_weights,
    sharpness,
    n_keypoints: tl.constexpr,
    height: tl.constexpr,
    width: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Sum what the pixels that one edge of one image has won send back.

    `to_ends` is (B, K, K, 2): at (i, j) what keypoint i gets from its edge to keypoint j.
    """
    image = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) // n_keypoints
    j = tl.program_id(0) % n_keypoints
    to_i = to_ends + ((image * n_keypoints + i) * n_keypoints + j) * 2
    to_j = to_ends + ((image * n_keypoints + j) * n_keypoints + i) * 2
    if i == j:
        tl.store(to_i, 0.0)
        tl.store(to_i + 1, 0.0)
    if i < j:
        n_edges = n_keypoints * (n_keypoints - 1) // 2
        edge = i * (2 * n_keypoints - i - 1) // 2 + j - i - 1
        ends = points + image * n_keypoints * 2
        ax = 2.0 * tl.load(ends + 2 * i) - 1.0
        ay = 2.0 * tl.load(ends + 2 * i + 1) - 1.0
        bx = 2.0 * tl.load(ends + 2 * j) - 1.0
        by = 2.0 * tl.load(ends + 2 * j + 1) - 1.0
        total = tl.zeros((BLOCK,), tl.float32)
        total_x = tl.zeros((BLOCK,), tl.float32)
        total_y = tl.zeros((BLOCK,), tl.float32)
        end_x = tl.zeros((BLOCK,), tl.float32)
        end_y = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, height * width, BLOCK):
            pixel = start + tl.arange(0, BLOCK)
            at = image * height * width + pixel
            won = tl.load(winner + at, mask=pixel < height * width, other=-1).to(tl.int32) == edge
            if tl.max(won.to(tl.int32), axis=0) > 0:
                px = (2 * (pixel % width) + 1).to(tl.float32) / width - 1.0
                py = (2 * (pixel // width) + 1).to(tl.float32) / height - 1.0
                along, qx, qy = _nearest(px, py, ax, ay, bx, by)
                part = tl.load(grad + at, mask=won, other=0.0)
                part *= tl.exp(-(qx * qx + qy * qy) * sharpness)
                total += part
                total_x += part * qx
                total_y += part * qy
                end_x += part * along * qx
                end_y += part * along * qy
        # d(d^2) / d(end) = -2 q s, and / d(start) = -2 q (1 - s), clamped or not; another 2 comes
        # from [0, 1] to [-1, 1].
        scale = 4.0 * sharpness * tl.load(weights + edge)
        of_end_x = tl.sum(end_x, axis=0)
        of_end_y = tl.sum(end_y, axis=0)
        tl.store(to_weights + image * n_edges + edge, tl.sum(total, axis=0))
        tl.store(to_i, scale * (tl.sum(total_x, axis=0) - of_end_x))
        tl.store(to_i + 1, scale * (tl.sum(total_y, axis=0) - of_end_y))
        tl.store(to_j, scale * of_end_x)
        tl.store(to_j + 1, scale * of_end_y)
