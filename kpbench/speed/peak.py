"""What a device does at best: a large matrix product, and the maker's figure beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from kpbench.speed.record import Peak, Spread
from kpbench.speed.timing import measure

if TYPE_CHECKING:
    import torch

_SIDE = {"cpu": 1024, "cuda": 8192}
"""Of the matrices: large enough that nothing but arithmetic counts, small enough for a moment."""

_HOPPER = "NVIDIA H100 and H200 datasheets, SXM, without sparsity"
_HOPPER_PCIE = "NVIDIA H100 datasheet, PCIe, without sparsity"
_AMPERE = "NVIDIA A100 datasheet, without sparsity"
_A100 = {"bfloat16": 312.0, "float16": 312.0, "tf32": 156.0, "float32": 19.5}
_H100 = {"bfloat16": 989.4, "float16": 989.4, "tf32": 494.7, "float32": 66.9}
_H100_PCIE = {"bfloat16": 756.0, "float16": 756.0, "tf32": 378.0, "float32": 51.0}
DATASHEET: dict[str, tuple[dict[str, float], str]] = {
    "NVIDIA H200": (_H100, _HOPPER),
    "NVIDIA H100 80GB HBM3": (_H100, _HOPPER),
    "NVIDIA H100 PCIe": (_H100_PCIE, _HOPPER_PCIE),
    "NVIDIA A100-SXM4-40GB": (_A100, _AMPERE),
    "NVIDIA A100-SXM4-80GB": (_A100, _AMPERE),
    "NVIDIA A100-PCIE-40GB": (_A100, _AMPERE),
    "NVIDIA A100 80GB PCIe": (_A100, _AMPERE),
}
"""Dense TFLOP/s by the name that PyTorch gives the GPU, and where they are printed."""


def arithmetic_of(precision: str) -> str:
    """Return what multiplies in a training of that precision (a Lightning precision string).

    Example:
        >>> arithmetic_of("bf16-mixed"), arithmetic_of("32-true")
        ('bfloat16', 'float32')
    """
    if precision.startswith("bf16"):
        return "bfloat16"
    if precision.startswith(("16", "transformer-engine")):
        return "float16"
    return "float64" if precision.startswith("64") else "float32"


def measure_peak(
    use: Literal["inference", "training"],
    arithmetic: str,
    device: str,
    threads: int,
    device_name: str,
    *,
    repeats: int = 20,
) -> Peak:
    """Measure a matrix product of square matrices.

    Args:
        use: what will be compared with it.
        arithmetic: see `arithmetic_of`; or "tf32", with which PyTorch convolves float32 on CUDA
            unless told otherwise.
        device: "cpu" or "cuda".
        threads: of PyTorch, on the CPU; as many as what is compared had.
        device_name: to look up the maker's figure.
        repeats: products that are timed; the peak is of the fastest twentieth, for a product that
            something else held up is no peak.
    """
    import torch

    from kpbench.nn.fast import torch_threads

    dtype: torch.dtype = getattr(torch, "float32" if arithmetic == "tf32" else arithmetic)
    n = _SIDE[device]
    with torch_threads(threads), _float32_products("high" if arithmetic == "tf32" else "highest"):
        a, b = (torch.rand(n, n, device=device).sub_(0.5).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        time = measure(lambda: torch.mm(a, b, out=out), device, repeats=repeats)
    figures, source = DATASHEET.get(device_name, ({}, ""))
    printed = figures.get(arithmetic)
    return Peak(
        use=use,
        arithmetic=arithmetic,
        threads=threads,
        tflops=2 * n**3 / (time.p05_ms * 1e9),
        time=Spread(**asdict(time)),
        datasheet_tflops=printed,
        datasheet=source if printed else "",
    )


@contextmanager
def _float32_products(precision: str) -> Iterator[None]:
    """Multiply float32 matrices so: "high" is TF32 on CUDA."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
