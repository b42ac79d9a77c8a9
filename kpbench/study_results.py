"""What the records say about the study: boards of equal training, and whose order holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from kpbench.api import Device, Recipe
from kpbench.board import Board, Row, data_of, rows_of
from kpbench.published import PublishedNumber
from kpbench.records import Identity, Record, all_records
from kpbench.stats import PairedDifference
from kpbench.study import BOTH, DATASETS, METHODS, STUDENT, TEACHER, DataSet, point_of

SOURCE = "distill-dkp"
"""Of the paper's rows among the published numbers."""
NAMES: Mapping[str, Mapping[str, str]] = {
    "Table 1": {STUDENT: "AutoLink", BOTH: "Distill-DKP"},
    "Table 2": {STUDENT: "Image student only", TEACHER: "Depth teacher only", BOTH: "Distill-DKP"},
}
"""How the paper's tables name our methods."""
_STUDIED = ("layer", "gamma", "lambda_")
Verdict = Literal["yes", "no, reversed", "undecided", "not measured"]
_T = TypeVar("_T", bound=Hashable)


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


def read_study(results: Path) -> list[Studied]:
    """Return the study's runs below `results`, by recipe, device and the order of Table 1.

    Of several versions of a protocol or a method the newest is taken, of several other settings
    that with most records. `smoke` runs, transfers, shipped weights and runs with arguments are no
    part of it.

    Raises:
        RecordError: a record or an artifact is corrupt or missing.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in all_records(results):
        who = record.identity
        if _takes_part(who):
            groups.setdefault((who.recipe, who.device, who.protocol), []).append(record)
    order = list(DATASETS)
    keys = sorted(groups, key=lambda key: (*key[:2], order.index(key[2])))
    return [_studied(results, groups[key]) for key in keys]


def _takes_part(who: Identity) -> bool:
    return (
        who.protocol in DATASETS
        and who.recipe != "smoke"
        and who.trained_on is None
        and who.pretrained is None
        and not who.arguments
        and _training(who) is not None
        and (point_of(who) is not None if who.method == BOTH else who.method in METHODS)
    )


def _studied(results: Path, records: Sequence[Record]) -> Studied:
    records = _most(records, lambda r: (r.identity.protocol_version, data_of(r.identity)))
    for method in METHODS:
        newest = max((_versions(r) for r in records if r.identity.method == method), default=())
        records = [r for r in records if r.identity.method != method or _versions(r) == newest]
    records = _most(records, lambda record: (0, str(_training(record.identity))))
    who = records[0].identity
    dataset = DATASETS[who.protocol]
    further = [r for r in records if point_of(r.identity) not in (None, dataset.points[0])]
    table = [record for record in records if record not in further]
    seeds = {record.identity.seed for record in further}
    figure = [record for record in records if record.identity.seed in seeds]
    return Studied(
        dataset,
        who.recipe,
        who.device,
        _board(results, table),
        _board(results, figure),
    )


def _board(results: Path, records: Sequence[Record]) -> Board | None:
    if not records:
        return None
    who = records[0].identity
    key = who.protocol, who.protocol_version, data_of(who), who.n_keypoints
    return Board(*key, who.recipe, who.device, {}, rows_of(results, records))


def _most(records: Sequence[Record], key: Callable[[Record], tuple[int, str]]) -> list[Record]:
    """Return the records of the highest number in the key, and among these of the commonest."""
    keys = [key(record) for record in records]
    best = max(keys, key=lambda each: (each[0], keys.count(each), each[1]))
    return [record for record, each in zip(records, keys, strict=True) if each == best]


def _versions(record: Record) -> tuple[int, ...]:
    other = record.identity.dependency
    return record.identity.method_version, 0 if other is None else other.method_version


def _training(who: Identity) -> str | None:
    """Return the parameters that the methods share; None if student and teacher differ in them."""
    own = {name: value for name, value in who.params.items() if name not in _STUDIED}
    text = json.dumps(own, sort_keys=True)
    return None if who.dependency is not None and _training(who.dependency) != text else text


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
        higher_is_better: direction of the score; None if nothing was measured.
        unit: of the score.
    """

    protocol: str
    evaluator: str
    first: str
    second: str
    printed: tuple[str, str]
    difference: PairedDifference | None
    higher_is_better: bool | None
    unit: str

    @property
    def better(self) -> str | None:
        """The method that is better beyond noise, None if neither is or one is missing."""
        if self.difference is None:
            return None
        low, high = self.difference.ci95
        if low <= 0 <= high:
            return None
        return self.first if (low > 0) != bool(self.higher_is_better) else self.second

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
        _compare(found, evaluator, (a, b), (as_printed(printed[a]), as_printed(printed[b])))
        for i, a in enumerate(ordered)
        for b in ordered[i + 1 :]
    ]


def of_table(published: Iterable[PublishedNumber], table: str) -> list[PublishedNumber]:
    """Return the numbers that a table of the paper prints."""
    return [n for n in published if (n.source, n.table) == (SOURCE, table)]


def as_printed(number: PublishedNumber) -> str:
    """Return a value as the paper prints it, with its standard deviation where it has one."""
    return f"{number.value:f}" + ("" if number.spread is None else f" ± {number.spread:f}")


def _compare(
    found: Studied, evaluator: str, pair: tuple[str, str], printed: tuple[str, str]
) -> Comparison:
    first, second = map(found.row, pair)
    board, difference, higher, unit = found.table, None, None, ""
    if board and first and second and first.complete(evaluator) and second.complete(evaluator):
        difference = board.difference(evaluator, second, first)
        score: Any = board.example(evaluator)
        higher, unit = score.higher_is_better, score.unit
    return Comparison(found.dataset.protocol, evaluator, *pair, printed, difference, higher, unit)
