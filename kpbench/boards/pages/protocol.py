"""The page of one protocol: its boards, under every evaluator."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from kpbench.boards.board import Board
from kpbench.boards.pages import strip
from kpbench.boards.pages.consistency import consistency_section
from kpbench.boards.pages.diagnostics import (
    equivariance_section,
    keypoints_section,
    label_point,
    label_points,
    label_section,
    landmark_section,
)
from kpbench.boards.pages.markdown import (
    HEAD,
    MISSING,
    UNBEATEN,
    interval,
    number,
    percent,
    probability,
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
table says (bootstrap). Differences are paired, on the same images; p comes from the same t as the
interval and is adjusted for all differences of its table (Holm), and p below 5 % decides. A rank is
one more than the number of ranked methods that are better by a difference that the table decides,
or by a chain of these; methods of unlike rank need not differ, and the table says which do. One
seed says nothing of how trainings differ and is not ranked. Other rows without a rank are
references, or incomplete for the reason given. "Of the way" is the share of the distance from the
floor (0 %) to the ceiling (100 %), which each board names. "On the object" is the share of
keypoints that lie on the object.
"""
MARK = "†"
ONE_SEED = "one seed"
FEW = (10, 30, 100)
"""Numbers of labelled images that stand beside a strict score: most people have few."""
_FEW = """\
"n labels" is the score of a ridge regression fitted on so few labelled images, as under "Label
efficiency" below.
"""


def protocol_page(protocol: str, boards: Sequence[Board], pictures: Collection[str] = ()) -> str:
    """Return the page of one protocol.

    Args:
        protocol: its name.
        boards: all of them are of this protocol.
        pictures: files of strips that lie beside the page, see `strip`.
    """
    lines = [f"# {protocol}", "", HEAD, EXPLAIN]
    for board in (board for board in boards if not in_a_table(board, boards)):
        lines += [f"## {title(board)}", "", *_opening(board), *strip.lines(board, pictures)]
        for evaluator in board.rules:
            lines += _evaluator_section(board, evaluator)
            if evaluator == board.evaluator:
                lines += keypoints_section(board)
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


def _opening(board: Board) -> list[str]:
    """Return what the numbers of a board are of: K, recipe, and between what they lie."""
    k = f"K = {board.n_keypoints}"
    k += ", as published for the role" if board.own_k else ", not as published for the role"
    text = f"{k}; trained by the recipe `{board.recipe}`."
    if (ends := _ends(board, board.evaluator)) is not None:
        text += f" 0 % of the way is {ends[0].label}, 100 % {ends[1].label}."
    return [text, *(_FEW.splitlines() if _few(board, board.evaluator) else []), ""]


