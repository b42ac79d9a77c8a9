"""Tables that pandas wrote to HDF5 in its "fixed" form, as DeepLabCut keeps labels beside the csv.

A table is a group: `axis0_level<i>` and `axis0_label<i>` are the rows of the header (texts, and
which of them stands in each column), `axis1` or `axis1_level<i>` and `axis1_label<i>` the paths,
`block0_values` the numbers. Nothing of it is unpickled.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kpbench.api import Array
from kpbench.data.projects.formats.three_rows import Table
from kpbench.data.projects.project import Faults, inner_path
from kpbench.errors import DataError
from kpbench.files.hdf5 import names_in, read_h5


def read_pandas_table(path: Path, individual: str = "") -> Table:
    """Read a table of labels; what a csv of three header rows says, from HDF5.

    Args:
        path: the file.
        individual: which animal, where the table has several.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file is missing or no such table; names it.
    """
    group = _group(path)
    known = [n.removeprefix(f"{group}/") for n in names_in(path) if n.startswith(f"{group}/")]
    arrays = read_h5(path, *(f"{group}/{name}" for name in known))
    kept = {name.removeprefix(f"{group}/"): value for name, value in arrays.items()}
    header = _levels(path, kept, "axis0")
    if len(header) == 4:
        header, columns = _of_individual(path, header, individual)
    elif len(header) == 3:
        columns = np.arange(len(header[0]))
    else:
        raise DataError(f"{path}: {len(header)} header rows; three or four are read")
    if len(scorers := sorted(set(header[0]))) != 1:
        raise DataError(f"{path}: labels of {len(scorers)} scorers: {', '.join(scorers)}")
    names = tuple(dict.fromkeys(header[-2]))
    if header[-1] != ["x", "y"] * len(names) or header[-2] != [n for n in names for _ in "xy"]:
        raise DataError(f"{path}: the columns should be x and y of one landmark after the other")
    values = kept.get("block0_values")
    index = _levels(path, kept, "axis1")
    n = len(index[0])
    if values is None or values.shape != (n, len(_levels(path, kept, "axis0")[0])):
        raise DataError(f"{path}: the numbers of {group} do not fit its header and its rows")
    points = values[:, columns].astype(np.float64).reshape(n, len(names), 2)
    files = ["/".join(parts) for parts in zip(*index, strict=True)]
    return Table(
        path, scorers[0], names, _checked(path, files, points), tuple(range(1, n + 1)), points
    )


def _group(path: Path) -> str:
    groups = {name.rpartition("/")[0] for name in names_in(path) if name.endswith("block0_values")}
    if len(groups) == 1:
        return groups.pop()
    raise DataError(
        f"{path}: {len(groups) or 'no'} tables of pandas in its fixed form; put the csv of the "
        "labels beside it, which DeepLabCut writes, too"
    )


def _levels(path: Path, kept: dict[str, Array], axis: str) -> list[list[str]]:
    """Return the texts of each level of an axis."""
    if axis in kept:
        return [[str(text) for text in kept[axis]]]
    numbers = sorted(int(m[1]) for name in kept if (m := re.fullmatch(rf"{axis}_level(\d+)", name)))
    found = []
    for i in numbers:
        texts, which = kept[f"{axis}_level{i}"], kept.get(f"{axis}_label{i}")
        fits = which is not None and which.dtype.kind in "iu" and len(which) and len(texts)
        if which is None or not fits or which.min() < 0 or which.max() >= len(texts):
            raise DataError(f"{path}: level {i} of {axis} is damaged")
        found.append([str(texts[j]) for j in which])
    if not found or len({len(level) for level in found}) != 1:
        raise DataError(f"{path}: {axis} is no list of names")
    return found


def _of_individual(
    path: Path, header: list[list[str]], individual: str
) -> tuple[list[list[str]], Array]:
    known = list(dict.fromkeys(header[1]))
    if individual not in known:
        raise DataError(
            f"{path}: several individuals: {', '.join(known)}; choose one, e.g. "
            f"--individual {known[0]}"
        )
    columns = np.flatnonzero(np.array(header[1]) == individual)
    return [[level[j] for j in columns] for level in header], columns


def _checked(path: Path, files: list[str], points: Array) -> tuple[str, ...]:
    faults = Faults(path)
    found: dict[str, int] = {}
    for row, written in enumerate(files, 1):
        try:
            file = inner_path(written)
        except ValueError as error:
            faults.add(f"row {row}", str(error))
            continue
        if file in found:
            faults.add(f"row {row}", f"{file} is labelled once more; first in row {found[file]}")
        found.setdefault(file, row)
    half = np.isnan(points).sum(-1) == 1
    for place in np.flatnonzero(half.any(1) | np.isinf(points).any((1, 2))):
        faults.add(f"row {place + 1}", "a landmark with one coordinate, or an infinite one")
    faults.check()
    return tuple(found)
