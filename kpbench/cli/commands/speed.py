"""Measure speed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kpbench.cli.arguments import settings_from
from kpbench.cli.commands.options import AsJson, DeviceOption, Methods, Precision, RecipeOption

if TYPE_CHECKING:
    from kpbench.speed.measure import Unmeasured
    from kpbench.speed.record import SpeedRecord


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
    from kpbench.cli.console import print_throughput
    from kpbench.files.atomic import check_writable
    from kpbench.registry import available, find
    from kpbench.speed.measure import Unmeasured, throughput_of

    settings = settings_from(Path("results"), recipe, device, precision)
    names = [find("methods", name).name for name in method or available("methods")]
    if save is not None:
        check_writable(save)
    found: list[SpeedRecord | Unmeasured] = []
    for name in names:
        seen = throughput_of(name, settings, batch or [1, 16, 64], repeats, sweep=sweep)
        measured = _last(seen, save)
        found += measured
        if not as_json:  # at once: the next may take minutes
            print_throughput(measured, as_json=False)
    if as_json:
        print_throughput(found, as_json=True)
    if any(isinstance(one, Unmeasured) and one.failed for one in found):
        raise typer.Exit(1)


def _last(
    seen: Iterator[SpeedRecord | Unmeasured], save: Path | None
) -> list[SpeedRecord | Unmeasured]:
    """Return the last record of a method, and what could not be measured; save each at once."""
    from kpbench.speed.measure import Unmeasured

    last: dict[bool, SpeedRecord | Unmeasured] = {}
    path = None
    for one in seen:
        last[isinstance(one, Unmeasured)] = one
        if save is not None and not isinstance(one, Unmeasured):
            path = one.save(save)
    if path is not None:
        typer.echo(path, err=True)
    return list(last.values())
