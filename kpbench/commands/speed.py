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
    precision: Precision = "auto",
    batch: Annotated[list[int] | None, typer.Option(help="Batch sizes; repeat.", min=1)] = None,
    repeats: Annotated[int, typer.Option(min=3)] = 20,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Also a training step against K and image size, of methods that have image_size.",
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(help="Folder for the records, e.g. leaderboards/speed; not kept without it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure images per second, latency, memory, size and share of the peak of methods."""
    from kpbench.console import print_throughput
    from kpbench.registry import available
    from kpbench.storage import check_writable
    from kpbench.throughput import Unmeasured, throughput_of

    settings = settings_from(Path("results"), recipe, device, precision)
    if save is not None:
        check_writable(save)
    found = []
    for name in method or available("methods"):
        measured = throughput_of(name, settings, batch or [1, 16, 64], repeats, sweep=sweep)
        found.append(measured)
        if not as_json:  # at once: the next may take minutes
            print_throughput([measured], as_json=False)
        if save is not None and not isinstance(measured, Unmeasured):
            typer.echo(measured.save(save), err=True)
    if as_json:
        print_throughput(found, as_json=True)
