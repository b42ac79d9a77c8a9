"""Figure 3 of Distill-DKP: the distilled layer and the weight of the loss, as table and plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kpbench.boards.board import Board
from kpbench.boards.pages.markdown import interval, number, table
from kpbench.boards.pages.plots import Plot
from kpbench.boards.row import Row
from kpbench.scoring.statistics.compare import PairedDifference
from kpbench.studies.plan import LAYERS, STUDENT, TEACHER
from kpbench.studies.results import Studied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"output": "#0072B2", "transposed_conv": "#D55E00", "resnet": "#009E73"}
_MARKERS = {"output": "o", "transposed_conv": "s", "resnet": "^"}
"""Okabe and Ito's colours, and a marker each, for print and for every kind of colour vision."""
_AUTOLINK, _TEACHER = "AutoLink", "depth teacher (reads depth)"
_EXPLAIN = """\
Each cell is the score of Distill-DKP, and in brackets the 95 % interval of its difference from
AutoLink of the same seeds on the same images. Where there is no difference, one such interval in
twenty excludes 0 by chance; nothing corrects for their number. γ is the paper's.
"""


@dataclass(frozen=True)
class Point:
    """A setting of Figure 3: score, and 95 % interval of its difference from AutoLink, if known."""

    layer: str
    gamma: float
    score: float
    against: tuple[float, float] | None


@dataclass(frozen=True)
class Panel:
    """What the figure shows of one protocol.

    Attributes:
        protocol: its name.
        title: the data set whose role it takes.
        axis: what the score is, with unit and direction.
        seeds: of every point.
        gammas: all of the axis, whether they were run or not.
        points: those that are complete.
        autolink: score of the student alone, None if it is incomplete.
        teacher: score of the teacher alone.
    """

    protocol: str
    title: str
    axis: str
    seeds: tuple[int, ...]
    gammas: tuple[float, ...]
    points: tuple[Point, ...]
    autolink: float | None
    teacher: float | None


def panels_of(group: Sequence[Studied]) -> list[Panel]:
    """Return what Figure 3 shows, a panel a protocol with at least one complete point."""
    return [panel for found in group if (panel := _panel(found)) is not None and panel.points]


def _panel(found: Studied) -> Panel | None:
    board, (evaluator, _) = found.figure, found.dataset.evaluators
    if board is None or not board.complete(evaluator):
        return None
    score = board.example(evaluator)
    alone = board.row(STUDENT)
    points = [
        Point(layer, gamma, row.mean(evaluator), against.ci95 if against else None)
        for (layer, gamma), row in sorted(found.points().items(), key=lambda item: item[0][1])
        if row.complete(evaluator)
        for against in [_difference(board, evaluator, row, alone)]
    ]
    name = "higher is better" if score.higher_is_better else "lower is better"
    return Panel(
        found.dataset.protocol,
        found.dataset.title,
        f"{score.metric} ({score.unit}), {name}",
        board.seeds,
        found.dataset.gammas,
        tuple(points),
        _mean(alone, evaluator),
        _mean(board.row(TEACHER), evaluator),
    )


def _mean(row: Row | None, evaluator: str) -> float | None:
    return row.mean(evaluator) if row is not None and row.complete(evaluator) else None


def _difference(
    board: Board, evaluator: str, row: Row | None, other: Row | None
) -> PairedDifference | None:
    """Return the difference of two rows, None if one of them is missing or incomplete."""
    if row is None or other is None:
        return None
    if not (row.complete(evaluator) and other.complete(evaluator)):
        return None
    return board.difference(evaluator, row, other)


def figure_section(group: Sequence[Studied], file: str) -> list[str]:
    """Return the section on Figure 3, nothing if none of its points was run.

    Args:
        group: runs of one recipe and device class.
        file: of the plot.
    """
    with_figure = [found for found in group if found.figure is not None]
    if not with_figure:
        return []
    lines = ["### Figure 3: which layer, and how much", "", *_EXPLAIN.splitlines(), ""]
    if panels_of(group):
        lines += [f"![Score by layer and weight of the distillation loss]({file})", ""]
    for found in with_figure:
        lines += [*_grid(found), *_claims(found)]
    return lines


def _grid(found: Studied) -> list[str]:
    board, (evaluator, _) = found.figure, found.dataset.evaluators
    assert board is not None
    rows, dataset = found.points(), found.dataset
    panel = _panel(found)
    cells = [
        [f"`{layer}`", *(_cell(board, evaluator, rows.get((layer, g))) for g in dataset.gammas)]
        for layer in LAYERS
    ]
    for name in (STUDENT, TEACHER):
        row = board.row(name)
        value = number(_mean(row, evaluator))
        cells.append([f"{name} alone", value, *([""] * (len(dataset.gammas) - 1))])
    head = [f"γ = {g:g}" for g in dataset.gammas]
    seeds = ", ".join(map(str, board.seeds))
    what = f": {panel.axis}" if panel is not None else ""
    return [
        f"`{dataset.protocol}`, `{evaluator}`{what}; seeds: {seeds}.",
        "",
        *table(["layer", *head], cells),
    ]


