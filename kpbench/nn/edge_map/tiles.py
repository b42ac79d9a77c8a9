"""The edge map's forward pass in torch operations: an edge is drawn only where it can win."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from kpbench.nn.edge_map.segments import BLOCK, Segments, exponentiate_, segments, smallest_exponent

_SLACK = 0.02
"""By how much the bounds are widened, in units of d^2 / thickness: far above rounding."""

Integers = npt.NDArray[np.int64]


class _Axis(NamedTuple):
    """One axis of the image cut into tiles; lengths in sqrt(thickness)."""

    centres: Tensor
    """(n_tiles,) of the tiles."""
    offsets: Tensor
    """(side,) of a tile's pixels from its centre."""
    reach: float
    """The largest of the offsets."""


def draw(
    points: Tensor, weights: Tensor, height: int, width: int, thickness: float
) -> tuple[Tensor, Tensor]:
    """Return the (B, H, W) map and the int16 index of the edge that is strongest at each pixel.

    See `kpbench.nn.edge_map` for the arguments. The work is cut into several images, or a band of
    one image, at a time.
    """
    edges = segments(points, weights, thickness)
    batch, n_edges = edges.half.shape
    side = 8 if min(height, width) >= 64 else 4
    rows, columns = (_axis(n, side, thickness, points) for n in (height, width))
    n_rows, n_columns = len(rows.centres), len(columns.centres)
    images = max(1, BLOCK // (n_rows * n_columns * n_edges))
    band = max(1, min(n_rows, BLOCK // (n_columns * n_edges)))
    value = points.new_empty(batch, height, width)
    winner = points.new_empty((batch, height, width), dtype=torch.int16)
    for b in range(0, batch, images):
        some = Segments(*(each[b : b + images] for each in edges))
        for r in range(0, n_rows, band):
            part = rows._replace(centres=rows.centres[r : r + band])
            here = slice(b, b + images), slice(r * side, (r + band) * side)
            for whole, drawn in zip((value, winner), _draw_part(some, part, columns), strict=True):
                target = whole[here]
                target.copy_(drawn[:, : target.shape[1], :width])
    return value, winner


def _axis(n: int, side: int, thickness: float, like: Tensor) -> _Axis:
    step, scale = 2 / n, thickness**-0.5
    half = (side - 1) / 2
    tile = torch.arange(-(-n // side), dtype=like.dtype, device=like.device)
    offset = torch.arange(side, dtype=like.dtype, device=like.device) - half
    centres = ((tile * side + (half + 0.5)) * step - 1) * scale
    return _Axis(centres, offset * (step * scale), half * step * scale)


def _draw_part(edges: Segments, rows: _Axis, columns: _Axis) -> tuple[Tensor, Tensor]:
    """Return map and winners of whole tiles, (B, rows x side, columns x side) each.

    Cells are (row, column, image), the image innermost, so that what belongs to an edge is
    contiguous; a pair is an edge in a cell, numbered cell x E + edge.
    """
    batch, n_edges = edges.half.shape
    shape = len(rows.centres), len(columns.centres), batch
    edges = Segments(*(each.reshape(-1) for each in edges))
    dy = rows.centres[:, None] - edges.middle_y
    dx = columns.centres[:, None] - edges.middle_x
    along = (dy * edges.unit_y)[:, None] + dx * edges.unit_x
    across = (dy * edges.unit_x)[:, None] - dx * edges.unit_y
    pairs = _candidates(edges, along, across, (rows.reach, columns.reach), n_edges)
    side = len(rows.offsets)
    plan = _plan(pairs, shape, n_edges, BLOCK // side**2, along.device)
    y, x = rows.offsets[:, None], columns.offsets[:, None]
    return _assemble(*_compare(edges, along, across, y, x, plan), plan.place, side)


def _candidates(
    edges: Segments, along: Tensor, across: Tensor, reach: tuple[float, float], n_edges: int
) -> Integers:
    """Return the pairs that may win at some pixel of their cell, ascending.

    Half of d^2's Hessian lies between 0 and the identity. So with r the vector from an edge to the
    cell's centre and o a pixel's offset from there, d^2 is at least r^2 + 2 r o, and that of the
    edge nearest to the centre at most its r^2 + 2 r o + o^2: where the first exceeds the second
    in the whole cell, the edge cannot win. Nor is any needed where all values underflow.
    """
    reach_y, reach_x = reach
    excess = along - along.clamp(-edges.half, edges.half)
    cost = torch.addcmul(-edges.log_weight, across, across).addcmul_(excess, excess)
    to_x = (excess * edges.unit_x).addcmul_(across, edges.unit_y, value=-1).view(-1, n_edges)
    to_y = (excess * edges.unit_y).addcmul_(across, edges.unit_x).view(-1, n_edges)
    cost = cost.view(-1, n_edges)
    # NumPy's argmin and flatnonzero take a tenth of the time of torch's on a CPU.
    nearest = torch.from_numpy(cost.cpu().numpy().argmin(axis=-1)).to(cost.device)[:, None]
    least = cost.gather(1, nearest)
    to_x -= to_x.gather(1, nearest)
    to_y -= to_y.gather(1, nearest)
    cost.sub_(to_x.abs_(), alpha=2 * reach_x).sub_(to_y.abs_(), alpha=2 * reach_y)
    corner = reach_x**2 + reach_y**2
    underflow = 1 - smallest_exponent(cost.dtype)
    strongest = edges.log_weight.amax()
    dead = ((strongest + underflow).sqrt() + math.sqrt(corner)).square() - strongest
    limit = torch.where(least > dead, -torch.inf, least + (corner + _SLACK))
    above = cost.cpu().numpy() > limit.cpu().numpy()  # False for NaN, which so is kept
    return np.flatnonzero(~above)


class _Plan(NamedTuple):
    """The cells sorted by their number of pairs and cut into groups padded to equal numbers.

    A group of n cells with at most m pairs takes m x n entries, so that entries of one cell are
    n apart.
    """

    groups: list[tuple[int, int]]
    """(m, n) of each."""
    pair: Tensor
    """(entries,) numbers of pairs; a cell short of pairs repeats its last."""
    row: Tensor
    """(entries,) image x E + edge."""
    edge: Tensor
    """(entries + 1,) int16, the last of them 0 for cells without pairs."""
    first: Tensor
    """(cells + 1,) first entry of each sorted cell that has pairs, and of all that have none."""
    stride: Tensor
    """(cells + 1,) from one entry of the cell to its next."""
    place: Tensor
    """(n_rows, n_columns, B): where each cell comes after sorting."""


def _plan(
    pairs: Integers,
    shape: tuple[int, int, int],
    n_edges: int,
    room: int,
    device: torch.device,
) -> _Plan:
    """Return the plan for the pairs of the (n_rows, n_columns, B) cells, `room` to a group."""
    cells = np.arange(math.prod(shape) + 1)
    bounds = np.searchsorted(pairs, cells * n_edges)
    counts = np.diff(bounds)
    edge = pairs - np.repeat(cells[:-1] * n_edges, counts)
    row = edge + np.repeat(cells[:-1] % shape[2] * n_edges, counts)
    order = np.argsort(-counts.astype(np.int16), kind="stable")[: np.count_nonzero(counts)]
    counts, starts = counts[order], bounds[order]
    groups, entries = [], [np.zeros(0, np.int64)]
    first, stride = np.zeros((2, len(order) + 1), np.int64)
    at = total = 0
    while at < len(order):
        most = int(counts[at])
        to = min(len(order), at + max(1, room // most))
        slot = np.minimum(np.arange(most)[:, None], counts[at:to] - 1) + starts[at:to]
        entries.append(slot.ravel())
        groups.append((most, to - at))
        first[at:to] = np.arange(total, total + to - at)
        stride[at:to] = to - at
        at, total = to, total + slot.size
    entry = np.concatenate(entries)
    place = np.full(shape, len(order), np.int32)
    place.flat[order] = np.arange(len(order))
    first[-1] = len(entry)
    edge = np.append(edge[entry], 0).astype(np.int16)
    arrays = pairs[entry], row[entry], edge, first, stride, place
    return _Plan(groups, *(torch.from_numpy(each).to(device) for each in arrays))


def _compare(
    edges: Segments, along: Tensor, across: Tensor, y: Tensor, x: Tensor, plan: _Plan
) -> tuple[Tensor, Tensor]:
    """Return, at (pixels of a cell, sorted cells), the largest log value and its edge."""
    along, across = (each.view(-1).index_select(0, plan.pair) for each in (along, across))
    unit_x, unit_y, half, log_weight = (each.index_select(0, plan.row) for each in edges[2:])
    along_y, along_x = torch.addcmul(along, y, unit_y)[:, None], x * unit_x
    across_y, across_x = torch.addcmul(across, y, unit_x)[:, None], x * unit_y
    size = len(y) * len(x), len(plan.first)
    best = along.new_full(size, -torch.inf)
    slot = along.new_zeros(size, dtype=torch.int64)
    cell = entry = 0
    for most, n in plan.groups:
        e, c = slice(entry, entry + most * n), slice(cell, cell + n)
        excess = along_y[..., e] + along_x[:, e]
        excess.abs_().sub_(half[e]).clamp_min_(0)
        aside = across_y[..., e] - across_x[:, e]
        log_value = torch.addcmul(log_weight[e], aside, aside, value=-1, out=aside)
        log_value.addcmul_(excess, excess, value=-1)
        best[:, c], slot[:, c] = _max(log_value.view(-1, most, n))
        cell, entry = c.stop, e.stop
    won = slot.mul_(plan.stride).add_(plan.first)
    return best, plan.edge.index_select(0, won.view(-1))


def _max(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (P, n) maximum over the middle of (P, m, n), and its first index.

    On a CPU by pooling, which takes a tenth of the time of torch's `max`.
    """
    if values.is_cuda:
        return values.max(dim=1)
    pooled = values.permute(0, 2, 1)[:, :, None]
    best, index = max_pool2d(pooled, (1, values.shape[1]), return_indices=True)
    return best[:, :, 0, 0], index[:, :, 0, 0]


def _assemble(best: Tensor, edge: Tensor, place: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Put the sorted cells in their places in the images; return values and edges."""
    n_rows, n_columns, batch = place.shape
    pixel = torch.arange(side * side, dtype=torch.int32, device=place.device).view(side, 1, side)
    cell = place.permute(2, 0, 1)[:, :, None, :, None]
    at = place.new_empty(batch, n_rows, side, n_columns, side)
    torch.add(cell, pixel * best.shape[1], out=at)
    size = batch, n_rows * side, n_columns * side
    value = exponentiate_(best.view(-1).index_select(0, at.view(-1)))
    return value.view(size), edge.index_select(0, at.view(-1)).view(size)
