"""The numbers that papers report, with their sources: read, checked, and shown as tables.

They are kept apart from measured results and never ranked with them: papers score the same
detections differently, so a number means something only beside its evaluator.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from kpbench.errors import RecordError, UnknownNameError

COLUMNS = (
    "source",
    "table",
    "method",
    "method_source",
    "dataset",
    "setting",
    "n_keypoints",
    "supervision",
    "metric",
    "unit",
    "value",
    "spread",
    "higher_is_better",
    "evaluator",
    "note",
)
NOT_GIVEN = "-"
UNKNOWN = "unknown"

_T = TypeVar("_T")

PAGE_HEAD = """\
# Numbers as reported in papers

Every number below is as reported: copied from the named paper, not measured here. These numbers
are never ranked with measured numbers. Papers score the same detections differently, so two
numbers compare only where dataset, K, metric, unit and evaluator agree.
"""
_LEGEND = "The evaluator of a number is in brackets; (?) = unknown."


@dataclass(frozen=True)
class PublishedNumber:
    """One number of one table of a paper.

    Attributes:
        source: the paper in which the number is printed.
        table: where it is printed there, such as "Table 4.17" or "Section 4.3 (text)".
        method: the method as that paper names it.
        method_source: the work that the row cites, with its reference number there.
        dataset: the test data, by our names.
        setting: what else tells it apart (landmark, training data, variant), or None.
        n_keypoints: K, or None where the paper does not state it.
        supervision: as the table or the text says, or None.
        metric: what was measured; `unit` says in what.
        unit: unit of `value` and `spread`.
        value: with the decimals that the paper prints.
        spread: standard deviation in `unit`, or None.
        higher_is_better: None where neither direction is better.
        evaluator: the named evaluator under which it was measured, or "unknown".
        notes: doubts, contradictions and marks of the table; "; " separates them in the file.
        line: line in the file; orders the tables.
    """

    source: str
    table: str
    method: str
    method_source: str
    dataset: str
    setting: str | None
    n_keypoints: int | None
    supervision: str | None
    metric: str
    unit: str
    value: Decimal
    spread: Decimal | None
    higher_is_better: bool | None
    evaluator: str
    notes: tuple[str, ...]
    line: int

    @property
    def key(self) -> tuple[object, ...]:
        """What may occur once: everything that says which number this is."""
        return (
            self.source,
            self.table,
            self.method,
            self.supervision,
            self.dataset,
            self.setting,
            self.n_keypoints,
            self.metric,
        )


def read_published(path: Path) -> list[PublishedNumber]:
    """Read the published numbers from a CSV file with exactly the columns `COLUMNS`.

    Every field is filled; "-" stands for what a paper does not give.

    Raises:
        RecordError: the file cannot be read, or a row has an unknown column, an empty field,
            a value that is not a plain decimal number, an evaluator that does not exist or is
            of another data set, or repeats another row; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        _check_header(path, next(reader, []))
        numbers = [_parse(path, reader.line_num, fields) for fields in reader]
    except csv.Error as error:
        raise RecordError(f"{path}, line {reader.line_num}: not valid CSV: {error}") from error
    _check_duplicates(path, numbers)
    return numbers


def _check_header(path: Path, header: Sequence[str]) -> None:
    if tuple(header) != COLUMNS:
        unknown = [name for name in header if name not in COLUMNS]
        missing = [name for name in COLUMNS if name not in header]
        raise RecordError(
            f"{path}, line 1: unknown columns {unknown}, missing columns {missing}; "
            f"the header must be {','.join(COLUMNS)}"
        )


def _parse(path: Path, line: int, fields: Sequence[str]) -> PublishedNumber:
    if len(fields) != len(COLUMNS):
        raise RecordError(f"{path}, line {line}: {len(fields)} fields instead of {len(COLUMNS)}")
    row = dict(zip(COLUMNS, fields, strict=True))
    try:
        return _number(row, line)
    except ValueError as error:
        raise RecordError(f"{path}, line {line}: {error}") from error


def _number(row: Mapping[str, str], line: int) -> PublishedNumber:
    for column, text in row.items():
        if not text or text.strip() != text or len(text.splitlines()) > 1:
            raise ValueError(
                f"{column} is {text!r}; write text in one line without surrounding blanks, "
                f"{NOT_GIVEN!r} for what is not given"
            )
    _check_evaluator(row["evaluator"], row["dataset"])
    return PublishedNumber(
        source=_given(row, "source"),
        table=_given(row, "table"),
        method=_given(row, "method"),
        method_source=_given(row, "method_source"),
        dataset=_given(row, "dataset"),
        setting=_optional(row, "setting", str),
        n_keypoints=_optional(row, "n_keypoints", _positive),
        supervision=_optional(row, "supervision", str),
        metric=_given(row, "metric"),
        unit=_given(row, "unit"),
        value=_decimal(row["value"]),
        spread=_optional(row, "spread", _decimal),
        higher_is_better=_optional(row, "higher_is_better", _boolean),
        evaluator=row["evaluator"],
        notes=() if row["note"] == NOT_GIVEN else tuple(row["note"].split("; ")),
        line=line,
    )


