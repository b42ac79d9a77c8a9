"""The edge map against a dense float64 reference that keeps every edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kpbench.nn import edge_ends, edge_map

SIZE = (13, 11)


def dense(points: Tensor, weights: Tensor, size: tuple[int, int], thickness: float) -> Tensor:
    """Every edge at every pixel, by the textbook projection on a segment."""
    height, width = size
    ends = 2 * points - 1
    y = 2 * (torch.arange(height, dtype=points.dtype) + 0.5) / height - 1
    x = 2 * (torch.arange(width, dtype=points.dtype) + 0.5) / width - 1
    pixel = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    maps = []
    k = points.shape[1]
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    for edge, (i, j) in enumerate(pairs):
        a, b = ends[:, i, None, None], ends[:, j, None, None]
        squared = (b - a).square().sum(-1)
        s = ((pixel - a) * (b - a)).sum(-1) / torch.where(squared > 0, squared, 1.0)
        nearest = a + s.clamp(0, 1)[..., None] * (b - a)
        distance = (pixel - nearest).square().sum(-1)
        maps.append(weights[edge] * torch.exp(-distance / thickness))
    return torch.stack(maps).max(dim=0).values[:, None]


def drawn(seed: int, batch: int, k: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, k, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(k * (k - 1) // 2, generator=generator, dtype=torch.float64) + 0.05
    return points.requires_grad_(), weights.requires_grad_()


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([5e-4, 1e-2, 0.3]))
@settings(max_examples=25, deadline=None)
def test_equals_the_dense_reference_in_value_and_gradient(
    seed: int, k: int, thickness: float
) -> None:
    points, weights = drawn(seed, 2, k)
    upstream = torch.randn(2, 1, *SIZE, dtype=torch.float64)
    ours = edge_map(points, weights, SIZE, thickness)
    reference = dense(points, weights, SIZE, thickness)
    torch.testing.assert_close(ours, reference)
    for mine, theirs in zip(
        torch.autograd.grad((ours * upstream).sum(), (points, weights)),
        torch.autograd.grad((reference * upstream).sum(), (points, weights)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


def test_gradcheck() -> None:
    points, weights = drawn(3, 2, 4)

    def drawing(p: Tensor, w: Tensor) -> Tensor:
        return edge_map(p, w, (7, 9), 0.05)

    assert torch.autograd.gradcheck(drawing, (points, weights))


@pytest.mark.parametrize(
    "rows",
    [
        [[0.3, 0.4], [0.3, 0.4], [0.3, 0.4]],  # all coincide: no edge has a length
        [[0.3, 0.4], [0.3, 0.4], [0.8, 0.6]],  # one edge without length, two equal ones
        [[0.2, 0.5], [0.5, 0.5], [0.8, 0.5]],  # on a line: the long edge covers the short ones
        [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]],  # corners
    ],
)
def test_degenerate_graphs(rows: list[list[float]]) -> None:
    points = torch.tensor([rows], dtype=torch.float64, requires_grad=True)
    weights = torch.full((3,), 0.7, dtype=torch.float64, requires_grad=True)
    ours, reference = (f(points, weights, SIZE, 0.02) for f in (edge_map, dense))
    torch.testing.assert_close(ours, reference)
    to_points, to_weights = torch.autograd.grad(ours.sum(), (points, weights))
    assert torch.isfinite(to_points).all()
    # Ties may go to any of the tied edges, but no part of the gradient is lost or counted twice.
    _, all_weights = torch.autograd.grad(reference.sum(), (points, weights))
    torch.testing.assert_close(to_weights.sum(), all_weights.sum())


def test_a_weight_of_zero_and_pixels_far_from_all_edges_are_finite() -> None:
    points = torch.tensor([[[0.1, 0.1], [0.12, 0.1], [0.1, 0.12]]], requires_grad=True)
    weights = torch.tensor([0.0, 1.0, 0.0], requires_grad=True)
    drawing = edge_map(points, weights, (64, 64), 5e-5)
    drawing.sum().backward()  # type: ignore[no-untyped-call]
    assert drawing[0, 0, -1, -1] == 0
    for tensor in (drawing, points.grad, weights.grad):
        assert tensor is not None
        assert torch.isfinite(tensor).all()


def test_float32_picks_the_same_edges_as_float64() -> None:
    points, weights = drawn(5, 4, 16)
    exact = edge_map(points, weights, (64, 64), 1e-3)
    single = edge_map(points.float(), weights.float(), (64, 64), 1e-3)
    torch.testing.assert_close(single.double(), exact, rtol=1e-3, atol=1e-5)


def test_x_is_the_column_and_a_pixel_centre_lies_at_half() -> None:
    points = torch.tensor([[[0.5 / 8, 2.5 / 4], [7.5 / 8, 2.5 / 4]]])
    drawing = edge_map(points, torch.tensor([0.6]), (4, 8), 1e-3)[0, 0]
    torch.testing.assert_close(drawing[2], torch.full((8,), 0.6))
    # The next row is 2 / 4 away in [-1, 1] units, which the thickness is measured in.
    one_row = edge_map(points, torch.tensor([0.6]), (4, 8), 0.25)[0, 0, 1]
    torch.testing.assert_close(one_row, torch.full((8,), 0.6 * float(np.exp(-0.25 / 0.25))))


def test_edges_are_ordered_as_the_upper_triangle() -> None:
    first, second = edge_ends(4)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 2),
        (1, 3),
        (2, 3),
    ]


def test_backward_keeps_no_map_per_edge() -> None:
    points, weights = drawn(0, 2, 16)
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        edge_map(points, weights, (32, 32), 1e-2)
    assert max(kept) <= 2 * 32 * 32  # one winner a pixel, not one distance an edge and pixel
