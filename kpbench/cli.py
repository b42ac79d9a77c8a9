"""Command line: parse, call, print. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kpbench.arguments import parse_recipe, parse_seeds, settings_from
from kpbench.data import commands as data_commands
from kpbench.errors import InvalidInputError, KpbenchError, UnknownNameError

app = typer.Typer(
    help="Benchmark and evaluate unsupervised keypoint methods.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
new = typer.Typer(help="Start a plugin of your own.", no_args_is_help=True)
app.add_typer(new, name="new")
app.add_typer(data_commands.app, name="data")

Results = Annotated[Path, typer.Option(help="Folder of the records.")]
RecipeOption = Annotated[str, typer.Option(help="How much training: quick (CPU) or paper (GPU).")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Methods = Annotated[list[str] | None, typer.Option("--method", "-m", help="Repeat for several.")]
Protocols = Annotated[list[str] | None, typer.Option("--protocol", "-p", help="Repeat likewise.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A parameter of a method or an argument of a protocol: NAME.PARAMETER=VALUE, e.g. "
        "autolink.steps=9, people_background.k=8",
    ),
]
Precision = Annotated[str, typer.Option(help="A Lightning precision, e.g. bf16-mixed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 ok, 1 something failed, 2 usage."""
    try:
        app(args=None if argv is None else list(argv))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KpbenchError as error:
        typer.echo(f"kpbench: {error}", err=True)
        return 2
    return 0


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, protocols or evaluators; all if empty")
    ] = "",
) -> None:
    """List the installed methods and protocols, and the evaluators."""
    from kpbench.describe import KINDS, listing

    if kind and kind not in KINDS:
        raise UnknownNameError.of("list", kind, KINDS)
    for line in listing([kind] if kind else KINDS):
        typer.echo(line)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A method, protocol or evaluator.")]) -> None:
    """Explain one method, protocol or evaluator."""
    from kpbench.describe import explain

    typer.echo(explain(name))


