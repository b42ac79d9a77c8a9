"""The CUDA kernels of the edge map: interpreted on a CPU everywhere, run where there is a GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kpbench.nn import edge_ends, edge_map
from tests.nn.reference import edge_map_reference

INTERPRETED = """
import sys
from safetensors.torch import load_file, save_file
from kpbench.nn.edge_map import triton_kernels as edge_map_triton

given, results = load_file(sys.argv[1]), {}
for name in sorted({key.split("/")[0] for key in given}):
    points, weights, grad = (given[f"{name}/{each}"] for each in ("points", "weights", "grad"))
    thickness = float(given[f"{name}/thickness"])
    value, winner = edge_map_triton.draw(points, weights, *grad.shape[1:], thickness)
    by_point, by_weight = edge_map_triton.differentiate(points, weights, winner, grad, thickness)
    for key, tensor in zip(("map", "winner", "by_point", "by_weight"),
                           (value, winner, by_point, by_weight), strict=True):
        results[f"{name}/{key}"] = tensor
save_file(results, sys.argv[2])
"""


def graph(seed: int, batch: int, k: int, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = 0.5 + (torch.rand(batch, k, 2, generator=generator) - 0.5) * spread
    return points, torch.rand(k * (k - 1) // 2, generator=generator) + 0.05


def cases() -> dict[str, tuple[Tensor, Tensor, tuple[int, int], float]]:
    """Return points, weights, size and thickness by name."""
    points, weights = graph(0, 2, 4)
    some = weights.clone()
    some[::2] = 0
    undefined = points.clone()
    undefined[1, 3, 1] = torch.nan
    same = torch.tensor([[[0.3, 0.4], [0.3, 0.4], [0.3, 0.4]]])
    two = torch.tensor([[[0.3, 0.4], [0.3, 0.4], [0.8, 0.6]]])
    return {
        "random": (points, weights, (23, 50), 1e-2),  # more pixels than one program works on
        "seven keypoints": (*graph(1, 1, 7), (17, 12), 2e-2),
        "two keypoints": (*graph(2, 2, 2), (8, 8), 1e-2),
        "one row": (*graph(2, 1, 3), (1, 30), 1e-2),
        "one column": (*graph(2, 1, 3), (30, 1), 1e-2),
        "outside": (*graph(3, 1, 4, spread=4.0), (16, 12), 1e-1),
        "in the middle": (*graph(3, 1, 4, spread=0.05), (16, 12), 1e-1),
        "thin": (*graph(4, 1, 3), (32, 32), 5e-5),
        "thick": (*graph(4, 1, 3), (9, 9), 1e3),
        "some weights zero": (points, some, (16, 16), 1e-2),
        "all weights zero": (points, 0 * weights, (16, 16), 1e-2),
        "all coincide": (same, torch.full((3,), 0.7), (16, 16), 2e-2),
        "two coincide": (two, torch.full((3,), 0.7), (16, 16), 2e-2),
        "undefined point": (undefined, weights, (16, 16), 1e-2),
        "negative weight": (points, weights - 0.3, (16, 16), 1e-2),
    }


TIED = "all weights zero", "all coincide", "two coincide"
UNDEFINED = "undefined point", "negative weight"


def grad_of(points: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.randn(len(points), *size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Tensor]:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    folder: Path = tmp_path_factory.mktemp("triton")
    given: dict[str, Tensor] = {}
    for name, (points, weights, size, thickness) in cases().items():
        given |= {f"{name}/points": points.clone(), f"{name}/weights": weights.clone()}
        given |= {f"{name}/grad": grad_of(points, size)}
        given |= {f"{name}/thickness": torch.tensor(thickness, dtype=torch.float64)}
    save_file(given, folder / "given.safetensors")
    command = [sys.executable, "-c", INTERPRETED, "given.safetensors", "results.safetensors"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return load_file(folder / "results.safetensors")


def reference(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the map and the gradients by points and by weights, in float64."""
    points, weights, size, thickness = cases()[name]
    inputs = [tensor.double().requires_grad_() for tensor in (points, weights)]
    drawing = edge_map_reference(inputs[0], inputs[1], size, thickness)[:, 0]
    by_point, by_weight = torch.autograd.grad((drawing * grad_of(points, size)).sum(), inputs)
    return drawing.detach(), by_point, by_weight


def assert_close(mine: Tensor, wanted: Tensor) -> None:
    largest = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(mine.double(), wanted, rtol=2e-4, atol=2e-5 * largest)


