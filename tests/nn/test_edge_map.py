"""The edge map against its formula, computed one number at a time and densely in float64."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kpbench.errors import InvalidInputError
from kpbench.nn import edge_ends, edge_map
from kpbench.nn.edge_map import gradient
from kpbench.nn.edge_map import segments as edge_map_frames
from kpbench.nn.edge_map import tiles as edge_map_tiles
from kpbench.nn.fast import torch_threads
from tests.nn.reference import edge_map_reference

SIZE = (13, 11)


def drawn(seed: int, batch: int, k: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, k, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(k * (k - 1) // 2, generator=generator, dtype=torch.float64) + 0.05
    return points.requires_grad_(), weights.requires_grad_()


def gradients(drawing: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of a sum in which every pixel has another weight."""
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(drawing.shape, generator=generator, dtype=torch.float64)
    return torch.autograd.grad((drawing * upstream).sum(), inputs)


def assert_equals_the_reference(
    points: Tensor, weights: Tensor, size: tuple[int, int], thickness: float
) -> None:
    ours = edge_map(points, weights, size, thickness)
    reference = edge_map_reference(points, weights, size, thickness)
    torch.testing.assert_close(ours, reference, rtol=1e-7, atol=1e-290)  # far from edges, too
    for mine, theirs in zip(
        gradients(ours, points, weights), gradients(reference, points, weights), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


def one_number(
    points: list[list[float]], weights: list[float], pixel: tuple[float, float]
) -> float:
    """Return the map at one pixel (x, y) in [0, 1], with nothing but Python's floats."""
    best, edge = 0.0, 0
    for i in range(len(points)):
        for j in range(i + 1, len(points)):
            (ax, ay), (bx, by) = points[i], points[j]
            length = math.dist((ax, ay), (bx, by))
            position = (pixel[0] - ax) * (bx - ax) + (pixel[1] - ay) * (by - ay)
            position = min(max(position / length**2, 0.0), 1.0) if length else 0.0
            foot = ax + position * (bx - ax), ay + position * (by - ay)
            distance = 2 * math.dist(pixel, foot)  # in half images
            best = max(best, weights[edge] * math.exp(-(distance**2) / 0.03))
            edge += 1
    return best


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (70, 66)])
def test_each_pixel_is_what_a_scalar_computation_gives(size: tuple[int, int]) -> None:
    """Catches x and y swapped, rows for columns, half a pixel of shift, and another unit."""
    rows = [[0.11, 0.22], [0.93, 0.31], [0.47, 0.88], [0.3, 0.3]]
    values = [0.9, 0.2, 0.5, 1.3, 0.7, 0.4]
    points, weights = (torch.tensor(each, dtype=torch.float64) for each in ([rows], values))
    fast, plain = (f(points, weights, size, 0.03)[0, 0] for f in (edge_map, edge_map_reference))
    for row in range(0, size[0], 1 + size[0] // 20):
        for column in range(size[1]):
            pixel = (column + 0.5) / size[1], (row + 0.5) / size[0]
            wanted = one_number(rows, values, pixel)
            found = [float(fast[row, column]), float(plain[row, column])]
            assert found == pytest.approx([wanted, wanted], rel=1e-9)


@given(
    st.integers(0, 10**6),
    st.integers(1, 3),
    st.integers(2, 7),
    st.sampled_from([5e-4, 1e-2, 0.3]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([1, 5, 30]),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_reference_in_value_and_gradient(
    seed: int, batch: int, k: int, thickness: float, size: tuple[int, int], unequal: int
) -> None:
    points, weights = drawn(seed, batch, k)
    weights = (weights.detach() ** unequal).requires_grad_()
    assert_equals_the_reference(points, weights, size, thickness)


@pytest.mark.parametrize(
    ("batch", "k", "size", "thickness"),
    [
        (1, 16, (64, 96), 1e-3),
        (2, 10, (66, 64), 5e-5),
        (1, 64, (20, 28), 2e-2),
    ],
)
@pytest.mark.parametrize("spread", [1.0, 0.05], ids=["all over", "in the middle"])
def test_large_maps_equal_the_reference(
    batch: int, k: int, size: tuple[int, int], thickness: float, spread: float
) -> None:
    points, weights = drawn(7, batch, k)
    points = (0.5 + (points.detach() - 0.5) * spread).requires_grad_()
    assert_equals_the_reference(points, weights, size, thickness)


@pytest.mark.parametrize("thickness", [1e-8, 1e-5, 10.0, 1e6])
def test_extreme_thickness_equals_the_reference(thickness: float) -> None:
    assert_equals_the_reference(*drawn(2, 2, 5), (24, 17), thickness)


def test_points_outside_the_image_equal_the_reference() -> None:
    points, weights = drawn(4, 2, 6)
    for spread in (3.0, 30.0):
        moved = ((points.detach() - 0.5) * spread).requires_grad_()
        assert_equals_the_reference(moved, weights, (32, 20), 1e-2)


@pytest.mark.parametrize("direction", [(8, 0), (-8, 0), (0, 8), (0, -8)])
def test_an_edge_that_wins_in_one_row_of_a_tile_alone_is_drawn_there(
    direction: tuple[int, int],
) -> None:
    """A faint edge in the middle of a tile, and one far off that takes over at the last pixels."""
    reach = 0.75  # of the outer of 4 pixels, from the centre
    far = (0.5 + reach / 2 * direction[0], 0.5 + reach / 2 * direction[1])
    points = torch.tensor([[(0.5, 0.5), (0.5, 0.5), far, far]], dtype=torch.float64)
    weights = torch.zeros(6, dtype=torch.float64)
    weights[0], weights[5] = math.exp(-48.5), 1.0  # 8^2 - 48.5 = 15.5, of which 2 x 8 is lost
    ours = edge_map(points, weights, (4, 4), reach**2)
    reference = edge_map_reference(points, weights, (4, 4), reach**2)
    torch.testing.assert_close(ours, reference, rtol=1e-9, atol=0)
    faint, strong = (
        edge_map_reference(points[:, ends], weights[edge], (4, 4), reach**2)
        for ends, edge in ((slice(0, 2), slice(0, 1)), (slice(2, 4), slice(5, 6)))
    )
    assert int((strong > faint).sum()) == 4  # one row or one column


def test_no_image_gives_no_map() -> None:
    points, weights = torch.zeros(0, 3, 2, requires_grad=True), torch.ones(3, requires_grad=True)
    drawing = edge_map(points, weights, (8, 9), 1e-2)
    assert drawing.shape == (0, 1, 8, 9)
    to_points, to_weights = torch.autograd.grad(drawing.sum(), (points, weights))
    assert to_points.shape == points.shape
    assert to_weights.tolist() == [0, 0, 0]


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
    ours, reference = (f(points, weights, SIZE, 0.02) for f in (edge_map, edge_map_reference))
    torch.testing.assert_close(ours, reference)
    to_points, to_weights = torch.autograd.grad(ours.sum(), (points, weights))
    # Ties may go to any of the tied edges, but no part of the gradient is lost or counted twice:
    # moved all together, or all weights scaled, it makes no difference which of them it is.
    all_points, all_weights = torch.autograd.grad(reference.sum(), (points, weights))
    torch.testing.assert_close(to_points.sum(dim=1), all_points.sum(dim=1))
    torch.testing.assert_close(to_weights.sum(), all_weights.sum())


def test_of_two_equal_edges_the_first_takes_the_gradient() -> None:
    points = torch.tensor([[[0.2, 0.2], [0.7, 0.6], [0.7, 0.6]]], requires_grad=True)
    weights = torch.full((3,), 0.5, requires_grad=True)
    edge_map(points, weights, (32, 32), 1e-2).sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert weights.grad[0] > 0
    assert weights.grad[1] == 0


def test_a_weight_of_zero_and_pixels_far_from_all_edges_are_finite() -> None:
    points = torch.tensor([[[0.1, 0.1], [0.12, 0.1], [0.1, 0.12]]], requires_grad=True)
    weights = torch.tensor([0.0, 1.0, 0.0], requires_grad=True)
    drawing = edge_map(points, weights, (64, 64), 5e-5)
    drawing.sum().backward()  # type: ignore[no-untyped-call]
    assert drawing[0, 0, -1, -1] == 0
    for tensor in (drawing, points.grad, weights.grad):
        assert tensor is not None
        assert torch.isfinite(tensor).all()


def test_with_all_weights_zero_the_map_is_zero_and_the_weights_still_learn() -> None:
    points, _ = drawn(1, 2, 4)
    weights = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    drawing = edge_map(points, weights, (16, 16), 1e-2)
    to_points, to_weights = torch.autograd.grad(drawing.sum(), (points, weights))
    assert not drawing.any()
    assert not to_points.any()
    assert torch.isfinite(to_weights).all()
    assert to_weights.sum() > 0


def test_undefined_input_is_undefined_output() -> None:
    points, weights = (tensor.detach() for tensor in drawn(0, 2, 4))
    points[1, 2, 0] = torch.nan
    drawing = edge_map(points, weights, (16, 16), 1e-2)
    assert torch.isfinite(drawing[0]).all()
    assert torch.isnan(drawing[1]).all()
    weights[3] = -1.0
    assert torch.isnan(edge_map(points, weights, (16, 16), 1e-2)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast_compute_in_float32(dtype: torch.dtype) -> None:
    points, weights = (tensor.detach().to(dtype) for tensor in drawn(5, 2, 5))
    wide = [tensor.float().requires_grad_() for tensor in (points, weights)]
    wanted = edge_map(wide[0], wide[1], (16, 16), 1e-2)
    narrow = [tensor.requires_grad_() for tensor in (points, weights)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = edge_map(narrow[0], narrow[1], (16, 16), 1e-2)
        found = torch.autograd.grad(inside.sum(), narrow)
    assert torch.equal(inside, wanted)
    for mine, theirs in zip(found, torch.autograd.grad(wanted.sum(), wide), strict=True):
        assert mine.dtype == dtype
        assert torch.equal(mine, theirs.to(dtype))


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


def full(weights: Tensor, k: int) -> Tensor:
    """Return the symmetric (K, K) matrix of the edges' weights."""
    first, second = edge_ends(k)
    matrix = weights.new_zeros(k, k)
    matrix[first, second] = weights
    return matrix + matrix.T


seeds, counts = st.integers(0, 10**6), st.integers(2, 8)


@given(seeds, counts)
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_keypoints_changes_nothing(seed: int, k: int) -> None:
    points, weights = (tensor.detach() for tensor in drawn(seed, 2, k))
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    first, second = edge_ends(k)
    shuffled = full(weights, k)[order[first], order[second]]
    torch.testing.assert_close(
        edge_map(points[:, order], shuffled, (20, 27), 1e-2),
        edge_map(points, weights, (20, 27), 1e-2),
    )


@given(seeds, counts, st.sampled_from([0, 1]))
@settings(max_examples=20, deadline=None)
def test_mirrored_points_mirror_the_map(seed: int, k: int, axis: int) -> None:
    points, weights = (tensor.detach() for tensor in drawn(seed, 2, k))
    mirrored = points.clone()
    mirrored[..., axis] = 1 - mirrored[..., axis]
    torch.testing.assert_close(
        edge_map(mirrored, weights, (20, 27), 1e-2).flip(3 - axis),
        edge_map(points, weights, (20, 27), 1e-2),
    )


@given(seeds, counts)
@settings(max_examples=20, deadline=None)
def test_a_keypoint_on_edges_of_weight_zero_changes_nothing(seed: int, k: int) -> None:
    points, weights = (tensor.detach() for tensor in drawn(seed, 2, k + 1))
    second = edge_ends(k + 1)[1]
    weights[second == k] = 0
    torch.testing.assert_close(
        edge_map(points, weights, (20, 27), 1e-2),
        edge_map(points[:, :k], weights[second != k], (20, 27), 1e-2),
    )


@given(seeds, counts, st.sampled_from([1e-4, 1e-2, 1.0]))
@settings(max_examples=20, deadline=None)
def test_no_value_exceeds_the_largest_weight(seed: int, k: int, thickness: float) -> None:
    points, weights = (tensor.detach() for tensor in drawn(seed, 2, k))
    drawing = edge_map(points, weights, (20, 27), thickness)
    assert drawing.min() >= 0
    assert drawing.max() <= weights.max() * (1 + 1e-12)


@pytest.mark.parametrize("k", [4, 16, 40])
def test_backward_keeps_two_bytes_a_pixel_for_any_number_of_edges(k: int) -> None:
    points, weights = drawn(0, 2, k)
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        edge_map(points, weights, (32, 32), 1e-2)
    inputs = points.nbytes + weights.nbytes
    assert sum(tensor.nbytes for tensor in kept) == inputs + 2 * 2 * 32 * 32


@pytest.mark.parametrize("k", [16, 64])
def test_intermediate_results_stay_within_a_few_blocks(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            sizes.extend(each.numel() for each in tree_leaves(result))
            return result

    for module in (edge_map_tiles, gradient):
        monkeypatch.setattr(module, "BLOCK", 1 << 14)
    points, weights = (tensor.detach() for tensor in drawn(0, 4, k))
    with Watch():  # type: ignore[no-untyped-call]
        _, winner = edge_map_tiles.draw(points, weights, 96, 96, 1e-3)
        gradient.differentiate(points, weights, winner, torch.ones(4, 96, 96), 1e-3)
    n_edges = k * (k - 1) // 2
    row_of_tiles = 96 // 8 * n_edges
    assert max(sizes) <= 8 * max(1 << 14, row_of_tiles)
    assert max(sizes) < 4 * 96 * 96 * n_edges / 30  # what one number an edge and pixel would take


@pytest.mark.parametrize("size", [(32, 32), (70, 64)])
def test_cutting_into_blocks_changes_no_bit(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    points, weights = drawn(6, 5, 6)
    whole = edge_map(points, weights, size, 1e-3)
    wanted = whole, *gradients(whole, points, weights)
    for module in (edge_map_tiles, gradient):
        assert module.BLOCK == edge_map_frames.BLOCK
        monkeypatch.setattr(module, "BLOCK", 50)
    cut = edge_map(points, weights, size, 1e-3)
    for mine, theirs in zip((cut, *gradients(cut, points, weights)), wanted, strict=True):
        assert torch.equal(mine, theirs)


def test_most_edges_are_not_drawn_where_they_cannot_win(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_pairs, candidates = 0, edge_map_tiles._candidates

    def counted(*args) -> edge_map_tiles.Integers:  # type: ignore[no-untyped-def]  # noqa: ANN002
        nonlocal drawn_pairs
        pairs = candidates(*args)
        drawn_pairs += len(pairs)
        return pairs

    monkeypatch.setattr(edge_map_tiles, "_candidates", counted)
    points, weights = drawn(0, 2, 16)
    edge_map(points, weights, (128, 128), 1e-3)
    assert 0 < drawn_pairs < 0.2 * 2 * (128 / 8) ** 2 * 120


def test_the_number_of_threads_changes_no_bit() -> None:
    points, weights = (tensor.detach().float() for tensor in drawn(9, 8, 12))
    results = []
    for n in (1, 2, 3):
        inputs = points.clone().requires_grad_(), weights.clone().requires_grad_()
        with torch_threads(n):
            drawing = edge_map(*inputs, (96, 96), 1e-3)
            results.append((drawing, *gradients(drawing, *inputs)))
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("points", "n_weights", "size", "thickness"),
    [
        ((2, 3), 3, (4, 4), 0.1),
        ((2, 3, 3), 3, (4, 4), 0.1),
        ((2, 1, 2), 0, (4, 4), 0.1),
        ((1, 257, 2), 32896, (4, 4), 0.1),
        ((2, 3, 2), 4, (4, 4), 0.1),
        ((2, 3, 2), 3, (0, 4), 0.1),
        ((2, 3, 2), 3, (4, 4), 0.0),
        ((2, 3, 2), 3, (4, 4), -1.0),
        ((2, 3, 2), 3, (4, 4), math.nan),
        ((2, 3, 2), 3, (4, 4), math.inf),
    ],
)
def test_unusable_arguments_are_refused(
    points: tuple[int, ...], n_weights: int, size: tuple[int, int], thickness: float
) -> None:
    with pytest.raises(InvalidInputError, match="edge_map: "):
        edge_map(torch.rand(points), torch.rand(n_weights), size, thickness)


def test_as_many_keypoints_as_are_allowed_have_16_bit_winners() -> None:
    points, weights = drawn(0, 1, 256)
    last = torch.zeros_like(weights)
    last[-1] = 1.0
    _, winner = edge_map_tiles.draw(points.detach(), last, 8, 8, 10.0)
    assert (winner == len(weights) - 1).all()


def test_torch_compile_passes_over_it_without_a_graph_break() -> None:
    points, weights = drawn(2, 2, 5)

    def step(p: Tensor, w: Tensor) -> Tensor:
        return edge_map(p.square(), torch.nn.functional.softplus(w), (16, 12), 1e-2) * 2

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    mine, plain = compiled(points, weights), step(points, weights)
    torch.testing.assert_close(mine, plain)
    for a, b in zip(
        gradients(mine, points, weights), gradients(plain, points, weights), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_the_operators_keep_what_they_declare() -> None:
    points, weights = drawn(2, 2, 5)
    torch.library.opcheck(
        torch.ops.kpbench.edge_map.default,
        (points, weights, 12, 9, 1e-2),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )
    grad, winner = torch.rand(2, 12, 9).double(), torch.zeros(2, 12, 9, dtype=torch.int16)
    torch.library.opcheck(
        torch.ops.kpbench.edge_map_backward.default,
        (points.detach(), weights.detach(), winner, grad, 1e-2),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_it_goes_on_where_kernels_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nSet CC.")

    operator = importlib.import_module("kpbench.nn.edge_map.edges")
    monkeypatch.setattr(torch, "zeros", fails)
    with pytest.warns(UserWarning, match="no GPU kernels.*: Failed to find C compiler.$"):
        assert operator._kernels.__wrapped__() is None
