"""The page of one protocol: its boards, under every evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kpbench.boards.board import Board
from kpbench.boards.pages.consistency import consistency_section
from kpbench.boards.pages.diagnostics import equivariance_section, label_section, landmark_section
from kpbench.boards.pages.markdown import (
    HEAD,
    MISSING,
    interval,
    number,
    percent,
    settings,
    spread,
    table,
)
from kpbench.boards.pages.published_settings import settings_section
from kpbench.boards.pages.variants import in_a_table, variants_section
from kpbench.boards.row import Row

EXPLAIN = """\
A score is the mean over seeds, ± their standard deviation where there are several; the 95 %
interval is over seeds (Student's t) and test images, or the identities that these share, as each
table says (bootstrap). Methods share a rank unless the paired interval of their difference, on the
same images, excludes 0. "Of the way" is the share of the distance from the mean shape (0 %) to the
oracle (100 %). "On the object" is the share of keypoints that lie on the object. Rows without a
rank are references, or incomplete for the reason given.
"""
MARK = "†"


def protocol_page(protocol: str, boards: Sequence[Board]) -> str:
    """Return the page of one protocol.

    Args:
        protocol: its name.
        boards: all of them are of this protocol.
    """
    lines = [f"# {protocol}", "", HEAD, EXPLAIN]
    for board in (board for board in boards if not in_a_table(board, boards)):
        lines += [f"## {title(board)}", ""]
        for evaluator in board.evaluators:
            lines += _evaluator_section(board, evaluator)
        lines += equivariance_section(board)
        lines += label_section(board)
        lines += settings_section(board)
        lines += _provenance_section(board)
    lines += consistency_section(boards)
    lines += variants_section(boards)
    return "\n".join(lines).rstrip() + "\n"


def title(board: Board) -> str:
    """Return what tells a board from others of its protocol."""
    return (
        f"Version {board.version}, {board.recipe} recipe, K = {board.n_keypoints}, {board.device}"
        + settings(board.own_arguments)
    )


def _evaluator_section(board: Board, evaluator: str) -> list[str]:
    score = board.example(evaluator)
    better = "higher" if score.higher_is_better else "lower"
    marks = ["default"] if evaluator == board.evaluator else []
    marks += ["looks at test labels"] if score.oracle_used else []
    ranks = board.ranks(evaluator)
    sign = -1 if score.higher_is_better else 1
    rows = sorted(
        board.rows,
        key=lambda row: (
            not row.complete(evaluator),
            sign * row.mean(evaluator) if row.complete(evaluator) else 0.0,
        ),
    )
    head = ["rank", "method", f"score ({score.unit})", "95 % interval", "of the way"]
    head += ["on the object", "told besides RGB", "backbone", "seeds"]
    notes = sorted({note for row in rows for note in row.notes(evaluator)})
    notes += _changes(board, rows)
    return [
        f"### `{evaluator}`" + (f" ({', '.join(marks)})" if marks else ""),
        "",
        f"{score.metric} in {score.unit}, {better} is better; {score.n_images} test images, "
        f"{_resampled(board.identities(evaluator))}.",
        "",
        *table(head, [_cells(board, row, evaluator, ranks) for row in rows]),
        *_differences(board, evaluator),
        *(f"- {note}" for note in notes),
        *([""] if notes else []),
        *(landmark_section(board, evaluator) if _in_detail(board, evaluator) else []),
    ]


def _changes(board: Board, rows: Sequence[Row]) -> list[str]:
    """Return a footnote on each row whose code is not that of the newest rows of the board."""
    return [
        f"{MARK} {row.label} was not measured by the code of the newest rows here; changed since: "
        f"{', '.join(changed)}"
        for row in rows
        if (changed := board.changed(row))
    ]


def _in_detail(board: Board, evaluator: str) -> bool:
    return evaluator == board.evaluator or evaluator.endswith("/strict")


def _resampled(identities: int | None) -> str:
    if identities is None:
        return "resampled as if independent"
    return f"resampled by the {identities} identities that they show"


def _cells(board: Board, row: Row, evaluator: str, ranks: Mapping[str, int]) -> list[str]:
    label = f"{row.label} {MARK}" if board.changed(row) else row.label
    told = [row.supervision, row.backbone, f"{len(row.under(evaluator))}/{len(board.seeds)}"]
    if not row.complete(evaluator):
        return [MISSING, label, MISSING, MISSING, MISSING, row.reason(evaluator), *told]
    return [
        str(ranks.get(row.label, MISSING)),
        label,
        spread(row.values(evaluator)),
        interval(board.interval(evaluator, row)),
        percent(_of_the_way(board, row, evaluator)),
        percent(row.mean_of(lambda record: record.foreground_hits)),
        *told,
    ]


def _of_the_way(board: Board, row: Row, evaluator: str) -> float | None:
    ends = [board.reference("floor"), board.reference("ceiling")]
    if not all(end is not None and end.complete(evaluator) for end in ends):
        return None
    floor, ceiling = (end.mean(evaluator) for end in ends if end is not None)
    return None if floor == ceiling else (row.mean(evaluator) - floor) / (ceiling - floor)


def _differences(board: Board, evaluator: str) -> list[str]:
    """Return the paired differences of all ranked methods and the mean shape."""
    floors = [row for row in board.complete(evaluator) if row.reference == "floor"]
    rows = [*board.ranked(evaluator), *floors[:1]]
    if len(rows) < 2:
        return []
    cells = []
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            found = board.difference(evaluator, a, b)
            low, high = found.ci95
            clear = "yes" if low > 0 or high < 0 else "no"
            ends = interval(found.ci95)
            cells.append([f"{a.label} − {b.label}", number(found.difference), ends, clear])
    return table(["paired difference", "mean", "95 % interval", "excludes 0"], cells)


def _provenance_section(board: Board) -> list[str]:
    lines = ["Records:", ""]
    for row in board.rows:
        for record in row.records:
            path = record.path(Path("results")).as_posix()
            made = record.provenance
            packages = made.get("packages", {})
            text = f"{made.get('cpu', 'unknown')}, {made.get('cores', '?')} cores"
            text = made["gpu"] if made.get("gpu") else text
            lines.append(
                f"- [{row.label}, seed {record.identity.seed}]({path}): {record.status}, "
                f"{sum(record.seconds.values()):.0f} s on {text}, torch "
                f"{packages.get('torch', 'unknown')}, {str(made.get('finished', ''))[:10]}"
            )
            lines += [f"  - data: {text}" for text in made.get("deviations", [])]
            lines += [f"  - `{name}`: {text}" for name, text in sorted(record.unscored.items())]
    return [*lines, ""]
