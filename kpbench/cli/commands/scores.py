"""Score detections, compare evaluators, write the leaderboards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kpbench.cli.arguments import parse_recipe
from kpbench.cli.commands.options import AsJson, RecipeOption, Results, Seed
from kpbench.errors import InvalidInputError


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
    from kpbench.cli.console import print_evaluations
    from kpbench.scoring.scorefile import score_file, score_file_all

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


def disagreement(
    method: Annotated[str, typer.Argument(help="The method of a finished run.")],
    protocol: Annotated[str, typer.Argument(help="And its protocol.")],
    seed: Seed = 0,
    recipe: RecipeOption = "quick",
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show one set of detections under every evaluator that can score it."""
    from kpbench.cli.console import print_disagreement
    from kpbench.diagnosis.disagreement import of_run
    from kpbench.records.find import find_run

    record = find_run(results, method, protocol, seed=seed, recipe=parse_recipe(recipe))
    print_disagreement(record, of_run(results, record), as_json=as_json)


def leaderboard(
    folder: Annotated[
        Path, typer.Option(help="Where pages, published.csv and results/ are.")
    ] = Path("leaderboards"),
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether they are stale.")
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures",
            help="Draw a strip of test images for each board whose predictions are kept, too.",
        ),
    ] = False,
) -> None:
    """Write the leaderboard pages from the records."""
    from kpbench.boards.leaderboard import stale_pages, write_pages
    from kpbench.studies.distill_dkp import STUDIES

    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}; name it with --folder")
    if check and pictures:
        raise InvalidInputError("--check draws nothing: leave out --pictures")
    if pictures:
        _draw_strips(folder)
    if not check:
        for page in write_pages(folder, STUDIES):
            typer.echo(page)
        return
    stale = stale_pages(folder, STUDIES)
    for page in stale:
        typer.echo(f"stale: {page}; run: kpbench leaderboard --folder {folder}")
    if stale:
        raise typer.Exit(1)
    typer.echo(f"the pages in {folder} are up to date")


def _draw_strips(folder: Path) -> None:
    from kpbench.boards.leaderboard import write_strips
    from kpbench.cli.console import progress_bar
    from kpbench.studies.distill_dkp import STUDIES

    with progress_bar() as progress:
        for board, why in write_strips(folder, STUDIES, progress):
            typer.echo(f"no pictures: {board}: {why}", err=True)
