"""The edge map in float32 on a CPU, which is what trains: near and far from the edges."""

from __future__ import annotations

import pytest
import torch

from kpbench.nn import edge_map
from tests.nn.test_edge_map import drawn


@pytest.mark.parametrize("thickness", [1e-2, 1e-3, 5e-5])
def test_float32_equals_float64_in_value_and_gradient(thickness: float) -> None:
    """The same numbers in both, so that all that differs is the arithmetic."""
    # With this seed no two edges are so nearly equal at a pixel that rounding picks the winner.
    single = [tensor.detach().float().requires_grad_() for tensor in drawn(5, 4, 16)]
    double = [tensor.detach().double().requires_grad_() for tensor in single]
    narrow, exact = (edge_map(p, w, (64, 64), thickness) for p, w in (single, double))
    # float32 may be 0 where the next smaller numbers would be subnormal, at about 3.5e-38.
    torch.testing.assert_close(narrow.double(), exact, rtol=1e-3, atol=1e-37)
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    found = torch.autograd.grad(narrow, single, upstream.float())
    for mine, wanted in zip(found, torch.autograd.grad(exact, double, upstream), strict=True):
        largest = float(wanted.abs().max())
        torch.testing.assert_close(mine.double(), wanted, rtol=0, atol=2e-5 * largest)
