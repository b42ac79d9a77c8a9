"""Measure the edge map beside its formula written out, forward and backward.

    python benchmarks/edge_map.py --device cuda --json edge_map.json

At 128 x 128 pixels and 64 images; 16 and 32 keypoints. The formula keeps all K (K - 1) / 2 maps, so
on a CPU it gets 8 images at a time, which its caches like better too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

if __name__ == "__main__":  # run by its path, not as a module
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kpbench.api import Device
from kpbench.errors import KpbenchError

PIXELS, THICKNESS = 128, 5e-5
AT_ONCE = {"cpu": 8, "cuda": 64}
"""Images that the formula is given at a time."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def compare(k: int, batch: int, device: Device, repeats: int) -> dict[str, Any]:
    """Time both on random points and weights, in turn, and measure their memory on a GPU."""
    import torch

    from kpbench.nn import edge_ends, edge_map
    from kpbench.speed.timing import ratio, rounds, timing
    from tests.nn.reference import edge_map_reference

    generator = torch.Generator().manual_seed(0)
    points = torch.rand(batch, k, 2, generator=generator).to(device).requires_grad_()
    weights = torch.rand(len(edge_ends(k)[0]), generator=generator).to(device).requires_grad_()
    upstream = torch.rand(batch, 1, PIXELS, PIXELS, generator=generator).to(device)

    def ours() -> None:
        drawn = edge_map(points, weights, (PIXELS, PIXELS), THICKNESS)
        torch.autograd.grad(drawn, [points, weights], upstream)

    def formula() -> None:
        for at in range(0, batch, AT_ONCE[device]):
            part = slice(at, at + AT_ONCE[device])
            drawn = edge_map_reference(points[part], weights, (PIXELS, PIXELS), THICKNESS)
            torch.autograd.grad(drawn, [points, weights], upstream[part])

    times = rounds({"formula": formula, "kpbench": ours}, device, warmup=2, repeats=repeats)
    return {
        "device": device,
        "K": k,
        "batch": batch,
        "pixels": PIXELS,
        "formula_ms": timing(times["formula"]).median_ms,
        "kpbench_ms": timing(times["kpbench"]).median_ms,
        "ratio": ratio(times["formula"], times["kpbench"]).median,
        "formula_mib": peak_memory(formula, device),
        "kpbench_mib": peak_memory(ours, device),
    }


def peak_memory(call: Callable[[], object], device: Device) -> float | None:
    """Return what a call allocates on a GPU at most, in MiB; None on a CPU."""
    if device != "cuda":
        return None
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    return float(torch.cuda.max_memory_allocated() - before) / 2**20


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return what was measured as markdown."""
    from tabulate import tabulate

    return tabulate(found, headers="keys", tablefmt="github", floatfmt=".4g", missingval="")


@app.command()
def main(
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images.")] = 64,
    keypoints: Annotated[list[int] | None, typer.Option("-k", min=2, help="Repeat.")] = None,
    repeats: Annotated[int, typer.Option(min=3)] = 10,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure the edge map beside its formula written out."""
    from kpbench.cli.arguments import parse_device
    from kpbench.files.atomic import write_atomically
    from kpbench.running.provenance import collect, now

    try:
        chosen = parse_device(device)
        found = [compare(k, batch, chosen, repeats) for k in keypoints or (16, 32)]
        typer.echo(table(found))
        if as_json is not None:
            record = {"finished": now(), "machine": collect(chosen), "measured": found}
            write_atomically(as_json, f"{json.dumps(record, indent=1)}\n".encode())
    except KpbenchError as error:
        typer.echo(f"edge_map: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
