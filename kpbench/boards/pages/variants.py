"""The section on what a changed training (fewer images, worse depth) does to a method's score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from kpbench.boards.board import Board
from kpbench.boards.pages.markdown import interval, number, settings, spread, table
from kpbench.boards.row import Row, settings_of
from kpbench.data.variants import Variant
from kpbench.scoring.statistics.compare import paired_bootstrap
from kpbench.scoring.statistics.resampling import clusters_of

TRAINING = {f.name for f in fields(Variant)}
"""Arguments that leave the test images and their labels as they are."""
_EXPLAIN = """\
Score under `{evaluator}` in {unit} with an argument of the protocol, beside the same method, the
same seeds and the same test images without it; the 95 % interval is paired. `images`
is the number of training images (all, if not named); `depth_…` spoils the depth that a method is
shown, in training and, where it reads depth, at prediction.
"""


def in_a_table(board: Board, boards: Sequence[Board]) -> bool:
    """Return whether a board appears in the section on arguments instead of in full.

    It does when it differs from another of its protocol only in how its methods were trained, and
    every row has a place there.
    """
    return _is_variant(board) and any(
        _alike(board, other) and all(_has_place(row, other) for row in board.rows)
        for other in boards
        if not other.own_arguments
    )


def variants_section(boards: Sequence[Board]) -> list[str]:
    """Return one table a board that others vary; nothing without such boards."""
    lines = []
    for plain in (board for board in boards if not board.own_arguments):
        cells = [
            _cells(board, row, plain, same)
            for board in sorted(boards, key=lambda board: settings(board.own_arguments))
            if _is_variant(board) and _alike(board, plain)
            for row in board.complete(plain.evaluator)
            if (same := _same_row(row, plain)) is not None
        ]
        if cells:
            text = _EXPLAIN.format(
                evaluator=plain.evaluator, unit=plain.example(plain.evaluator).unit
            )
            name = f"K = {plain.n_keypoints}, {plain.recipe} recipe, {plain.device}"
            head = ["changed", "method", "score", "unchanged", "difference", "95 % interval"]
            lines += [f"## What arguments change: {name}", "", *text.splitlines(), ""]
            lines += table(head, cells)
    return lines


def _is_variant(board: Board) -> bool:
    return bool(board.own_arguments) and set(board.own_arguments) <= TRAINING


def _alike(a: Board, b: Board) -> bool:
    return all(
        getattr(a, name) == getattr(b, name)
        for name in ("protocol", "version", "n_keypoints", "recipe", "device")
    )


def _has_place(row: Row, plain: Board) -> bool:
    return row.complete(plain.evaluator) and _same_row(row, plain) is not None


def _same_row(row: Row, board: Board) -> Row | None:
    """Return the board's row of the same method and parameters, with the same seeds."""
    wanted = settings_of(row.records[0].identity)
    seeds = {record.identity.seed for record in row.scored}
    for other in board.rows:
        same = other.method == row.method and settings_of(other.records[0].identity) == wanted
        if same and seeds <= set(other.scores):
            return other
    return None


def _cells(board: Board, row: Row, plain: Board, other: Row) -> list[str]:
    evaluator = plain.evaluator
    seeds = sorted(row.scores)
    pairs = [(row.scores[seed][evaluator], other.scores[seed][evaluator]) for seed in seeds]
    first = pairs[0][0]
    found = paired_bootstrap(
        [(varied.errors, varied.valid) for varied, _ in pairs],
        [(unchanged.errors, unchanged.valid) for _, unchanged in pairs],
        first.aggregation,
        first.groups,
        clusters=clusters_of(first.identities),
    )
    unchanged = {r.identity.seed: r.scores[evaluator].value for r in other.under(evaluator)}
    record = row.scored[0].path(Path("results")).as_posix()
    return [
        f"[{settings(board.own_arguments).removeprefix(', ')}]({record})",
        row.label,
        spread(row.values(evaluator)),
        spread([unchanged[seed] for seed in seeds]),
        number(found.difference),
        interval(found.ci95),
    ]
