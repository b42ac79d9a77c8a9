"""Trained detectors for use elsewhere, for shipping, and what the shipped ones find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kpbench.cli.arguments import parse_recipe
from kpbench.errors import CheckpointError, InvalidInputError

if TYPE_CHECKING:
    from kpbench.api import ImageSet, Method
    from kpbench.records.record import Record

CHECKED_ON = "people_background"
"""Rendered on demand, with every signal that a method may read."""


def export(
    method: Annotated[str, typer.Argument(help="A method with a network, e.g. distill_dkp.")],
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", "-p", help=f"Trained on what; {CHECKED_ON} if not named."),
    ] = None,
    onnx: Annotated[Path | None, typer.Option(help="Write an ONNX file.")] = None,
    torch: Annotated[Path | None, typer.Option(help="Write a torch.export program.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Write into this folder `pretrained` of a plugin package.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Take this trained model, not shipped weights.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Take the finished run in this folder of records.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the run in --results; the lowest if not named.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Of the run in --results; paper before quick if not named.")
    ] = None,
) -> None:
    """Write shipped or own weights as ONNX or torch.export, checked; or make weights to ship."""
    from kpbench.records.find import find_run

    if not (onnx or torch or weights):
        raise InvalidInputError("say what to write: --onnx FILE, --torch FILE or --weights FOLDER")
    if weights is not None and results is None:
        raise InvalidInputError("--weights is made of a finished run: name its folder by --results")
    if model is not None and (results is not None or protocol):
        raise InvalidInputError("--model names all of it: leave out --results and --protocol")
    if results is None and (seed is not None or recipe is not None):
        raise InvalidInputError("--seed and --recipe choose a run: name its folder by --results")
    trained_on = protocol or CHECKED_ON
    recipe = None if recipe is None else parse_recipe(recipe)
    if weights is not None and results is not None:
        _weights(find_run(results, method, trained_on, seed=seed, recipe=recipe), results, weights)
    if onnx is not None or torch is not None:
        from kpbench.nn.export import export_onnx, export_torch
        from kpbench.records.shipped import chosen_model, whose_model

        folder = chosen_model(method, trained_on, model, results, seed=seed, recipe=recipe)
        typer.echo(f"of {whose_model(folder)}", err=True)
        fitted, images = _fitted(method, folder)
        for path, write in ((onnx, export_onnx), (torch, export_torch)):
            if path is not None:
                found = write(fitted, images, path)
                typer.echo(f"{path}: keypoints as {method}'s own, largest difference {found:.1g}")


def picture(
    output: Annotated[Path, typer.Argument(help="A PNG, e.g. leaderboards/people.png.")],
) -> None:
    """Draw what the shipped detectors find on test images of the rendered people."""
    from kpbench.boards.pages.picture import write_picture
    from kpbench.cli.console import progress_bar

    with progress_bar() as progress:
        write_picture(output, progress)
    typer.echo(output)


def _fitted(name: str, folder: Path) -> tuple[Method, ImageSet]:
    """Return the method and images on which what it is exported to is compared with it."""
    from kpbench.records.model import load_model
    from kpbench.registry import load_protocol

    fitted = load_model(folder)
    if fitted.name != name:
        raise CheckpointError(f"{folder} holds a trained {fitted.name}, not {name}")
    splits = load_protocol(CHECKED_ON).splits("smoke", signals=tuple(fitted.inputs))
    return fitted, splits.test.images


def _weights(record: Record, results: Path, target: Path) -> None:
    from kpbench.records.find import described
    from kpbench.records.ship import export_weights

    typer.echo(f"of {described(record.identity)}", err=True)
    made = export_weights(results, record, target)
    place = target / record.identity.method / record.identity.protocol
    typer.echo(
        f"{place}: {made.bytes / 1e6:.2f} MB; rounding moved keypoints by "
        f"{made.largest:.2g} of the image at most, {made.mean:.2g} on average; not rounded: "
        f"{', '.join(made.kept) or 'none'}"
    )
