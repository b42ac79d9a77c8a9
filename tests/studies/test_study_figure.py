"""Figure 3 as it is drawn: where its points, bars and lines are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from kpbench.studies.figure import Panel, Point, plot
from kpbench.studies.plan import LAYERS

GAMMAS = (0.1, 0.4, 1.0)
AUTOLINK, TEACHER = 9.0, 8.5
POINTS = tuple(
    Point(layer, gamma, 8.0 + i / 4 + gamma, (i / 4 + gamma - 1.2, i / 4 + gamma - 0.5))
    for i, layer in enumerate(LAYERS)
    for gamma in GAMMAS
)
"""Each interval of the difference from AutoLink reaches further up than down."""


def panel(points: tuple[Point, ...] = POINTS, **changes: Any) -> Panel:
    known = {"autolink": AUTOLINK, "teacher": TEACHER, **changes}
    return Panel("people_taichi", "Taichi", "error (px), lower is better", (0, 1), GAMMAS, points,
                 **known)  # fmt: skip


def drawn(found: Panel) -> Axes:
    figure = Figure()
    plot([found]).draw(figure)
    [axis] = figure.axes
    return axis


def errorbars(axis: Axes) -> dict[str, ErrorbarContainer]:
    """Return points and bars by layer."""
    found = [each for each in axis.containers if isinstance(each, ErrorbarContainer)]
    return {str(each.get_label()): each for each in found}


def levels(axis: Axes) -> dict[str, float]:
    """Return the heights of the horizontal lines by their label."""
    lines = {str(line.get_label()): np.ravel(line.get_ydata()) for line in axis.lines}
    return {label: y[0] for label, y in lines.items() if not label.startswith("_")}


def test_a_point_is_at_its_gamma_and_score() -> None:
    axis = drawn(panel())
    found = errorbars(axis)
    assert list(found) == list(LAYERS)
    for layer, drawing in found.items():
        x, y = (np.asarray(each, float) for each in drawing.lines[0].get_data())
        assert x == pytest.approx(GAMMAS, abs=0.02 * (GAMMAS[-1] - GAMMAS[0]))
        assert y == pytest.approx([point.score for point in POINTS if point.layer == layer])
    assert list(axis.get_xticks()) == pytest.approx(GAMMAS)
    assert not axis.yaxis_inverted()


def test_a_bar_spans_autolinks_score_plus_the_interval_of_the_difference() -> None:
    for layer, drawing in errorbars(drawn(panel())).items():
        [bars] = drawing.lines[2]
        ends = [segment[:, 1] for segment in bars.get_segments()]
        wanted = [point.against for point in POINTS if point.layer == layer]
        assert np.array(ends) == pytest.approx(AUTOLINK + np.array(wanted))


def test_references_are_lines_and_titles_say_what_is_shown() -> None:
    axis = drawn(panel())
    assert levels(axis) == {"AutoLink": AUTOLINK, "depth teacher (reads depth)": TEACHER}
    assert axis.get_title() == "people_taichi (role of Taichi), 2 seeds"
    assert axis.get_ylabel() == "error (px), lower is better"
    assert "γ" in axis.get_xlabel()


def test_without_the_references_there_are_points_alone() -> None:
    bare = tuple(Point(p.layer, p.gamma, p.score, None) for p in POINTS[:2])
    axis = drawn(panel(bare, autolink=None, teacher=None))
    assert levels(axis) == {}
    found = errorbars(axis)
    assert [not drawing.has_yerr for drawing in found.values()] == [True] * 3
    assert len(np.asarray(found[LAYERS[0]].lines[0].get_ydata())) == 2
