"""Train, score, predict."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from kpbench.cli.arguments import check_role, check_taking_part, parse_seeds, settings_from
from kpbench.cli.commands.options import (
    DeviceOption,
    Methods,
    Precision,
    Protocols,
    RecipeOption,
    Results,
    Seed,
    Set,
)
from kpbench.contracts.parameters import MOST_KEYPOINTS
from kpbench.errors import InvalidInputError


class Evaluate(TyperCommand):
    """The command `evaluate`, in which --rerun without a value means all."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the words of the command line, with the value that was left out."""
        words = list(args)
        for i, (word, following) in enumerate(zip_longest(args, args[1:], fillvalue="-")):
            if word == "--rerun" and following.startswith("-"):
                words[i] = "--rerun=all"
        return super().parse_args(ctx, words)


def evaluate(
    method: Methods = None,
    protocol: Protocols = None,
    seeds: Annotated[str, typer.Option(help="0, 0-2 or 0,3,5-7.")] = "0",
    recipe: RecipeOption = "quick",
    device: DeviceOption = "cpu",
    precision: Precision = "auto",
    results: Results = Path("results"),
    rerun: Annotated[
        str,
        typer.Option(
            "--rerun",
            metavar="[all|changed]",
            help="Run again what has a record: all, or what kpbench or torch changed since.",
        ),
    ] = "",
    set_: Set = None,
    train_on: Annotated[
        list[str] | None,
        typer.Option(help="Train on this protocol's images, whatever is tested on; repeat."),
    ] = None,
    test_on: Annotated[
        list[str] | None, typer.Option(help="With --train-on: the same as --protocol.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="Cells side by side; 0: as many as there are cores for.")
    ] = 0,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Score shipped weights instead of training.")
    ] = False,
    verbose: Annotated[bool, typer.Option(help="Print the traceback of a failure.")] = False,
) -> None:
    """Train and score methods on protocols; finished cells are kept and reused."""
    from kpbench.cli.console import run_and_report
    from kpbench.records.shipped import shipped_protocols
    from kpbench.registry import available
    from kpbench.running.plan import default_protocols, grid
    from kpbench.running.set_values import check_set

    settings = settings_from(results, recipe, device, precision, rerun, set_ or [])
    settings = replace(settings, pretrained=pretrained)
    methods = method or list(available("methods"))
    named = [*(protocol or []), *(test_on or [])]
    named = named or (shipped_protocols(methods) if pretrained else default_protocols())
    cells = grid(methods, named, parse_seeds(seeds), train_on or [])
    check_taking_part(settings, {*named, *(train_on or []), *(cell.method for cell in cells)})
    check_set(settings)
    if pretrained:  # nothing is trained, so nothing has to be trained before
        cells = [cell for cell in cells if cell.method in methods]
    raise typer.Exit(run_and_report(cells, settings, jobs=jobs, verbose=verbose))


def train(
    method: Annotated[str, typer.Argument(help="A method, e.g. autolink.")],
    output: Annotated[Path, typer.Option(help="Where the trained model goes.")],
    images: Annotated[Path | None, typer.Option(help="A folder of images without labels.")] = None,
    protocol: Annotated[str, typer.Option(help="Or: a protocol, for its training images.")] = "",
    keypoints: Annotated[
        int | None, typer.Option("--keypoints", "-k", min=1, max=MOST_KEYPOINTS, help="K.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16, max=16_384, help="A folder's images are resized to this; 128 if not named."
        ),
    ] = None,
    seed: Seed = 0,
    role: Annotated[
        str, typer.Option(help="Whose settings: a protocol's role, e.g. human36m.")
    ] = "",
    recipe: RecipeOption = "quick",
    device: DeviceOption = "cpu",
    precision: Precision = "auto",
    set_: Set = None,
) -> None:
    """Train a method without scoring it, on your own images or on a protocol's."""
    from kpbench.cli.console import progress_bar
    from kpbench.data.variants import configured
    from kpbench.running import own_images
    from kpbench.running.set_values import check_trainable

    if (images is None) == (not protocol):
        raise InvalidInputError("name either a folder with --images or a --protocol")
    if protocol and size is not None:
        raise InvalidInputError("the images of a protocol have their size: leave out --size")
    if role:
        check_role(role)
    settings = settings_from(output, recipe, device, precision, overrides=set_ or [])
    named = [protocol] if protocol else []
    check_taking_part(settings, [*own_images.trained_methods(method), *named])
    chosen = configured(protocol, settings.arguments.get(protocol, {}))[0] if protocol else None
    k = keypoints or (chosen.n_keypoints if chosen else 16)
    role = role or (chosen.role if chosen else "")
    check_trainable(method, settings, role=role, n_keypoints=k)
    with progress_bar() as progress:
        if chosen is None:
            assert images is not None
            data = own_images.read_folder(images, size or 128, partial(typer.echo, err=True))
        else:
            data = chosen.splits(
                settings.recipe,
                device=settings.device,
                signals=own_images.training_signals(method),
                progress=progress,
            ).discovery
        own_images.train(
            method, data, settings, role=role, n_keypoints=k, seed=seed, progress=progress
        )
    typer.echo(f"trained {method}; try: kpbench predict IMAGES --model {output}")


def predict(
    files: Annotated[list[Path], typer.Argument(help="Images, videos and folders of images.")],
    method: Annotated[
        str | None, typer.Option(help="Whose shipped weights; distill_dkp if not named.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Trained on what; people_background if not named.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Instead: a trained model's folder.")] = None,
    results: Annotated[
        Path | None, typer.Option(help="Instead: the method's finished run in this folder.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for keypoints and overlays.")] = Path(
        "predictions"
    ),
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw them into a copy of each video, too.")
    ] = False,
) -> None:
    """Find keypoints in images (JSON, CSV, an overlay PNG for each) and in videos.

    For each video: CSV and HDF5 laid out as DeepLabCut's, and JSON, a line a frame.
    """
    from kpbench.cli.console import progress_bar, report_predicted
    from kpbench.records.shipped import chosen_model, whose_model
    from kpbench.running.own_images import listed, predict_files
    from kpbench.running.own_videos import is_video, predict_videos

    if model is not None and (method or protocol):
        raise InvalidInputError("--model names all of it: leave out --method and --protocol")
    meant = listed(files, partial(typer.echo, err=True))
    videos = [path for path in meant if is_video(path)]
    images = [path for path in meant if not is_video(path)]
    if overlay and not videos:
        raise InvalidInputError("--overlay is for videos; images have one anyway")
    names = method or "distill_dkp", protocol or "people_background"
    folder = chosen_model(*names, model, results)
    typer.echo(f"model: {whose_model(folder)}", err=True)
    failed = report_predicted(predict_files(folder, images, output)) if images else 0
    if videos:
        with progress_bar() as progress:
            tracked = predict_videos(folder, videos, output, overlay=overlay, progress=progress)
            failed |= report_predicted(tracked)
    raise typer.Exit(failed)
