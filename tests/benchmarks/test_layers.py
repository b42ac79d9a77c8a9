"""Speed of what a training step consists of, forward and backward.

At the size of `quick` (16 images of 32 pixels, narrow nets) unless the name says another.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.nn import Detector, PerceptualLoss, UNet, edge_map, initialise, soft_argmax

BATCH, SIZE, K = 16, 32, 16
SHAPES = {
    "quick": (16, 16, 32, 2e-2),
    "paper": (16, 16, 128, 5e-5),
    "K=32": (16, 32, 128, 5e-5),
    "K=64": (4, 64, 128, 5e-5),
}
"""Images, keypoints, pixels a side, thickness."""


def images(size: int = SIZE) -> torch.Tensor:
    x = torch.rand(BATCH, size, size, 3, generator=torch.Generator().manual_seed(0))
    return x.permute(0, 3, 1, 2) * 2 - 1


@pytest.mark.parametrize("shape", SHAPES)
def test_edge_map(shape: str, benchmark: BenchmarkFixture) -> None:
    batch, k, size, thickness = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(batch, k, 2, generator=generator, requires_grad=True)
    weights = torch.rand(k * (k - 1) // 2, generator=generator, requires_grad=True)
    upstream = torch.rand(batch, 1, size, size, generator=generator)

    def step() -> None:
        drawn = edge_map(points, weights, (size, size), thickness)
        torch.autograd.grad(drawn, [points, weights], upstream)

    benchmark(step)


@pytest.mark.parametrize(("batch", "cells"), [(16, 8), (64, 32)], ids=["quick", "paper"])
def test_soft_argmax(batch: int, cells: int, benchmark: BenchmarkFixture) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, K, cells, cells, generator=generator, requires_grad=True)
    benchmark(lambda: torch.autograd.grad(soft_argmax(logits).sum(), logits))


def test_detector_step(benchmark: BenchmarkFixture) -> None:
    net, x = Detector(K, 16).to(memory_format=torch.channels_last), images()
    initialise(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        net(x).points.square().sum().backward()
        optimiser.step()

    benchmark(step)


def completing() -> Callable[[], object]:
    net = UNet(4, 3, 8).to(memory_format=torch.channels_last)
    x = torch.cat([images(), images()[:, :1]], dim=1)
    return lambda: net(x).sum().backward()


def comparing() -> Callable[[], object]:
    loss, target, found = PerceptualLoss("efficientnet_lite0"), images(), images()
    found.requires_grad_()
    return lambda: loss(found, loss.wanted(target)).backward()


@pytest.mark.parametrize("part", [completing, comparing])
def test_forward_and_backward(
    part: Callable[[], Callable[[], object]], benchmark: BenchmarkFixture
) -> None:
    benchmark(part())
