"""How fast the machine is, by which the other benchmarks are divided before runs are compared."""

from __future__ import annotations

import torch
from pytest_benchmark.fixture import BenchmarkFixture


def test_arithmetic(benchmark: BenchmarkFixture) -> None:
    a, b = torch.rand(512, 512), torch.rand(512, 512)
    benchmark(torch.mm, a, b, out=torch.empty(512, 512))


def test_memory(benchmark: BenchmarkFixture) -> None:
    source = torch.rand(2**24)
    benchmark(torch.empty_like(source).copy_, source)