def _cell(board: Board, evaluator: str, row: Row | None) -> str:
    if row is None:
        return "not run"
    if not row.complete(evaluator):
        return row.reason(evaluator)
    found = _difference(board, evaluator, row, board.row(STUDENT))
    return number(row.mean(evaluator)) + (f" ({interval(found.ci95)})" if found else "")


def _claims(found: Studied) -> list[str]:
    """Return what the paper reads off the figure, beside what is measured."""
    board, (evaluator, _) = found.figure, found.dataset.evaluators
    assert board is not None
    rows = {point: row for point, row in found.points().items() if row.complete(evaluator)}
    if not rows:
        return []
    higher = board.example(evaluator).higher_is_better
    sign = -1 if higher else 1
    layer, gamma = min(rows, key=lambda point: sign * rows[point].mean(evaluator))
    own = found.dataset.points[0]
    text = f"- Best: `{layer}` at γ = {gamma:g}. The paper: `{own[0]}` at γ = {own[1]:g}"
    difference = _difference(board, evaluator, rows.get(own), rows[layer, gamma])
    if (layer, gamma) != own and difference is not None:
        low, high = difference.ci95
        clear = "beyond noise" if low > 0 or high < 0 else "within noise"
        text += f", here {number(abs(difference.difference))} worse, {clear}"
    lines = [f"{text}."]
    for i, a in enumerate(LAYERS):
        for b in LAYERS[i + 1 :]:
            lines.append(f"- {_layers(board, evaluator, rows, (a, b), sign)}")
    return [*lines, ""]


def _layers(
    board: Board,
    evaluator: str,
    rows: dict[tuple[str, float], Row],
    layers: tuple[str, str],
    sign: int,
) -> str:
    """Count at how many gammas one layer is better than another beyond noise."""
    better = worse = n = 0
    for gamma in sorted({gamma for _, gamma in rows}):
        a, b = (rows.get((layer, gamma)) for layer in layers)
        found = _difference(board, evaluator, a, b)
        if found is not None:
            low, high = (sign * end for end in found.ci95)
            n, better, worse = n + 1, better + (max(low, high) < 0), worse + (min(low, high) > 0)
    return (
        f"`{layers[0]}` is better than `{layers[1]}` beyond noise at {better} of {n} γ, worse at "
        f"{worse}. The paper: better."
    )


def plot(panels: Sequence[Panel]) -> Plot:
    """Return the plot of the panels, of one recipe and device class."""
    data = {"panels": [asdict(panel) for panel in panels], "drawing": 2}
    return Plot(data, lambda figure: _draw(figure, panels))


def _draw(figure: Figure, panels: Sequence[Panel]) -> None:
    figure.set_size_inches(max(6.6, 4.6 * len(panels)), 4.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel)
    named = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    order = sorted(named, key=[*_COLOURS, _AUTOLINK, _TEACHER].index)
    figure.legend(
        [named[label] for label in order],
        [label.replace("_", " ") for label in order],
        title="distilled layer, and references; bars: 95 % interval of difference from AutoLink",
        title_fontsize=8.5,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8.5,
    )


def _draw_panel(axis: Axes, panel: Panel) -> None:
    step = 0.012 * (panel.gammas[-1] - panel.gammas[0])
    for i, layer in enumerate(LAYERS):
        points = [point for point in panel.points if point.layer == layer]
        x = [point.gamma + (i - 1) * step for point in points]
        axis.errorbar(
            x,
            [point.score for point in points],
            yerr=_bars(points, panel.autolink),
            color=_COLOURS[layer],
            marker=_MARKERS[layer],
            markersize=5,
            linewidth=1.6,
            elinewidth=0.9,
            capsize=2,
            label=layer,
        )
    if panel.autolink is not None:
        axis.axhline(panel.autolink, color="black", linestyle="--", linewidth=1.2, label=_AUTOLINK)
    if panel.teacher is not None:
        axis.axhline(panel.teacher, color="0.45", linestyle=":", linewidth=1.6, label=_TEACHER)
    axis.set_xticks(panel.gammas, [f"{g:g}" for g in panel.gammas])
    axis.set_xlabel("the paper's distillation weight γ")
    axis.set_ylabel(panel.axis)
    seeds = f"{len(panel.seeds)} seed" + ("s" if len(panel.seeds) > 1 else "")
    axis.set_title(f"{panel.protocol} (role of {panel.title}), {seeds}", fontsize=9.5)
    axis.spines[["top", "right"]].set_visible(False)


def _bars(points: Sequence[Point], autolink: float | None) -> Any:
    """Return lengths of bars from each score down and up, (2, n), or None.

    A bar spans AutoLink's score plus the interval of the difference from it: what stays clear of
    AutoLink's line differs from it beyond noise.
    """
    if autolink is None or any(point.against is None for point in points):
        return None
    ends = [(point.score, point.against) for point in points if point.against is not None]
    down = [max(0.0, score - (autolink + low)) for score, (low, _) in ends]
    up = [max(0.0, autolink + high - score) for score, (_, high) in ends]
    return [down, up]
