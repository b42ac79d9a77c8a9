"""Speed of what a training step consists of: `pytest tests/benchmarks --benchmark-only`.

At the size of `quick`: 16 images of 64 x 64, 16 keypoints.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.nn import Detector, PerceptualLoss, UNet, edge_map, initialise

BATCH, SIZE, K = 16, 64, 16


def images() -> torch.Tensor:
    x = torch.rand(BATCH, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    return x.permute(0, 3, 1, 2) * 2 - 1


def drawing() -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(BATCH, K, 2, generator=generator, requires_grad=True)
    weights = torch.rand(K * (K - 1) // 2, generator=generator, requires_grad=True)
    return lambda: edge_map(points, weights, (SIZE, SIZE), 1e-3).sum().backward()  # type: ignore[no-untyped-call]


def detecting() -> Callable[[], None]:
    net, x = Detector(K, 16).to(memory_format=torch.channels_last), images()
    initialise(net)
    return lambda: net(x).points.sum().backward()


def completing() -> Callable[[], None]:
    net = UNet(4, 3, 8).to(memory_format=torch.channels_last)
    x = torch.cat([images(), images()[:, :1]], dim=1)
    return lambda: net(x).sum().backward()


def comparing() -> Callable[[], None]:
    loss, target, found = PerceptualLoss("efficientnet_lite0"), images(), images()
    found.requires_grad_()
    return lambda: loss(found, target).backward()


@pytest.mark.parametrize("part", [drawing, detecting, completing, comparing])
def test_forward_and_backward(
    part: Callable[[], Callable[[], None]], benchmark: BenchmarkFixture
) -> None:
    benchmark(part())
