"""Reproduce the tables and figures of a paper on the embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kpbench.cli.arguments import parse_seeds, settings_from
from kpbench.cli.commands.options import DeviceOption, Precision, RecipeOption

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
    from kpbench.studies.run import run_study

    settings = settings_from(folder / "results", recipe, device, precision)
    work = study(
        settings,
        seeds=parse_seeds(seeds),
        figure_seeds=parse_seeds(figure_seeds),
        parts=part or (),
        protocols=protocol or (),
    )
    raise typer.Exit(run_study(work, folder, jobs=jobs, verbose=verbose))