def _evaluator_section(board: Board, evaluator: str) -> list[str]:
    score = board.example(evaluator)
    better = "higher" if score.higher_is_better else "lower"
    marks = ["default"] if evaluator == board.evaluator else []
    marks += ["looks at test labels"] if score.oracle_used else []
    sign = -1 if score.higher_is_better else 1
    rows = sorted(
        board.rows,
        key=lambda row: (
            not row.complete(evaluator),
            sign * row.mean(evaluator) if row.complete(evaluator) else 0.0,
        ),
    )
    beside = _beside(board, evaluator)
    head = ["rank", "method", f"score ({score.unit})", "95 % interval"]
    head += [f"strict ({board.example(beside).unit})"] if beside is not None else []
    head += [f"{n} labels" for n in _few(board, evaluator)]
    head += ["of the way", "on the object", "told besides RGB", "backbone", "seeds"]
    notes = sorted({note for row in rows for note in row.notes(evaluator)})
    notes += [*unbeaten_notes(board, evaluator), *_changes(board, rows)]
    names = " = ".join(f"`{name}`" for name in board.rules[evaluator])
    return [
        f"### {names}" + (f" ({', '.join(marks)})" if marks else ""),
        "",
        f"{score.metric} in {score.unit}, {better} is better; {score.n_images} test images, "
        f"{_resampled(board.identities(evaluator))}.",
        "",
        *table(head, [_cells(board, row, evaluator) for row in rows]),
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


def unbeaten_notes(board: Board, evaluator: str) -> list[str]:
    """Return a footnote on each row that is marked for not beating every baseline."""
    images = " of the images alone (one seed)" if len(board.seeds) < 2 else ""
    return [
        f"{UNBEATEN} {label} is not better than {' and '.join(baselines)} beyond noise{images}"
        for label, baselines in board.unbeaten(evaluator).items()
    ]


def _in_detail(board: Board, evaluator: str) -> bool:
    return evaluator in (board.evaluator, board.strict)


def _beside(board: Board, evaluator: str) -> str | None:
    """Return the evaluator whose score the first table shows beside the default one's."""
    return board.strict if evaluator == board.evaluator != board.strict else None


def _few(board: Board, evaluator: str) -> list[int]:
    """Return the numbers of labels whose scores the first table shows, where it is a strict one."""
    if evaluator != board.evaluator or evaluator != board.strict:
        return []
    return [n for n in FEW if any(n in label_points(row) for row in board.rows)]


def _resampled(identities: int | None) -> str:
    if identities is None:
        return "resampled as if independent"
    return f"resampled by the {identities} identities that they show"


def _cells(board: Board, row: Row, evaluator: str) -> list[str]:
    marks = [MARK] if board.changed(row) else []
    marks += [UNBEATEN] if row.label in board.unbeaten(evaluator) else []
    label = " ".join([row.label, *marks])
    beside = _beside(board, evaluator)
    more = [] if beside is None else [_score(row, beside)]
    more += [label_point(label_points(row).get(n, [])) for n in _few(board, evaluator)]
    told = [row.supervision, row.backbone, f"{len(row.under(evaluator))}/{len(board.seeds)}"]
    if not row.complete(evaluator):
        empty = [MISSING, MISSING, *more, MISSING]
        return [_rank(board, row, evaluator), label, *empty, row.reason(evaluator), *told]
    return [
        _rank(board, row, evaluator),
        label,
        spread(row.values(evaluator)),
        interval(board.interval(evaluator, row)),
        *more,
        percent(of_the_way(board, row, evaluator)),
        percent(row.mean_of(lambda record: record.foreground_hits)),
        *told,
    ]


def _rank(board: Board, row: Row, evaluator: str) -> str:
    if not row.reference and len(row.under(evaluator)) == 1:
        return ONE_SEED
    return str(board.ranks(evaluator).get(row.label, MISSING))


def _score(row: Row, evaluator: str) -> str:
    return spread(row.values(evaluator)) if row.complete(evaluator) else MISSING


def _ends(board: Board, evaluator: str) -> tuple[Row, Row] | None:
    """Return floor and ceiling, None where either has no score under the evaluator."""
    floor, ceiling = board.reference("floor"), board.reference("ceiling")
    if floor is None or ceiling is None:
        return None
    return (floor, ceiling) if floor.complete(evaluator) and ceiling.complete(evaluator) else None


def of_the_way(board: Board, row: Row, evaluator: str) -> float | None:
    """Return the share of the distance from floor to ceiling, None where one of them is missing."""
    if (ends := _ends(board, evaluator)) is None:
        return None
    floor, ceiling = (end.mean(evaluator) for end in ends)
    return None if floor == ceiling else (row.mean(evaluator) - floor) / (ceiling - floor)


def _differences(board: Board, evaluator: str) -> list[str]:
    """Return the table that the ranks follow from; of one seed it decides nothing."""
    decisions = board.decisions(evaluator)
    if not decisions:
        return []
    alone = len(board.seeds) < 2
    cells = [
        [
            f"{decision.a.label} − {decision.b.label}",
            number(decision.found.difference),
            interval(decision.found.ci95),
            MISSING if alone else probability(decision.p_value),
            ONE_SEED if alone else "no" if decision.better is None else "yes",
        ]
        for decision in decisions
    ]
    return table(["paired difference", "mean", "95 % interval", "p (Holm)", "decided"], cells)


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
