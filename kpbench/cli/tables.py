"""A console that prints text as it is, and tables that show whole what fits."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

_ANY = 100_000
"""Characters in a line of what is no terminal."""


def plain_console(*, stderr: bool = False) -> Console:
    """Return a console for which [, ] and : mean themselves; only a terminal has a width."""
    console = Console(highlight=False, markup=False, emoji=False, stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _ANY
    return console


def print_fitting(
    console: Console,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    text: int = 1,
) -> list[str]:
    """Print a table of as many columns, from the left, as the console shows whole.

    Args:
        console: where to print.
        heads: of the columns, what matters most first.
        rows: a cell a column.
        title: of the table.
        text: how many columns are text, at the left; the others are numbers.

    Returns:
        The heads of the columns that are left out, each in one line.
    """
    shown = len(heads)
    while shown > 1 and _width(console, _table(heads, rows, shown, title, text)) > console.width:
        shown -= 1
    console.print(_table(heads, rows, shown, title, text))
    return [" ".join(head.split()) for head in heads[shown:]]


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], shown: int, title: str | None, text: int
) -> Table:
    columns = [
        Column(head, justify="left" if i < text else "right", overflow="fold")
        for i, head in enumerate(heads[:shown])
    ]
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row[:shown])
    return table


def _width(console: Console, table: Table) -> int:
    return console.measure(table, options=console.options.update(width=_ANY)).maximum
