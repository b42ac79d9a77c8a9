"""Command line: the commands and how they end. Each imports what it needs when it runs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from kpbench.cli.commands import data, export, plugins, run, scores, speed, study
from kpbench.cli.encoding import spell_output
from kpbench.errors import KpbenchError
from kpbench.files.atomic import too_long

app = typer.Typer(
    help="Benchmark and evaluate unsupervised keypoint methods.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
new = typer.Typer(help="Start a plugin of your own.", no_args_is_help=True)
app.command("list")(plugins.list_)
app.command()(plugins.show)
app.command(cls=run.Evaluate)(run.evaluate)
app.command()(run.train)
app.command()(run.predict)
app.command()(export.export)
app.command()(export.picture)
app.command()(scores.score)
app.command()(scores.disagreement)
app.command()(scores.leaderboard)
app.command()(speed.throughput)
app.command()(plugins.check)
new.command("method")(plugins.new_method)
app.add_typer(new, name="new")
app.add_typer(data.app, name="data")
app.add_typer(study.app, name="study")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 ok, 1 something failed, 2 usage."""
    spell_output()
    try:
        app(args=None if argv is None else list(argv))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KpbenchError as error:
        typer.echo(f"kpbench: {error}", err=True)
        return 2
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        typer.echo(f"kpbench: {too_long(Path(os.fsdecode(error.filename or '')))}", err=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
