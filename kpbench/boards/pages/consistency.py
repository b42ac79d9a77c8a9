"""The section on how a method's score depends on K, the number of keypoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean

from kpbench.boards.board import Board
from kpbench.boards.pages.markdown import MISSING, number, percent, settings, spread, table

_EXPLAIN = """\
Score under `{evaluator}` in {unit}, mean ± standard deviation over seeds. "Mean" is over K,
"spread" is the range of the means over K, (largest − smallest) / mean: 0 % for a method to which K
makes no difference. The regression has 2 K inputs, so a larger K helps it, whatever the keypoints.
"""


def relative_range(values: Sequence[float]) -> float | None:
    """Return (largest - smallest) / mean: how much a score depends on K; None if the mean is 0.

    It asks for no trend and no order, unlike a correlation with K, which means little for three
    values and hides their size.

    Example:
        >>> relative_range([9.0, 10.0, 11.0])
        0.2
    """
    middle = mean(values)
    return (max(values) - min(values)) / abs(middle) if middle else None


def consistency_section(boards: Sequence[Board]) -> list[str]:
    """Return a table a group of boards that differ in K alone; nothing without such boards."""
    groups: dict[tuple[object, ...], list[Board]] = {}
    for board in boards:
        arguments = json.dumps(dict(board.own_arguments), sort_keys=True)
        key = (board.version, board.data, board.recipe, board.device, arguments)
        groups.setdefault(key, []).append(board)
    lines = []
    for group in groups.values():
        scored = [board for board in group if board.complete(board.evaluator)]
        if len({board.n_keypoints for board in scored}) > 1:
            lines += _group(sorted(scored, key=lambda board: board.n_keypoints))
    return lines


def _group(boards: Sequence[Board]) -> list[str]:
    first = boards[0]
    evaluator, found = first.evaluator, _values(boards)
    cells = [_cells([board.n_keypoints for board in boards], label, by_k)
             for label, by_k in found.items() if len(by_k) > 1]  # fmt: skip
    if not cells:
        return []
    name = f"version {first.version}, {first.recipe} recipe, {first.device}"
    unit = first.example(evaluator).unit
    return [
        f"## Consistency over K: {name}{settings(first.own_arguments)}",
        "",
        *_EXPLAIN.format(evaluator=evaluator, unit=unit).splitlines(),
        "",
        *table(["method", *(f"K = {b.n_keypoints}" for b in boards), "mean", "spread"], cells),
    ]


def _values(boards: Sequence[Board]) -> dict[str, dict[int, list[float]]]:
    """Return the scores of complete rows by label, then by K."""
    found: dict[str, dict[int, list[float]]] = {}
    evaluator = boards[0].evaluator
    for board in boards:
        for row in board.complete(evaluator):
            found.setdefault(row.label, {})[board.n_keypoints] = row.values(evaluator)
    return found


def _cells(all_k: Sequence[int], label: str, by_k: Mapping[int, Sequence[float]]) -> list[str]:
    means = [mean(values) for values in by_k.values()]
    scores = [spread(by_k[k]) if k in by_k else MISSING for k in all_k]
    return [label, *scores, number(mean(means)), percent(relative_range(means))]
