"""Sections that say more about the rows of a board than one score."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from kpbench.boards.board import Board
from kpbench.boards.pages.markdown import MISSING, folded, number, percent, table
from kpbench.boards.row import Row
from kpbench.diagnosis.equivariance import KINDS
from kpbench.records.record import LabelCurve, LabelPoint

_EQUIVARIANCE = """\
How far keypoints of a warped image lie from the warped keypoints of the image, in % of the image,
mean over test images and seeds: rotations up to 30°, scales up to 1.25, shifts up to a tenth of the
image, thin-plate splines, and the mirror image, where keypoints may change places. The mean shape,
which ignores the image, shows how large the error of keypoints that never move is (none under the
mirror: it is symmetric).
"""
_LABELS = """\
`{evaluator}`, score in {unit} of a ridge regression fitted on few labelled images, its penalty
chosen on these by leaving one out: mean over seeds and draws of the images, ± the standard
deviation over draws.
"""
_SHARES = {
    "joint_coverage": "joints with a keypoint",
    "extremity_coverage": "extremities with a keypoint",
    "edge_share": "keypoints on a strong edge",
    "camera_code": "explained by 4 clusters",
    "camera_code_1": "by 1 direction",
    "camera_code_3": "by 3 directions",
    "object_share": "object in the image",
}
"""The columns, by name of the diagnostic."""
_KEYPOINTS = """\
What a score does not tell, means over test images and seeds. A joint, or an extremity (head, wrist,
ankle), has a keypoint that lies within 5 % of the image of it; a keypoint is on a strong edge if it
touches one of those that are drawn; 4 clusters (say, the cameras) or 1 to 3 directions explain so
much of the variance of the keypoints over the images, and what they explain is no pose. "On the
object" means little where the object fills the image, whose share is beside it.
"""


def keypoints_section(board: Board) -> list[str]:
    """Return what the keypoints do: coverage, and how much of their motion is a code of few."""
    rows = [row for row in board.rows if row.scored]
    found = {name: [_share(row, name) for row in rows] for name in _SHARES}
    known = {name: column for name, column in found.items() if column != [None] * len(rows)}
    if not known:
        return []
    hits = [row.mean_of(lambda record: record.foreground_hits) for row in rows]
    columns = [map(percent, column) for column in (*known.values(), hits)]
    cells = [[row.label, *rest] for row, *rest in zip(rows, *columns, strict=True)]
    head = ["method", *(_SHARES[name] for name in known), "on the object"]
    return ["### What the keypoints do", "", *_KEYPOINTS.splitlines(), "", *table(head, cells)]


def _share(row: Row, name: str) -> float | None:
    return row.mean_of(lambda record: record.diagnostics.get(name))


def landmark_section(board: Board, evaluator: str) -> list[str]:
    """Return the score of each landmark alone, folded (Harris's thesis, Table 4.17)."""
    complete = board.complete(evaluator)
    runs = [run for row in complete for run in row.runs(evaluator)]
    names = next((run.landmarks for run in runs if run.landmarks), ())
    if not names:
        return []
    columns = [_by_landmark(row, evaluator, names) for row in complete]
    cells = [[name, *column] for name, *column in zip(names, *columns, strict=True)]
    score = board.example(evaluator)
    head = [f"landmark ({score.unit})", *(row.label for row in complete)]
    return folded("Each landmark alone, mean over seeds", table(head, cells))


def _by_landmark(row: Row, evaluator: str, names: tuple[str, ...]) -> list[str]:
    runs = [run for run in row.runs(evaluator) if run.landmarks == names]
    if not runs:
        return [MISSING] * len(names)
    by_seed = [run.by_landmark() for run in runs]
    return [number(_mean(seeds)) for seeds in zip(*by_seed, strict=True)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def equivariance_section(board: Board) -> list[str]:
    """Return what can be said of the keypoints without a label."""
    if not any(record.equivariance for row in board.rows for record in row.scored):
        return []
    kinds = [*KINDS, "mirror"]
    cells = []
    for row in board.rows:
        errors = [_mean([r.equivariance.get(kind) for r in row.scored]) for kind in kinds]
        hits = row.mean_of(lambda record: record.foreground_hits)
        cells.append([row.label, *map(number, errors), percent(hits)])
    lines = ["### Equivariance", "", *_EQUIVARIANCE.splitlines(), ""]
    return [*lines, *table(["method", *kinds, "on the object"], cells)]


def label_section(board: Board) -> list[str]:
    """Return the label-efficiency curves."""
    of_rows = {row.label: label_points(row) for row in board.rows}
    counts = sorted({n for points in of_rows.values() for n in points})
    if not counts:
        return []
    cells = [
        [label, *(label_point(points.get(n, [])) for n in counts)]
        for label, points in of_rows.items()
    ]
    evaluator = next(curve.evaluator for row in board.rows for curve in _curves(row))
    text = _LABELS.format(evaluator=evaluator, unit=board.example(evaluator).unit)
    lines = ["### Label efficiency", "", *text.splitlines(), ""]
    return [*lines, *table(["method", *(f"{n:,} labels" for n in counts)], cells)]


def label_points(row: Row) -> dict[int, list[LabelPoint]]:
    """Return the points of the label-efficiency curves of all seeds, by number of labels."""
    points: dict[int, list[LabelPoint]] = {}
    for point in (point for curve in _curves(row) for point in curve.points):
        points.setdefault(point.n_labelled, []).append(point)
    return points


def _curves(row: Row) -> list[LabelCurve]:
    return [r.label_efficiency for r in row.scored if r.label_efficiency is not None]


def label_point(seeds: Sequence[LabelPoint]) -> str:
    """Return the mean over seeds and draws, ± the standard deviation over draws."""
    if not seeds:
        return MISSING
    text = number(mean(point.mean for point in seeds))
    if all(point.n_draws == 1 for point in seeds):
        return text
    return f"{text} ± {number(mean(point.sd**2 for point in seeds) ** 0.5)}"
