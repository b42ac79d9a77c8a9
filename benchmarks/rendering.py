"""Measure how fast people are rendered at the size of the `paper` recipe.

    python benchmarks/rendering.py --device cuda --images 2048 --json rendering.json

What was rendered goes to a temporary folder.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer

if __name__ == "__main__":  # run by its path, not as a module
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kpbench.api import Device
from kpbench.errors import KpbenchError

PROTOCOL = "people_background"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def seconds(settings: Any, images: int, pixels: int, device: Device) -> float:
    """Return how long it takes to render images and to keep them, start-up left out.

    Args:
        settings: of the generator.
        images: how many.
        pixels: their side.
        device: where.
    """
    from kpbench.people.dataset import RenderedSet, load

    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, KPBENCH_CACHE=cache):
        load(RenderedSet(settings, "validation", 64, pixels, device))
        start = time.perf_counter()
        load(RenderedSet(settings, "train", images, pixels, device))
        return time.perf_counter() - start


@app.command()
def main(
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    images: Annotated[int, typer.Option(min=64)] = 256,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure how fast people are rendered at the size of the paper recipe."""
    from kpbench.cli.arguments import parse_device
    from kpbench.files.atomic import write_atomically
    from kpbench.registry import load_protocol
    from kpbench.running.provenance import collect, now

    try:
        chosen = parse_device(device)
        protocol: Any = load_protocol(PROTOCOL)
        sizes = protocol.sizes("paper")
        took = seconds(protocol.settings, images, sizes["pixels"], chosen)
        whole = sizes["discovery"] + sizes["test"]
        typer.echo(
            f"{images} images of {sizes['pixels']} pixels in {took:.1f} s on {chosen}: "
            f"{images / took:.1f} images/s; the {whole:,} of {PROTOCOL} at paper would take "
            f"{whole / images * took / 60:.1f} minutes"
        )
        if as_json is not None:
            record = {
                "finished": now(),
                "machine": collect(chosen),
                "images": images,
                "pixels": sizes["pixels"],
                "seconds": took,
            }
            write_atomically(as_json, f"{json.dumps(record, indent=1)}\n".encode())
    except KpbenchError as error:
        typer.echo(f"rendering: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