@app.command()
def evaluate(
    method: Methods = None,
    protocol: Protocols = None,
    seeds: Annotated[str, typer.Option(help="0, 0-2 or 0,3,5-7.")] = "0",
    recipe: RecipeOption = "quick",
    device: DeviceOption = "cpu",
    precision: Precision = "32-true",
    results: Results = Path("results"),
    rerun: Annotated[bool, typer.Option(help="Run again what has a record.")] = False,
    set_: Set = None,
    train_on: Annotated[
        list[str] | None,
        typer.Option(help="Train on this protocol's images, whatever is tested on; repeat."),
    ] = None,
    test_on: Annotated[
        list[str] | None, typer.Option(help="With --train-on: the same as --protocol.")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Print the traceback of a failure.")] = False,
) -> None:
    """Train and score methods on protocols; finished cells are kept and reused."""
    from kpbench.console import run_and_report
    from kpbench.plan import default_protocols, grid
    from kpbench.registry import available

    settings = settings_from(results, recipe, device, precision, rerun, set_ or [])
    named = [*(protocol or []), *(test_on or [])]
    cells = grid(
        method or list(available("methods")),
        named or default_protocols(),
        parse_seeds(seeds),
        train_on or [],
    )
    raise typer.Exit(run_and_report(cells, settings, verbose=verbose))


@app.command()
def train(
    method: Annotated[str, typer.Argument(help="A method, e.g. autolink.")],
    output: Annotated[Path, typer.Option(help="Where the trained model goes.")],
    images: Annotated[Path | None, typer.Option(help="A folder of images without labels.")] = None,
    protocol: Annotated[str, typer.Option(help="Or: a protocol, for its training images.")] = "",
    keypoints: Annotated[int | None, typer.Option("--keypoints", "-k", min=1, help="K.")] = None,
    size: Annotated[int, typer.Option(min=16, help="A folder's images are resized to this.")] = 128,
    seed: int = 0,
    role: Annotated[str, typer.Option(help="Whose settings: human36m, deepfashion, taichi.")] = "",
    recipe: RecipeOption = "quick",
    device: DeviceOption = "cpu",
    precision: Precision = "32-true",
    set_: Set = None,
) -> None:
    """Train a method without scoring it, on your own images or on a protocol's."""
    from kpbench import own_images
    from kpbench.console import progress_bar
    from kpbench.variants import configured

    if (images is None) == (not protocol):
        raise InvalidInputError("name either a folder with --images or a --protocol")
    settings = settings_from(output, recipe, device, precision, overrides=set_ or [])
    with progress_bar() as progress:
        if images is not None:
            data, k = own_images.read_folder(images, size), keypoints or 16
        else:
            chosen, _ = configured(protocol, settings.arguments.get(protocol, {}))
            k, role = keypoints or chosen.n_keypoints, role or chosen.role
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


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    model: Annotated[Path | None, typer.Option(help="A trained model's folder.")] = None,
    method: Annotated[str, typer.Option(help="Or: the method of a finished run.")] = "distill_dkp",
    protocol: Annotated[str, typer.Option(help="And its protocol.")] = "people_background",
    results: Results = Path("results"),
    output: Annotated[Path, typer.Option(help="Folder for keypoints and overlays.")] = Path(
        "predictions"
    ),
) -> None:
    """Find keypoints in images: JSON, CSV, and an overlay PNG for each."""
    from kpbench.own_images import find_model, predict_files

    folder = model or find_model(results, method, protocol)
    for path in predict_files(folder, images, output):
        typer.echo(path)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="An .npz, or a folder of .npy files.")],
    evaluator: Annotated[str, typer.Option(help="Its name; see kpbench list evaluators.")] = "",
    group: Annotated[str | None, typer.Option(help="Prefix of the arrays, e.g. taichi.")] = None,
    all_evaluators: Annotated[
        bool, typer.Option("--all-evaluators", help="Score under all of the data set.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score keypoints that were computed elsewhere."""
    from kpbench.console import print_evaluations
    from kpbench.scorefile import score_file, score_file_all

    if not evaluator and not (all_evaluators and group):
        raise InvalidInputError(
            "name an --evaluator (kpbench list evaluators), or --all-evaluators with --group"
        )
    if all_evaluators:
        dataset = evaluator.partition("/")[0] or group or ""
        found = score_file_all(file, dataset, group)
    else:
        found = [score_file(file, evaluator, group)]
    print_evaluations(found, as_json=as_json, many=all_evaluators)


@app.command()
def disagreement(
    method: Annotated[str, typer.Argument(help="The method of a finished run.")],
    protocol: Annotated[str, typer.Argument(help="And its protocol.")],
    seed: int = 0,
    recipe: RecipeOption = "quick",
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show one set of detections under every evaluator that can score it."""
    from kpbench.console import print_disagreement
    from kpbench.disagreement import find_run, of_run

    record = find_run(results, method, protocol, seed=seed, recipe=parse_recipe(recipe))
    print_disagreement(record, of_run(results, record), as_json=as_json)


@app.command()
def leaderboard(
    folder: Annotated[
        Path, typer.Option(help="Where pages, published.csv and results/ are.")
    ] = Path("leaderboards"),
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether they are stale.")
    ] = False,
) -> None:
    """Write the leaderboard pages from the records."""
    from kpbench.leaderboard import stale_pages, write_pages

    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}; name it with --folder")
    if not check:
        for page in write_pages(folder):
            typer.echo(page)
        return
    stale = stale_pages(folder)
    for page in stale:
        typer.echo(f"stale: {page}; run: kpbench leaderboard --folder {folder}")
    if stale:
        raise typer.Exit(1)
    typer.echo(f"the pages in {folder} are up to date")


@app.command()
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


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Plugins; all if empty.")] = None,
) -> None:
    """Check that plugins keep the contract."""
    from kpbench.console import report_checks
    from kpbench.testing import check_installed

    raise typer.Exit(report_checks(check_installed(names or [])))


@new.command("method")
def new_method(
    name: Annotated[str, typer.Argument(help="Lower case with underscores.")],
    folder: Annotated[Path | None, typer.Option(help="Default: ./kpbench-NAME.")] = None,
) -> None:
    """Write a working plugin package to start from."""
    from kpbench.scaffold import new_method_package

    target = new_method_package(name, folder)
    typer.echo(f"wrote {target}; next: pip install -e {target} && kpbench check {name}")


if __name__ == "__main__":
    sys.exit(main())
