"""List, explain, check and start plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kpbench.errors import UnknownNameError


def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, protocols, recipes or evaluators; all if empty")
    ] = "",
) -> None:
    """List the installed methods and protocols, the recipes and the evaluators."""
    from kpbench.cli.describe import KINDS, listing

    if kind and kind not in KINDS:
        raise UnknownNameError.of("list", kind, KINDS)
    for line in listing([kind] if kind else KINDS):
        typer.echo(line)


def show(name: Annotated[str, typer.Argument(help="A method, protocol or evaluator.")]) -> None:
    """Explain one method, protocol or evaluator."""
    from kpbench.cli.describe import explain

    typer.echo(explain(name))


def check(
    names: Annotated[list[str] | None, typer.Argument(help="Plugins; all if empty.")] = None,
) -> None:
    """Check that plugins keep the contract."""
    from kpbench.cli.console import report_checks
    from kpbench.testing import check_installed

    raise typer.Exit(report_checks(check_installed(names or [])))


def new_method(
    name: Annotated[str, typer.Argument(help="Lower case with underscores.")],
    folder: Annotated[Path | None, typer.Option(help="Default: ./kpbench-NAME.")] = None,
    trained: Annotated[
        bool, typer.Option("--trained", help="One that trains a network, in 60 lines.")
    ] = False,
) -> None:
    """Write a working plugin package to start from."""
    from kpbench.cli.scaffold import new_method_package

    target = new_method_package(name, folder, trained=trained)
    typer.echo(f"wrote {target}; next: pip install -e {target} && kpbench check {name}")