@pytest.mark.parametrize("name", [name for name in cases() if name not in UNDEFINED])
def test_interpreted_kernels_equal_the_reference(
    name: str, interpreted: Mapping[str, Tensor]
) -> None:
    drawing, by_point, by_weight = reference(name)
    assert_close(interpreted[f"{name}/map"], drawing)
    mine = interpreted[f"{name}/by_point"], interpreted[f"{name}/by_weight"]
    if name == "all weights zero":
        assert not mine[0].any()
        assert torch.isfinite(mine[1]).all()
    elif name in TIED:  # which of the tied edges takes it is open, but not how much there is
        assert_close(mine[0].sum(dim=1), by_point.sum(dim=1))
        assert_close(mine[1].sum(), by_weight.sum())
    else:
        assert_close(mine[0], by_point)
        assert_close(mine[1], by_weight)


def test_interpreted_kernels_pass_on_what_is_undefined(interpreted: Mapping[str, Tensor]) -> None:
    found = interpreted["undefined point/map"]
    assert torch.isfinite(found[0]).all()
    assert torch.isnan(found[1]).all()
    assert torch.isnan(interpreted["negative weight/map"]).all()


def test_interpreted_kernels_give_ties_to_the_first(interpreted: Mapping[str, Tensor]) -> None:
    assert not interpreted["all coincide/winner"].any()
    assert not interpreted["all weights zero/winner"].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
class TestOnCuda:
    @pytest.mark.parametrize("name", [name for name in cases() if name not in (*UNDEFINED, *TIED)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_equals_the_reference(self, name: str, dtype: torch.dtype) -> None:
        points, weights, size, thickness = cases()[name]
        inputs = [tensor.to("cuda", dtype).requires_grad_() for tensor in (points, weights)]
        mine = edge_map(inputs[0], inputs[1], size, thickness)[:, 0]
        upstream = grad_of(points, size).cuda()
        found = mine, *torch.autograd.grad((mine * upstream).sum(), inputs)
        for tensor, wanted in zip(found, reference(name), strict=True):
            assert_close(tensor.cpu(), wanted)

    def test_at_the_papers_size_it_equals_the_reference_bit_for_bit_twice(self) -> None:
        points, weights = (tensor.cuda() for tensor in graph(0, 4, 32))
        upstream = grad_of(points.cpu(), (128, 128)).cuda()[:, None]
        results = []
        for function, dtype in ((edge_map, torch.float32),) * 2 + (
            (edge_map_reference, torch.float64),
        ):
            inputs = [tensor.to(dtype).requires_grad_() for tensor in (points, weights)]
            drawing = function(inputs[0], inputs[1], (128, 128), 1e-3)
            results.append((drawing, *torch.autograd.grad((drawing * upstream).sum(), inputs)))
        for first, second, wanted in zip(*results, strict=True):
            assert torch.equal(first, second)
            assert_close(first, wanted)

    def test_it_never_waits_for_the_device(self) -> None:
        points, weights = (tensor.cuda().requires_grad_() for tensor in graph(0, 2, 16))
        for mode in ("default", "error"):  # the first call compiles
            torch.cuda.set_sync_debug_mode(mode)
            try:
                drawing = edge_map(points, weights, (64, 64), 1e-3)
                torch.autograd.grad(drawing.sum(), (points, weights))
            finally:
                torch.cuda.set_sync_debug_mode("default")

    def test_winners_of_many_keypoints_fit(self) -> None:
        points, weights = (tensor.cuda() for tensor in graph(0, 1, 256))
        first = edge_ends(256)[0].cuda()
        weights *= first == 254  # the last edge alone
        drawing = edge_map(points, weights, (32, 32), 1.0)
        alone = edge_map(points[:, 254:], weights[-1:], (32, 32), 1.0)
        torch.testing.assert_close(drawing, alone)


def test_kernels_compile_for_a_hopper_gpu() -> None:
    """Down to machine code, which needs no GPU."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from kpbench.nn.edge_map import triton_kernels as edge_map_triton

    numbers = dict.fromkeys(
        ("points", "weights", "value", "grad", "to_ends", "to_weights"), "*fp32"
    )
    pointers = {**numbers, "winner": "*i16", "sharpness": "fp32"}
    constants = {"n_keypoints": 16, "height": 128, "width": 128}
    for kernel, block in (
        (edge_map_triton._draw, edge_map_triton._DRAW_BLOCK),
        (edge_map_triton._differentiate, edge_map_triton._DIFFERENTIATE_BLOCK),
    ):
        signature = {name: pointers.get(name, "constexpr") for name in kernel.arg_names}
        source = ASTSource(kernel, signature, constexprs={**constants, "BLOCK": block})
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
        assert made.asm["cubin"]
        assert ".target sm_90" in made.asm["ptx"]
