"""Tables of labels with three header rows, as DeepLabCut and Lightning Pose keep them.

The header rows are `scorer`, `bodyparts` and `coords`, and `individuals` after the first where
several animals are labelled. Then a row an image: its path, in one cell or in three (folder, video,
file), and x and y of each landmark; empty: not labelled.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpbench.api import Array
from kpbench.data.projects.project import Faults, inner_path
from kpbench.errors import DataError
from kpbench.files.contents import read_text
from kpbench.files.tables import MOST

HEADER = ("scorer", "individuals", "bodyparts", "coords")
MISSING = frozenset({"", "nan", "NaN", "NA", "None"})


@dataclass(frozen=True)
class Table:
    """The labels of one file.

    Attributes:
        path: the file.
        scorer: who labelled; "" where the header leaves it out.
        names: of the L landmarks.
        files: of the images, as they are written, "/" between the parts.
        lines: of the images.
        points: (N, L, 2) float64 in the tool's pixels, NaN where not labelled.
    """

    path: Path
    scorer: str
    names: tuple[str, ...]
    files: tuple[str, ...]
    lines: tuple[int, ...]
    points: Array

    def column(self, landmark: int) -> str:
        """Return how a column is called in an error."""
        return f"column {self.names[landmark]}"


def read_table(path: Path, individual: str = "") -> Table:
    """Read a table of labels.

    Args:
        path: the csv file.
        individual: which animal, where the table has several.

    Raises:
        DataError: the file is missing or not such a table; names file, line and column.
    """
    lines = csv.reader(io.StringIO(read_text(path, MOST), newline=""), strict=True)
    try:
        cells = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path}: line {lines.line_num} is not csv: {error}") from None
    heads, rest = _heads(path, cells)
    depth = _index_depth(heads)
    wanted = _columns(path, heads, depth, individual)
    return _filled(path, heads, rest, depth, wanted)


Heads = Mapping[str, tuple[int, list[str]]]
"""Name of a header row -> its line and its cells."""


def _heads(
    path: Path, cells: Sequence[tuple[int, list[str]]]
) -> tuple[Heads, Sequence[tuple[int, list[str]]]]:
    if not cells:
        raise DataError(f"{path}: the file is empty")
    heads: dict[str, tuple[int, list[str]]] = {}
    for line, row in cells[:4]:
        if row[0].strip() in HEADER:
            heads[row[0].strip()] = (line, [cell.strip() for cell in row])
    for name in ("scorer", "bodyparts", "coords"):
        if name not in heads:
            raise DataError(
                f"{path}: line {min(len(heads) + 1, 3)}: no header row {name!r}; the first three "
                "rows begin with scorer, bodyparts and coords"
            )
    width = len(heads["coords"][1])
    for name, (line, row) in heads.items():
        if len(row) != width:
            raise DataError(f"{path}: line {line}: {name} has {len(row)} cells, coords {width}")
    return heads, cells[len(heads) :]


def _index_depth(heads: Heads) -> int:
    """Return how many cells the path of an image takes: 1 or 3."""
    _, coords = heads["coords"]
    return next((i for i, cell in enumerate(coords) if i and cell), 1)


def _columns(path: Path, heads: Heads, depth: int, individual: str) -> dict[str, int]:
    """Return landmark -> index of its x; its y follows."""
    line, coords = heads["coords"]
    if "likelihood" in coords:
        raise DataError(f"{path}: line {line}: has likelihoods: these are predictions, not labels")
    if (len(coords) - depth) % 2:
        raise DataError(
            f"{path}: line {line}: {len(coords) - depth} columns of coordinates, an odd number"
        )
    for i in range(depth, len(coords), 2):
        if coords[i : i + 2] != ["x", "y"]:
            raise DataError(f"{path}: line {line}: column {i + 1} should be x and the next one y")
    _one_scorer(path, heads, depth)
    kept = _of_individual(path, heads, depth, individual)
    line, parts = heads["bodyparts"]
    found: dict[str, int] = {}
    for i in kept:
        if not parts[i] or parts[i] != parts[i + 1]:
            raise DataError(
                f"{path}: line {line}: columns {i + 1} and {i + 2} should name one landmark"
            )
        if parts[i] in found:
            raise DataError(f"{path}: line {line}: column {i + 1} names {parts[i]} once more")
        found[parts[i]] = i
    if not found:
        raise DataError(f"{path}: line {line}: names no landmark")
    return found


def _one_scorer(path: Path, heads: Heads, depth: int) -> None:
    line, row = heads["scorer"]
    if len(scorers := sorted({cell for cell in row[depth:] if cell})) > 1:
        raise DataError(
            f"{path}: line {line}: labels of {len(scorers)} scorers side by side: "
            f"{', '.join(scorers)}; keep one in a file"
        )


def _of_individual(path: Path, heads: Heads, depth: int, individual: str) -> list[int]:
    every = list(range(depth, len(heads["coords"][1]), 2))
    if "individuals" not in heads:
        if individual:
            raise DataError(f"{path}: labels one animal; leave out --individual {individual}")
        return every
    line, row = heads["individuals"]
    known = list(dict.fromkeys(row[i] for i in every))
    if individual not in known:
        which = f"none called {individual!r}; it has" if individual else "several individuals"
        raise DataError(
            f"{path}: line {line}: {which}: {', '.join(known)}; choose one, e.g. "
            f"--individual {known[0]}"
        )
    return [i for i in every if row[i] == individual]


def _filled(
    path: Path,
    heads: Heads,
    rest: Sequence[tuple[int, list[str]]],
    depth: int,
    wanted: Mapping[str, int],
) -> Table:
    faults = Faults(path)
    points = np.full((len(rest), len(wanted), 2), np.nan)
    files, lines = [], []
    seen: dict[str, int] = {}
    width = len(heads["coords"][1])
    for row, (line, cells) in enumerate(rest):
        if len(cells) != width:
            faults.add(f"line {line}", f"{len(cells)} cells, the header has {width}")
            continue
        try:
            file = inner_path("/".join(cell.strip() for cell in cells[:depth]))
        except ValueError as error:
            faults.add(f"line {line}, column 1", str(error))
            continue
        if file in seen:
            faults.add(f"line {line}", f"{file} is labelled once more; first in line {seen[file]}")
        seen.setdefault(file, line)
        files.append(file)
        lines.append(line)
        for i, (name, column) in enumerate(wanted.items()):
            where = f"line {line}, column {column + 1} ({name})"
            points[row, i] = _point(cells[column : column + 2], faults, where)
    faults.check()
    scorers = [cell for cell in heads["scorer"][1][depth:] if cell]
    return Table(path, (scorers or [""])[0], tuple(wanted), tuple(files), tuple(lines), points)


def _point(cells: Sequence[str], faults: Faults, where: str) -> tuple[float, float]:
    texts = [cell.strip() for cell in cells]
    missing = [text in MISSING for text in texts]
    if all(missing):
        return math.nan, math.nan
    if any(missing):
        faults.add(where, f"has {'y' if missing[0] else 'x'} and no {'x' if missing[0] else 'y'}")
        return math.nan, math.nan
    try:
        x, y = float(texts[0]), float(texts[1])
    except ValueError:
        faults.add(where, f"{texts[0]!r}, {texts[1]!r} are not two numbers")
        return math.nan, math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        faults.add(where, f"{texts[0]}, {texts[1]} is no place")
        return math.nan, math.nan
    return x, y
