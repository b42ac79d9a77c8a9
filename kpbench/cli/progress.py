"""Progress in the terminal: what runs, how far it is and the time left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column, Table

from kpbench.api import Progress
from kpbench.cli.tables import plain_console

FINISHED = "finished"
"""What progress says of a cell that is done."""


@contextmanager
def progress_bar(console: Console | None = None, cells: int = 0) -> Iterator[Progress]:
    """Show what runs, how far it is and the time left; silent when output is no terminal.

    What is told as "NAME: DETAIL" has a line of its own until "NAME: finished".

    Args:
        console: where to draw.
        cells: how many cells there are; 0 leaves out their bar.
    """
    with FittingBar(console or plain_console()) as bar:
        whole = bar.add_task("cells", total=cells) if cells else None
        lines: dict[str, TaskID] = {}
        before: dict[str, tuple[int, int]] = {}

        def show(done: int, total: int, text: str) -> None:
            name = text.partition(": ")[0] if ": " in text else ""
            if text == f"{name}: {FINISHED}":
                if whole is not None:
                    bar.advance(whole)
                if name in lines:
                    bar.remove_task(lines.pop(name))
                return
            if name not in lines:
                lines[name] = bar.add_task(text, total=total)
            elif total != before[name][1] or done < before[name][0]:
                bar.reset(lines[name])
            before[name] = done, total
            bar.update(lines[name], completed=done, total=total, description=text)

        yield show


class FittingBar(Bar):
    """Progress that leaves out columns where the terminal is too narrow for all of them.

    The bar becomes short and goes, then the time that has passed, then the count; what runs and
    the time left stay, on two lines if need be.
    """

    def __init__(self, console: Console) -> None:
        """Draw on a console until the end, and then nothing."""
        self._drawn_on = console
        super().__init__(*_COLUMNS[0], console=console, transient=True)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Return the table of the tasks, no wider than the terminal."""
        tasks = list(tasks)
        for columns in _COLUMNS:
            self.columns = tuple(columns)
            table = super().make_tasks_table(tasks)
            options = self._drawn_on.options.update(width=10_000)
            if self._drawn_on.measure(table, options=options).maximum <= self._drawn_on.width:
                break
        return table


def _text() -> ProgressColumn:
    return TextColumn(
        "{task.description}", markup=False, table_column=Column(overflow="fold", no_wrap=False)
    )


def _left() -> list[ProgressColumn]:
    whole = [Column(no_wrap=True, min_width=width) for width in (len("left"), len("0:00:00"))]
    return [
        TextColumn("left", table_column=whole[0]),
        TimeRemainingColumn(table_column=whole[1]),
    ]


def _columns(bar: int, *, count: bool = True, passed: bool = True) -> list[ProgressColumn]:
    found = [_text()]
    found += [BarColumn(bar)] if bar else []
    found += [TextColumn("{task.completed:.0f}/{task.total:.0f}")] if count else []
    found += [TimeElapsedColumn()] if passed else []
    return [*found, *_left()]


_COLUMNS = (
    _columns(40),
    _columns(10),
    _columns(0),
    _columns(0, passed=False),
    _columns(0, passed=False, count=False),
)
"""From all columns to those that are always there."""
