"""Tables as text: csv, json, and the whitespace-separated lists of CelebA."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError
from kpbench.files.contents import MEBI, read_text

MOST = 512 * MEBI
"""Bytes of the largest table that is read; the largest published one (CelebA) has 10 MiB."""


def read_csv(path: Path, columns: Sequence[str] | Mapping[str, type]) -> dict[str, Array]:
    """Read columns of a comma-separated file whose first line names them.

    Args:
        path: the file.
        columns: names of the columns to read; all are read as text, so that a file name of digits
            keeps its zeros. A mapping says otherwise: {"filename": str, "id": int}.

    Returns:
        {name: (N,) array} in the order of `columns`.

    Raises:
        DataError: the file or a column is missing, a line has too many or too few cells, a cell is
            not of its type; names file and line.
    """
    kinds = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, str)
    lines = csv.reader(io.StringIO(read_text(path, MOST), newline=""), strict=True)
    try:
        header = next(lines, [])
        rows = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        raise DataError(f"{path}: line {lines.line_num} is not csv: {error}") from None
    if missing := [name for name in kinds if header.count(name) != 1]:
        known = ", ".join(header) or "none"
        raise DataError(f"{path}: line 1 names no column {missing[0]!r}, or two; it names: {known}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}: line {line} has {len(cells)} cells, line 1 {len(header)}")
    found: dict[str, Array] = {}
    for name, kind in kinds.items():
        place = header.index(name)
        cells = [_cell(cells[place], kind, f"{path}: line {line}, {name}") for line, cells in rows]
        found[name] = np.array(cells, dtype=kind)
    return found


def _cell(text: str, kind: type, where: str) -> Any:
    """Return a cell in its type."""
    try:
        value = kind(text)
    except ValueError:
        raise DataError(f"{where}: {text!r} is no {kind.__name__}") from None
    if kind is int and abs(value) >= 1 << 63:
        raise DataError(f"{where}: {text} is too large a number")
    return value


def read_json(path: Path) -> Any:
    """Read a json file.

    Raises:
        DataError: the file is missing, not json, or holds NaN or infinity; names file and line.
    """
    text = read_text(path, MOST)

    def refuse(name: str) -> NoReturn:
        raise DataError(f"{path}: holds {name}, which is no number of json")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno} is not json: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; nesting without end
        raise DataError(f"{path}: not json: {error}") from None


def read_words(path: Path, skip: int = 0) -> list[list[str]]:
    """Read a table of whitespace-separated words, one row a line; blank lines do not count.

    Args:
        path: the file.
        skip: lines before the table. When the first of them is a lone number, as in CelebA's
            `list_landmarks_celeba.txt`, the table must have so many rows.

    Returns:
        The words of each row; all rows have equally many.

    Raises:
        DataError: the file is missing or no text, a row has more or fewer words than the first one,
            or the table has other than the stated number of rows; names file and line.
    """
    lines = read_text(path, MOST).splitlines()
    if len(lines) < skip:
        raise DataError(f"{path}: has {len(lines)} lines, the header alone should have {skip}")
    rows: list[list[str]] = []
    for number, line in enumerate(lines[skip:], skip + 1):
        words = line.split()
        if words and rows and len(words) != len(rows[0]):
            raise DataError(
                f"{path}: line {number} has {len(words)} words, the rows before it {len(rows[0])}"
            )
        if words:
            rows.append(words)
    stated = lines[0].strip() if skip else ""
    if stated.isdecimal() and int(stated) != len(rows):
        raise DataError(f"{path}: line 1 says {stated} rows, but there are {len(rows)}")
    return rows


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    r"""Return rows as lines of csv.

    Example:
        >>> csv_text([["a, b", 1], ["c", ""]])
        '"a, b",1\nc,\n'
    """
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
