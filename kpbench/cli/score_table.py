"""The tables that `kpbench evaluate` ends with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from rich.console import Console

from kpbench.boards.board import boards_of, is_strict
from kpbench.boards.pages.markdown import MISSING, UNBEATEN, percent
from kpbench.boards.pages.protocol import of_the_way, unbeaten_notes
from kpbench.cli.tables import print_fitting
from kpbench.records.record import Record, Score
from kpbench.scoring.evaluators import Evaluation
from kpbench.scoring.named import same_rules


def print_scores(console: Console, records: Sequence[Record], results: Path) -> None:
    """Print one table a protocol: the mean over seeds under each evaluator.

    Args:
        console: where to print.
        records: of one call of `kpbench evaluate`.
        results: their folder.
    """
    scored = [record for record in records if record.status == "ok"]
    for protocol in dict.fromkeys(record.identity.protocol for record in scored):
        here = [record for record in scored if record.identity.protocol == protocol]
        heads, rows, notes = _table(results, here)
        title = f"{protocol} v{here[0].identity.protocol_version}"
        if left_out := print_fitting(console, heads, rows, title=title):
            rest = f"not shown, as the terminal is narrow: {', '.join(left_out)}; all of it: "
            console.print(rest + leaderboard_command(results), soft_wrap=True)
        for note in notes:
            console.print(note, soft_wrap=True)


def leaderboard_command(results: Path) -> str:
    """Return the command that makes pages of a folder of records."""
    return shlex.join(["kpbench", "leaderboard", "--results", str(results), "--output", "boards"])


def _table(results: Path, here: Sequence[Record]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return heads, rows and notes of the table of one protocol, what matters most first.

    That is the strict score, the default one, how far it is on the way from the floor to the
    ceiling, and of how many seeds; then keypoints on the object and the other evaluators.
    """
    scores = {name: score for record in here for name, score in record.scores.items()}
    main = here[0].evaluator
    rules = sorted(
        same_rules(list(scores)), key=lambda names: (not is_strict(names), main not in names)
    )
    first = [names for names in rules if is_strict(names) or main in names]
    others = [names for names in rules if names not in first]
    unbeaten, ways, notes = _compared(results, here)
    heads = [*(_head(names, scores[names[0]]) for names in first)]
    heads = ["method", *heads, *(["of the\nway"] if ways else []), "seeds", "on the\nobject"]
    rows = []
    for method in dict.fromkeys(map(_who, here)):
        runs = [record for record in here if _who(record) == method]
        hits = [run.foreground_hits for run in runs if run.foreground_hits is not None]
        mark = f" {UNBEATEN}" if method in unbeaten else ""
        row = [f"{method}{mark}", *(_mean_score(runs, names[0]) for names in first)]
        row += [percent(ways.get(method))] if ways else []
        row += [str(len(runs)), f"{100 * mean(hits):.0f} %" if hits else MISSING]
        rows.append([*row, *(_mean_score(runs, names[0]) for names in others)])
    return [*heads, *(_head(names, scores[names[0]]) for names in others)], rows, notes


def _head(names: Sequence[str], score: Score | Evaluation) -> str:
    arrow = "↑" if score.higher_is_better else "↓"
    oracle = "\n(reads test labels)" if score.oracle_used else ""
    called = " =\n".join(name.partition("/")[2] for name in names)
    return f"{called} {arrow}\n{score.unit}{oracle}"


def _compared(
    results: Path, records: Sequence[Record]
) -> tuple[set[str], dict[str, float], list[str]]:
    """Return who is not better than every baseline, how far each is on the way, and notes.

    Both are under the default evaluator.

    Args:
        results: folder of the records.
        records: of one protocol.
    """
    marked: set[str] = set()
    ways: dict[str, float] = {}
    notes: list[str] = []
    for board in boards_of(results, records):
        labels = board.unbeaten(board.evaluator)
        marked |= {_who(row.scored[0]) for row in board.rows if row.label in labels}
        notes += [f"{note} ({board.evaluator})" for note in unbeaten_notes(board, board.evaluator)]
        for row in board.complete(board.evaluator):
            way = of_the_way(board, row, board.evaluator)
            if way is not None:
                ways.setdefault(_who(row.scored[0]), way)
    return marked, ways, notes


def _mean_score(runs: Sequence[Record], evaluator: str) -> str:
    """Return the mean over the runs, "–" when one of them has no score under the evaluator."""
    values = [run.scores[evaluator].value for run in runs if evaluator in run.scores]
    return f"{round(mean(values), 9):.4g}" if len(values) == len(runs) else "–"


def _who(record: Record) -> str:
    trained_on = record.identity.trained_on
    origin = "" if trained_on is None else f", trained on {trained_on.protocol}"
    origin += ", pretrained" if record.identity.pretrained else ""
    return f"{record.identity.method}{origin}"
