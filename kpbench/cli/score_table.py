"""The tables that `kpbench evaluate` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from kpbench.boards.board import boards_of
from kpbench.boards.pages.markdown import UNBEATEN
from kpbench.boards.pages.protocol import unbeaten_notes
from kpbench.records.record import Record
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
        scores = {name: score for record in here for name, score in record.scores.items()}
        table = Table(
            title=f"{protocol} v{here[0].identity.protocol_version}", title_justify="left"
        )
        table.add_column("method")
        rules = same_rules(list(scores))
        for names in rules:
            score = scores[names[0]]
            arrow = "↑" if score.higher_is_better else "↓"
            oracle = " (reads test labels)" if score.oracle_used else ""
            called = " =\n".join(name.partition("/")[2] for name in names)
            table.add_column(f"{called} {arrow}\n{score.unit}{oracle}", justify="right")
        table.add_column("keypoints on\nthe object", justify="right")
        table.add_column("seeds", justify="right")
        unbeaten, notes = _unbeaten(results, here)
        for method in dict.fromkeys(map(_who, here)):
            runs = [record for record in here if _who(record) == method]
            values = [_mean_score(runs, names[0]) for names in rules]
            hits = [run.foreground_hits for run in runs if run.foreground_hits is not None]
            share = f"{100 * mean(hits):.0f} %" if hits else "–"
            mark = f" {UNBEATEN}" if method in unbeaten else ""
            table.add_row(f"{method}{mark}", *values, share, str(len(runs)))
        console.print(table)
        for note in notes:
            console.print(note, markup=False, soft_wrap=True)


def _unbeaten(results: Path, records: Sequence[Record]) -> tuple[set[str], list[str]]:
    """Return who is not better than every baseline under the default evaluator, and what it says.

    Args:
        results: folder of the records.
        records: of one protocol.
    """
    marked, notes = set(), []
    for board in boards_of(results, records):
        labels = board.unbeaten(board.evaluator)
        marked |= {_who(row.scored[0]) for row in board.rows if row.label in labels}
        notes += [f"{note} ({board.evaluator})" for note in unbeaten_notes(board, board.evaluator)]
    return marked, notes


def _mean_score(runs: Sequence[Record], evaluator: str) -> str:
    """Return the mean over the runs, "–" when one of them has no score under the evaluator."""
    values = [run.scores[evaluator].value for run in runs if evaluator in run.scores]
    return f"{round(mean(values), 9):.4g}" if len(values) == len(runs) else "–"


def _who(record: Record) -> str:
    trained_on = record.identity.trained_on
    origin = "" if trained_on is None else f", trained on {trained_on.protocol}"
    origin += ", pretrained" if record.identity.pretrained else ""
    return f"{record.identity.method}{origin}"
