"""Accuracy against speed: whose score belongs to which speed, the Pareto front, a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kpbench.boards.board import Board
from kpbench.boards.pages.plots import Plot
from kpbench.boards.row import Row
from kpbench.registry import place_of
from kpbench.speed.record import SpeedRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """One method on one device.

    Attributes:
        label: of the board's row.
        score: mean over seeds under the board's default evaluator.
        images_per_s: of `predict`, at its best batch.
        optimal: whether no other method is both as accurate and as fast, and better in one; None
            for a reference row, which takes no part.
    """

    label: str
    score: float
    images_per_s: float
    optimal: bool | None


@dataclass(frozen=True)
class Panel:
    """The methods of one board on one device."""

    protocol: str
    recipe: str
    device_name: str
    axis: str
    higher_is_better: bool
    points: tuple[Point, ...]


def pareto(points: Sequence[tuple[float, float]], *, higher_is_better: bool) -> list[bool]:
    """Return which (score, speed) no other dominates: equals it in both, or beats it in one.

    Equal points do not dominate each other, so that all of them are optimal.

    Args:
        points: scores, and speeds of which more is better.
        higher_is_better: of the scores.

    Example:
        >>> pareto([(5.0, 10.0), (4.0, 5.0), (6.0, 9.0), (5.0, 10.0)], higher_is_better=False)
        [True, True, False, True]
    """
    sign = 1 if higher_is_better else -1

    def dominated(score: float, speed: float) -> bool:
        return any(
            sign * other >= sign * score and faster >= speed and (other, faster) != (score, speed)
            for other, faster in points
        )

    return [not dominated(*point) for point in points]


def record_of(row: Row, board: Board, records: Sequence[SpeedRecord]) -> SpeedRecord | None:
    """Return the speed of a board's row, from the records of one device; None if not measured.

    It is that of the same method, version, recipe and K with the same parameters, or, where the
    board has one row of the method alone, with those that the method has elsewhere: a role changes
    a thickness or a weight of the loss, but no network.
    """
    who = row.records[0].identity
    alone = sum(other.method == row.method for other in board.rows) == 1
    for record in records:
        same = (record.method, record.method_version, record.recipe, record.n_keypoints) == (
            who.method,
            who.method_version,
            board.recipe,
            board.n_keypoints,
        )
        if same and (alone or dict(record.params) == dict(who.params)):
            return record
    return None


def by_device(records: Sequence[SpeedRecord]) -> dict[str, list[SpeedRecord]]:
    """Return the records by the name of the device, CPUs first."""
    names = dict.fromkeys((r.device, r.device_name) for r in records)
    return {name: [r for r in records if r.device_name == name] for _, name in sorted(names)}


def comparable(boards: Sequence[Board], records: Sequence[SpeedRecord]) -> list[Board]:
    """Return the boards without arguments on which a method has a score and a speed."""
    return [
        board
        for board in boards
        if not board.own_arguments
        and any(record_of(row, board, records) for row in board.complete(board.evaluator))
    ]


def panel(board: Board, device_name: str, records: Sequence[SpeedRecord]) -> Panel:
    """Return the rows of a board whose speed was measured on the device.

    Args:
        board: any.
        device_name: for the title.
        records: of that device.
    """
    score = board.example(board.evaluator)
    found = [
        (row, record)
        for row in board.complete(board.evaluator)
        if (record := record_of(row, board, records)) is not None
    ]
    ranked = [(row, record) for row, record in found if not row.reference]
    numbers = [(row.mean(board.evaluator), record.best.images_per_s) for row, record in ranked]
    front = dict(
        zip(
            (row.label for row, _ in ranked),
            pareto(numbers, higher_is_better=score.higher_is_better),
            strict=True,
        )
    )
    better = "higher" if score.higher_is_better else "lower"
    return Panel(
        board.protocol,
        board.recipe,
        device_name,
        f"{score.metric} ({score.unit}), {better} is better",
        score.higher_is_better,
        tuple(
            Point(
                row.label,
                row.mean(board.evaluator),
                record.best.images_per_s,
                front.get(row.label),
            )
            for row, record in found
        ),
    )


def plot_of(boards: Sequence[Board], records: Sequence[SpeedRecord]) -> Plot | None:
    """Return the plot: for each recipe the board with most methods and seeds, a panel a device."""
    panels = list(_panels(boards, records))
    if not panels:
        return None
    return Plot([asdict(found) for found in panels], lambda figure: _draw(figure, panels))


def _panels(boards: Sequence[Board], records: Sequence[SpeedRecord]) -> Iterator[Panel]:
    chosen: dict[str, Board] = {}
    for board in sorted(
        comparable(boards, records),
        key=lambda b: (-len(b.ranked(b.evaluator)), -len(b.seeds), b.protocol, b.device),
    ):
        chosen.setdefault(board.recipe, board)
    for board in (chosen[recipe] for recipe in sorted(chosen, key=place_of)):
        for device_name, own in by_device(records).items():
            found = panel(board, device_name, own)
            if found.points:
                yield found


def _draw(figure: Figure, panels: Sequence[Panel]) -> None:
    figure.set_size_inches(max(5.5, 4.5 * len(panels)), 4.2)
    for axes, found in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, found)


_COLOURS: Mapping[Any, str] = {True: "tab:blue", False: "tab:orange", None: "0.6"}
_MEANING: Mapping[Any, str] = {True: "Pareto-optimal", False: "dominated", None: "reference"}


def _draw_panel(axes: Axes, found: Panel) -> None:
    for kind in (True, False, None):
        points = [p for p in found.points if p.optimal is kind]
        if not points:
            continue
        ordered = sorted(points, key=lambda p: p.images_per_s)
        speeds, scores = [p.images_per_s for p in ordered], [p.score for p in ordered]
        axes.plot(speeds, scores, "o-" if kind else "o", color=_COLOURS[kind], label=_MEANING[kind])
        for p in ordered:
            axes.annotate(p.label, (p.images_per_s, p.score), (4, 4), textcoords="offset points",
                          fontsize=7)  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.1)
    if not found.higher_is_better:
        axes.invert_yaxis()
    axes.set_title(f"{found.protocol}, {found.recipe}, {found.device_name}", fontsize=9)
    axes.set_xlabel("predict, images/s (more is better)")
    axes.set_ylabel(found.axis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
