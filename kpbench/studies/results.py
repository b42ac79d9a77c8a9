"""What the records say about the study: boards of equal training, and whose order holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kpbench.api import Device, Recipe
from kpbench.boards.board import Board
from kpbench.boards.decisions import Decision
from kpbench.boards.row import Row, rows_of
from kpbench.records.folders import Folders
from kpbench.records.published import PublishedNumber
from kpbench.records.record import Identity, Record, all_records, data_of
from kpbench.scoring.statistics.compare import PairedDifference
from kpbench.studies.plan import (
    BOTH,
    DATASETS,
    FLOOR,
    STUDENT,
    TEACHER,
    DataSet,
    in_figure_alone,
    is_plain,
    point_of,
    selected,
)

SOURCE = "distill-dkp"
"""Of the paper's rows among the published numbers."""
NAMES: Mapping[str, Mapping[str, str]] = {
    "Table 1": {STUDENT: "AutoLink", BOTH: "Distill-DKP"},
    "Table 2": {STUDENT: "Image student only", TEACHER: "Depth teacher only", BOTH: "Distill-DKP"},
}
"""How the paper's tables name our methods."""
Verdict = Literal["yes", "no, reversed", "undecided", "not measured"]


@dataclass(frozen=True)
class Studied:
    """The study's runs on one protocol, of one recipe and class of device, trained alike.

    Attributes:
        dataset: whose role the protocol takes.
        recipe: how much training.
        device: its class.
        table: the methods at the published setting: Tables 1 and 2; None if none was run.
        figure: all points of Figure 3, AutoLink and the teacher, at the seeds of the former; None
            if there is no point beside the published setting.
    """

    dataset: DataSet
    recipe: Recipe
    device: Device
    table: Board | None
    figure: Board | None

    def row(self, method: str) -> Row | None:
        """Return the row of a method in the tables."""
        return None if self.table is None else self.table.row(method)

    def points(self) -> dict[tuple[str, float], Row]:
        """Return the rows of Figure 3 by layer and the paper's gamma."""
        rows = [] if self.figure is None else self.figure.rows
        found = {point_of(row.records[0].identity): row for row in rows}
        return {point: row for point, row in found.items() if point is not None}


def read_study(results: Folders) -> list[Studied]:
    """Return the study's runs below `results`, by recipe, device and the order of Table 1.

    Raises:
        RecordError: a record or an artifact is corrupt or missing.
    """
    records = {record.identity.digest(): record for record in all_records(results)}
    groups = selected(record.identity for record in records.values())
    return [
        _studied(results, [records[who.digest()] for who in group], records.values())
        for group in groups
    ]


def _studied(results: Folders, records: Sequence[Record], everything: Iterable[Record]) -> Studied:
    who = records[0].identity
    further = [record for record in records if in_figure_alone(record.identity)]
    table = [record for record in records if record not in further]
    seeds = {record.identity.seed for record in further}
    figure = [record for record in records if record.identity.seed in seeds]
    return Studied(
        DATASETS[who.protocol],
        who.recipe,
        who.device,
        _board(results, [*table, *_floor(table, everything)]),
        _board(results, figure),
    )


def _floor(table: Sequence[Record], everything: Iterable[Record]) -> list[Record]:
    """Return the records of the floor on the same data at the seeds of the table."""
    places = {_place(record.identity) for record in table}
    return [
        record
        for record in everything
        if record.identity.method == FLOOR
        and is_plain(record.identity)
        and _place(record.identity) in places
    ]


def _place(who: Identity) -> tuple[str, int, str, int, str, str, int]:
    key = who.protocol, who.protocol_version, data_of(who), who.n_keypoints
    return *key, who.recipe, who.device, who.seed


def _board(results: Folders, records: Sequence[Record]) -> Board | None:
    if not records:
        return None
    who = records[0].identity
    key = who.protocol, who.protocol_version, data_of(who), who.n_keypoints
    return Board(*key, who.recipe, who.device, {}, rows_of(results, records))


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same images, and what the paper says of them.

    Attributes:
        protocol: on which.
        evaluator: under which.
        first: method that the paper has before `second`.
        second: the other.
        printed: the paper's values of both, "" where there are none.
        difference: score of `second` minus that of `first`; None if either is incomplete.
        decision: the same in the board's table of differences, which its ranks follow from.
        higher_is_better: direction of the score; None if nothing was measured.
        unit: of the score.
    """

    protocol: str
    evaluator: str
    first: str
    second: str
    printed: tuple[str, str]
    difference: PairedDifference | None
    decision: Decision | None
    higher_is_better: bool | None
    unit: str

    @property
    def better(self) -> str | None:
        """The method that is better beyond noise, None if neither is or one is missing."""
        better = self.decision.better if self.decision is not None else None
        return better.method if better is not None else None

    @property
    def holds(self) -> Verdict:
        """Whether the paper's order of the two is the measured one."""
        if self.difference is None:
            return "not measured"
        if self.better is None:
            return "undecided"
        return "yes" if self.better == self.first else "no, reversed"


def comparisons(
    found: Studied, published: Sequence[PublishedNumber], table: str, evaluator: str
) -> list[Comparison]:
    """Return all pairs of a table's methods on a protocol, the paper's better one first.

    Pairs for which the paper has no numbers are left out.
    """
    printed = {
        method: number
        for method, name in NAMES[table].items()
        for number in of_table(published, table)
        if (number.method, number.dataset) == (name, found.dataset.published)
    }
    ordered = sorted(
        printed,
        key=lambda m: -printed[m].value if printed[m].higher_is_better else printed[m].value,
    )
    return [
        compare(found, evaluator, (a, b), (as_printed(printed[a]), as_printed(printed[b])))
        for i, a in enumerate(ordered)
        for b in ordered[i + 1 :]
    ]


def of_table(published: Iterable[PublishedNumber], table: str) -> list[PublishedNumber]:
    """Return the numbers that a table of the paper prints."""
    return [n for n in published if (n.source, n.table) == (SOURCE, table)]


def as_printed(number: PublishedNumber) -> str:
    """Return a value as the paper prints it, with its standard deviation where it has one."""
    return f"{number.value:f}" + ("" if number.spread is None else f" ± {number.spread:f}")


def not_above_floor(found: Studied, table: str, evaluator: str) -> list[Comparison]:
    """Return the comparisons with the floor of a table's methods that are no better than it."""
    compared = [compare(found, evaluator, (method, FLOOR)) for method in NAMES[table]]
    return [pair for pair in compared if pair.difference and pair.better != pair.first]


def compare(
    found: Studied, evaluator: str, pair: tuple[str, str], printed: tuple[str, str] = ("", "")
) -> Comparison:
    """Return the comparison of two methods; `printed` is what the paper says of them."""
    first, second = map(found.row, pair)
    board, difference, decision, higher, unit = found.table, None, None, None, ""
    if board and first and second and first.complete(evaluator) and second.complete(evaluator):
        difference = board.difference(evaluator, second, first)
        decision = next(d for d in board.decisions(evaluator) if d.is_of(first, second))
        score: Any = board.example(evaluator)
        higher, unit = score.higher_is_better, score.unit
    return Comparison(
        found.dataset.protocol, evaluator, *pair, printed, difference, decision, higher, unit
    )
