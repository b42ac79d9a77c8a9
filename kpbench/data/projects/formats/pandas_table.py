"""Tables that pandas wrote to HDF5, as DeepLabCut keeps labels beside the csv.

A table is a group, in one of two forms. "Fixed": `axis0_level<i>` and `axis0_label<i>` are the rows
of the header (texts, and which of them stands in each column), `axis1`, or levels of it, the paths,
`block0_values` the numbers. "Table": `table` has the fields `index`, the paths, and
`values_block_0`, the numbers, whose columns an attribute names, as a pickle of texts; it is read
without running anything (`kpbench.files.inert`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpbench.api import Array
from kpbench.data.projects.formats.three_rows import Table
from kpbench.data.projects.project import Faults, inner_path
from kpbench.errors import DataError
from kpbench.files.hdf5 import names_in, read_h5, read_h5_table, read_h5_text
from kpbench.files.inert import load

_COLUMNS = "values_block_0"


def read_pandas_table(path: Path, individual: str = "") -> Table:
    """Read a table of labels; what a csv of three header rows says, from HDF5.

    Args:
        path: the file.
        individual: which animal, where the table has several.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file is missing or no such table; names it.
    """
    files, header, values = _parts(path)
    if len(header) not in (3, 4) or values.shape != (len(files), len(header[0])):
        raise DataError(f"{path}: the numbers do not fit the header and the rows")
    columns = np.arange(len(header[0]))
    if len(header) == 4:
        columns = _of_individual(path, header[1], individual)
    elif individual:
        raise DataError(f"{path}: labels one animal; leave out --individual {individual}")
    scorers, parts, coords = ([level[j] for j in columns] for level in (header[0], *header[-2:]))
    if len(known := sorted(set(scorers))) != 1:
        raise DataError(f"{path}: labels of {len(known)} scorers: {', '.join(known)}")
    if "likelihood" in coords:
        raise DataError(f"{path}: has likelihoods: these are predictions, not labels")
    names = tuple(dict.fromkeys(parts))
    if coords != ["x", "y"] * len(names) or parts != [name for name in names for _ in "xy"]:
        raise DataError(f"{path}: the columns should be x and y of one landmark after the other")
    points = values[:, columns].astype(np.float64).reshape(len(files), len(names), 2)
    checked = _checked(path, files, points)
    return Table(path, known[0], names, checked, tuple(range(1, len(files) + 1)), points)


def _parts(path: Path) -> tuple[list[str], list[list[str]], Array]:
    """Return paths, rows of the header, and numbers."""
    known = names_in(path)
    fixed = [name.rpartition("/")[0] for name in known if name.endswith("/block0_values")]
    tables = [name for name in known if name.endswith("/table")]
    if len(fixed) + len(tables) != 1:
        raise DataError(
            f"{path}: {len(fixed) + len(tables) or 'no'} tables of pandas; put the csv of the "
            "labels beside it, which DeepLabCut writes, too"
        )
    return _of_fixed(path, fixed[0], known) if fixed else _of_table(path, tables[0])


def _of_fixed(
    path: Path, group: str, known: Sequence[str]
) -> tuple[list[str], list[list[str]], Array]:
    wanted = [n for n in known if re.fullmatch(rf"{group}/(axis[01]\w*|block0_values)", n)]
    kept = {name.removeprefix(f"{group}/"): v for name, v in read_h5(path, *wanted).items()}
    index = _levels(path, kept, "axis1")
    files = ["/".join(parts) for parts in zip(*index, strict=True)]
    return files, _levels(path, kept, "axis0"), kept["block0_values"]


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


def _of_table(path: Path, name: str) -> tuple[list[str], list[list[str]], Array]:
    table = read_h5_table(path, name)
    fields = table.dtype.names or ()
    if set(fields) != {"index", _COLUMNS} or table["index"].dtype.kind != "S":
        raise DataError(
            f"{path}: has the columns {', '.join(fields) or 'of no table'}; put the csv of the "
            "labels beside it, which DeepLabCut writes, too"
        )
    try:
        columns = load((read_h5_text(path, name, f"{_COLUMNS}_kind") or "").encode())
        texts = [[str(text) for text in column] for column in columns]
        header = [list(level) for level in zip(*texts, strict=True)]
        files = [text.decode("utf-8") for text in table["index"].tolist()]
    except DataError:
        raise
    except Exception as error:  # a broken pickle may raise anything
        raise DataError(f"{path}: the names of the columns are damaged: {error}") from None
    return files, header, table[_COLUMNS].reshape(len(table), -1)


def _of_individual(path: Path, individuals: Sequence[str], individual: str) -> Array:
    known = list(dict.fromkeys(individuals))
    if individual not in known:
        which = f"none called {individual!r}; it has" if individual else "several individuals"
        raise DataError(
            f"{path}: {which}: {', '.join(known)}; choose one, e.g. --individual {known[0]}"
        )
    return np.flatnonzero(np.array(individuals) == individual)


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
