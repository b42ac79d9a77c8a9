"""Annotation kept as text: csv, json, and the whitespace-separated lists of CelebA."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from kpbench.api import Array
from kpbench.data.contents import MEBI, read_text
from kpbench.errors import DataError

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
    import pandas as pd

    text = read_text(path, MOST)
    kinds = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, str)
    try:
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:  # EmptyDataError is a ValueError
        raise DataError(f"{path}: not a csv table: {error}") from None
    if missing := [name for name in kinds if name not in frame.columns]:
        known = ", ".join(map(str, frame.columns))
        raise DataError(f"{path}: line 1 names no column {missing[0]!r}; it names: {known}")
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{path}: line 2 has more cells than line 1 names columns")
    short = frame.isna().any(axis=1).to_numpy()
    if short.any():
        raise DataError(f"{path}: line {int(short.argmax()) + 2} has too few cells")
    return {
        name: _typed(frame[name].to_numpy(dtype=object), kind, f"{path}: column {name!r}")
        for name, kind in kinds.items()
    }


def _typed(cells: Array, kind: type, where: str) -> Array:
    if kind is str:
        return cells.astype(str)
    values = []
    for i, cell in enumerate(cells):
        try:
            values.append(kind(cell))
        except (ValueError, OverflowError):
            raise DataError(f"{where}, line {i + 2}: {cell!r} is no {kind.__name__}") from None
    try:
        return np.array(values, dtype=kind)
    except OverflowError:
        raise DataError(f"{where}: a number is too large") from None


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