def _given(row: Mapping[str, str], column: str) -> str:
    if row[column] == NOT_GIVEN:
        raise ValueError(f"{column} must be given, got {NOT_GIVEN!r}")
    return row[column]


def _optional(row: Mapping[str, str], column: str, convert: Callable[[str], _T]) -> _T | None:
    return None if row[column] == NOT_GIVEN else convert(row[column])


def _decimal(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"{text!r} is not a plain decimal number such as 3.60")
    return Decimal(text)


def _positive(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]*", text):
        raise ValueError(f"n_keypoints is {text!r}, not a positive whole number")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"higher_is_better is {text!r}, not true, false or {NOT_GIVEN!r}")
    return text == "true"


def _check_evaluator(name: str, dataset: str) -> None:
    from kpbench.scoring.named import get_evaluator

    if name == UNKNOWN:
        return
    try:
        get_evaluator(name)
    except UnknownNameError as error:
        raise ValueError(f"{error}; write {UNKNOWN!r} where the paper does not say") from error
    if not f"{dataset}_".startswith(f"{name.partition('/')[0]}_"):
        raise ValueError(f"evaluator {name!r} cannot have scored data set {dataset!r}")


def _check_duplicates(path: Path, numbers: Iterable[PublishedNumber]) -> None:
    seen: dict[tuple[object, ...], int] = {}
    for number in numbers:
        first = seen.setdefault(number.key, number.line)
        if first != number.line:
            raise RecordError(
                f"{path}, line {number.line}: repeats line {first} "
                f"({number.source}, {number.table}, {number.method}, {number.dataset})"
            )


def render_published(numbers: Iterable[PublishedNumber]) -> str:
    """Return a markdown page with one table for each table of each paper.

    Methods are rows; data sets with their settings are columns, sorted. A table with more columns
    than rows is turned round. The page depends on the numbers alone, not on their order.
    """
    tables: dict[tuple[str, str], list[PublishedNumber]] = {}
    for number in sorted(numbers, key=lambda n: n.line):
        tables.setdefault((number.source, number.table), []).append(number)
    parts = [PAGE_HEAD]
    for (source, table), members in tables.items():
        parts.append(f"## {source}, {table}, as reported\n\n{_render_table(members)}")
    return "\n".join(parts)


def _render_table(numbers: Sequence[PublishedNumber]) -> str:
    notes = list(dict.fromkeys(note for n in numbers for note in n.notes))
    rows = list(dict.fromkeys(map(_row, numbers)))
    by_dataset = sorted(numbers, key=lambda n: (n.dataset, n.n_keypoints or 0))
    columns = list(dict.fromkeys(map(_column, by_dataset)))
    cells = {(_row(n), _column(n)): _cell(n, notes) for n in numbers}
    grid = [
        ["Method", "Cited work", "Supervision", *columns],
        *([*row, *(cells.get((row, c), "") for c in columns)] for row in rows),
    ]
    if len(columns) > len(rows):
        grid = [list(line) for line in zip(*grid, strict=True)]
    lines = [_markdown_row(grid[0]), _markdown_row(["---"] * len(grid[0]))]
    lines += [_markdown_row(line) for line in grid[1:]]
    lines += ["", _evaluator_legend(numbers)]
    if notes:
        lines += ["", *(f"{i}. {note}" for i, note in enumerate(notes, start=1))]
    return "\n".join(lines) + "\n"


def _row(number: PublishedNumber) -> tuple[str, str, str]:
    return number.method, number.method_source, number.supervision or NOT_GIVEN


def _column(number: PublishedNumber) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[number.higher_is_better]
    k = f"K = {number.n_keypoints}" if number.n_keypoints else "K not stated"
    parts = [number.dataset, number.setting, k]
    return ", ".join(p for p in parts if p) + f": {number.metric} [{number.unit}]{arrow}"


def _cell(number: PublishedNumber, notes: Sequence[str]) -> str:
    spread = "" if number.spread is None else f" ± {number.spread:f}"
    evaluator = "?" if number.evaluator == UNKNOWN else number.evaluator.partition("/")[2]
    marks = ",".join(map(str, sorted(notes.index(note) + 1 for note in number.notes)))
    return f"{number.value:f}{spread} ({evaluator})" + (f" <sup>{marks}</sup>" if marks else "")


def _evaluator_legend(numbers: Iterable[PublishedNumber]) -> str:
    known = sorted({n.evaluator for n in numbers} - {UNKNOWN})
    return " ".join([_LEGEND, *([f"Here: {', '.join(known)}."] if known else [])])


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
