"""Measure speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kpbench.arguments import settings_from
from kpbench.commands.options import AsJson, DeviceOption, Methods, Precision, RecipeOption


def throughput(
    method: Methods = None,
    recipe: RecipeOption = "quick",
    device: DeviceOption = "cpu",
    precision: Precision = "32-true",
    batch: Annotated[list[int] | None, typer.Option(help="Batch sizes; repeat.")] = None,
    repeats: Annotated[int, typer.Option(min=3)] = 20,
    as_json: AsJson = False,
) -> None:
    """Measure images per second, latency, memory and size of methods."""
    from kpbench.console import print_throughput
    from kpbench.registry import available
    from kpbench.throughput import throughput_of

    settings = settings_from(Path("results"), recipe, device, precision)
    names = method or list(available("methods"))
    found = [throughput_of(name, settings, batch or [1, 16, 64], repeats) for name in names]
    print_throughput(found, as_json=as_json)
