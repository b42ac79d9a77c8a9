"""Score detections, compare evaluators, write the leaderboards."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kpbench.cli.arguments import parse_range, parse_recipe
from kpbench.cli.commands.options import AsJson, RecipeOption, Results, Seed
from kpbench.errors import InvalidInputError

if TYPE_CHECKING:
    from kpbench.scoring.evaluators import Evaluation
    from kpbench.scoring.scorefile import Unscored


def score(
    file: Annotated[Path, typer.Argument(help="An .npz, or a folder of .npy files.")],
    evaluator: Annotated[str, typer.Option(help="Its name; see kpbench list evaluators.")] = "",
    group: Annotated[str | None, typer.Option(help="Prefix of the arrays, e.g. taichi.")] = None,
    all_evaluators: Annotated[
        bool,
        typer.Option(
            "--all-evaluators",
            help="Score under all of a data set: that of --evaluator, or called as --group.",
        ),
    ] = False,
    keypoint_range: Annotated[
        str | None,
        typer.Option("--range", help="LOW,HIGH: the keypoints at the image's edges, e.g. -1,1."),
    ] = None,
    landmark_range: Annotated[
        str | None, typer.Option(help="LOW,HIGH: the landmarks at the image's edges, likewise.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score keypoints that were computed elsewhere."""
    from kpbench.cli.console import print_evaluations
    from kpbench.scoring.scorefile import score_file, score_file_all

    if not evaluator and not (all_evaluators and group):
        raise InvalidInputError(
            "name an --evaluator (kpbench list evaluators); with --all-evaluators any of the data "
            "set, or its name as --group"
        )
    given = {
        "keypoints": parse_range("--range", keypoint_range),
        "landmarks": parse_range("--landmark-range", landmark_range),
    }
    ranges = {name: ends for name, ends in given.items() if ends is not None}
    found: list[Evaluation | Unscored]
    if not all_evaluators:
        found = [score_file(file, evaluator, group, ranges)]
    elif evaluator:
        found = score_file_all(file, evaluator.partition("/")[0], group, ranges)
    else:  # the name of the data set, which arrays without a prefix do not have
        found = score_file_all(file, group or "", None, ranges)
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
        Path | None,
        typer.Option(help="Pages, published.csv and results/ in one folder; leaderboards."),
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Instead: folders of records; repeat.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="With --results: where the pages go; boards.")
    ] = None,
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

    where, records = _where(folder, results or [], output)
    if check and pictures:
        raise InvalidInputError("--check draws nothing: leave out --pictures")
    if pictures:
        _draw_strips(where, records)
    if not check:
        for page in write_pages(where, STUDIES, records):
            typer.echo(page)
        return
    stale = stale_pages(where, STUDIES, records)
    named = [f"--results={each}" for each in records] + [f"--output={where}"] if records else []
    command = shlex.join(["kpbench", "leaderboard", *(named or ["--folder", str(where)])])
    for page in stale:
        typer.echo(f"stale: {page}; run: {command}")
    if stale:
        raise typer.Exit(1)
    typer.echo(f"the pages in {where} are up to date")


def _where(
    folder: Path | None, results: Sequence[Path], output: Path | None
) -> tuple[Path, tuple[Path, ...]]:
    """Return where pages go, and the folders of records, none where these are in the former.

    Raises:
        InvalidInputError: a folder is not there or holds no record, or both ways are named.
    """
    from kpbench.records.folders import record_files

    if folder is not None and (results or output is not None):
        raise InvalidInputError("--folder has both in it: leave out --results and --output")
    if results or output is not None:
        records = tuple(dict.fromkeys(results or [Path("results")]))
        for each in records:
            if not record_files(each):
                raise InvalidInputError(
                    f"{each} holds no records; name with --results what `kpbench evaluate` was told"
                )
        return output or Path("boards"), records
    where = folder or Path("leaderboards")
    if not where.is_dir():
        hint = "name it with --folder, or your records: kpbench leaderboard --results results "
        raise InvalidInputError(f"there is no folder {where}; {hint}--output boards")
    return where, ()


def _draw_strips(folder: Path, records: tuple[Path, ...]) -> None:
    from kpbench.boards.leaderboard import write_strips
    from kpbench.cli.console import progress_bar
    from kpbench.studies.distill_dkp import STUDIES

    with progress_bar() as progress:
        for board, why in write_strips(folder, STUDIES, progress, records):
            typer.echo(f"no pictures: {board}: {why}", err=True)
