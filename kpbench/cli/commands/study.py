"""Reproduce the tables and figures of a paper on the embedded data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kpbench.cli.arguments import parse_seeds, settings_from
from kpbench.cli.commands.options import DeviceOption, Precision, RecipeOption

if TYPE_CHECKING:
    from kpbench.studies.plan import Work

app = typer.Typer(help="Reproduce a paper's tables and figures.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Reproduce a paper's tables and figures on the embedded data."""


@app.command("distill-dkp")
def distill_dkp(
    recipe: RecipeOption = "quick",
    seeds: Annotated[str, typer.Option(help="Of the tables: 0, 0-2 or 0,3,5-7.")] = "0-2",
    figure_seeds: Annotated[str, typer.Option(help="Of Figure 3, likewise.")] = "0",
    part: Annotated[
        list[str] | None, typer.Option(help="table1, table2 or figure3; repeat. All if not named.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            "-p",
            help="people_plain, people_background, people_fashion or people_taichi; repeat. If not "
            "named: all, but Figure 3 of people_background alone with the quick recipe.",
        ),
    ] = None,
    device: DeviceOption = "cpu",
    precision: Precision = "auto",
    folder: Annotated[
        Path, typer.Option(help="Where results/ and published.csv are, and the pages go.")
    ] = Path("leaderboards"),
    jobs: Annotated[
        int, typer.Option(min=0, help="Cells side by side; 0: as many as there are cores for.")
    ] = 0,
    verbose: Annotated[bool, typer.Option(help="Print the traceback of a failure.")] = False,
) -> None:
    """Tables 1 and 2 and Figure 3 of Distill-DKP; finished cells are kept, so it can be resumed."""
    from kpbench.studies.plan import study

    settings = settings_from(folder / "results", recipe, device, precision)
    work = study(
        settings,
        seeds=parse_seeds(seeds),
        figure_seeds=parse_seeds(figure_seeds),
        parts=part or (),
        protocols=protocol or (),
    )
    raise typer.Exit(_run(work, folder, jobs=jobs, verbose=verbose))


def _run(work: Sequence[Work], folder: Path, *, jobs: int, verbose: bool) -> int:
    """Run what has no record yet, write all pages and plots, and return the exit code.

    A failed cell is reported and kept as a record, and the rest goes on. Interrupted, it is
    started again with the same work.

    Raises:
        InvalidInputError: a file in the place of a page is not ours; nothing was run.
        RecordError: a record or an artifact in the folder is corrupt; the runs are kept.
        StorageError: the folder cannot be written.
    """
    from kpbench.boards.leaderboard import check_replaceable, write_pages
    from kpbench.cli.console import print_summary, run_work
    from kpbench.cli.tables import plain_console
    from kpbench.running.engines.local_processes import default_jobs
    from kpbench.studies.distill_dkp import STUDIES
    from kpbench.studies.forecast import forecast
    from kpbench.studies.page import NAME

    console = plain_console()
    _, settings = work[0]
    names = {"README.md", NAME, *(f"{cell.protocol}.md" for cell, _ in work)}
    check_replaceable(folder / name for name in sorted(names))
    jobs = jobs or default_jobs(settings)
    console.print(forecast(work, jobs), soft_wrap=True)
    outcomes = run_work(console, work, jobs=jobs, verbose=verbose)
    if outcomes is None:
        console.print("the same command goes on from here")
        return 130
    code = print_summary(console, outcomes, settings.results)
    written = write_pages(folder, STUDIES)
    console.print(f"pages: {len(written)} files in {folder}", soft_wrap=True)
    return code
