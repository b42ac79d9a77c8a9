"""Writes a table as pandas 0.20 to 1.2 pickled it, with the classes and modules of those versions.

The published Taichi labels are such files. Today's pandas cannot write them, so stand-ins under the
old names are pickled; `test_formats_pickles.py` compares the result with a file of the real pandas.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pandas  # noqa: F401  # pickling a name imports the package above it

from kpbench.contracts.types import Array


class DataFrame:
    def __init__(self, manager: BlockManager) -> None:
        self._data, self._typ, self._metadata = manager, "dataframe", list[str]()


class BlockManager:
    def __init__(self, columns: dict[str, Array]) -> None:
        kinds = {name: np.asarray(cells).dtype.str for name, cells in columns.items()}
        places = [
            [i for i, kind in enumerate(kinds.values()) if kind == block]
            for block in sorted(set(kinds.values()))
        ]
        cells = list(columns.values())
        rows = len(cells[0])
        self.axes = [_index(list(columns)), (_new_Index, _range(rows))]
        self.values = [np.stack([cells[i] for i in where]) for where in places]
        self.items = [_index([list(columns)[i] for i in where]) for where in places]
        self.places = [_slice(where) for where in places]

    def __getstate__(self) -> Any:
        blocks = [
            {"values": values, "mgr_locs": where}
            for values, where in zip(self.values, self.places, strict=True)
        ]
        axes = [_Reduced(*axis) for axis in self.axes]
        items = [_Reduced(*item) for item in self.items]
        return axes, self.values, items, {"0.14.1": {"axes": axes, "blocks": blocks}}


class Index:
    pass


class RangeIndex:
    pass


def _new_Index() -> None:  # noqa: N802
    raise NotImplementedError


def _reconstruct() -> None:
    raise NotImplementedError


class _Reduced:
    """Is pickled as the call of a function."""

    def __init__(self, function: Any, args: tuple[Any, ...]) -> None:
        self.reduced = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.reduced


OLD_NAMES: dict[str, list[Any]] = {
    "pandas.core.frame": [DataFrame],
    "pandas.core.internals.managers": [BlockManager],
    "pandas.core.indexes.base": [Index, _new_Index],
    "pandas.core.indexes.range": [RangeIndex],
    "numpy.core.multiarray": [_reconstruct],
}


def _index(names: list[str]) -> tuple[Any, tuple[Any, ...]]:
    return _new_Index, (Index, {"data": np.array(names, dtype=object), "name": None})


def _range(rows: int) -> tuple[Any, ...]:
    return RangeIndex, {"name": None, "start": 0, "stop": rows, "step": 1}


def _slice(places: list[int]) -> slice | Array:
    steps = set(np.diff(places).tolist()) or {1}
    if len(steps) > 1:
        return np.array(places)
    step = steps.pop()
    return slice(places[0], places[-1] + step, step)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is not np.ndarray:
            return NotImplemented
        flat = obj.ravel(order="K")
        data = flat.tolist() if obj.dtype == object else flat.tobytes()
        fortran = obj.flags.f_contiguous and not obj.flags.c_contiguous
        state = (1, obj.shape, obj.dtype, fortran, data)
        return _reconstruct, (np.ndarray, (0,), b"b"), state


def write_old_frame(path: Path, columns: dict[str, Array], protocol: int = 2) -> None:
    """Pickle a table in the old layout.

    Args:
        path: file to write.
        columns: {name: (N,) numbers or text, or (N, ...) arrays, which become one array a row}.
        protocol: of the pickle; old pandas wrote 2 under Python 2 and 4 under Python 3.
    """
    modules = {}
    for name, members in OLD_NAMES.items():
        modules[name] = ModuleType(name)
        for member in members:
            member.__module__ = name
            setattr(modules[name], member.__name__, member)
    cells = {name: _column(np.asarray(column)) for name, column in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with mock.patch.dict(sys.modules, modules), path.open("wb") as file:
        _Pickler(file, protocol).dump(DataFrame(BlockManager(cells)))


def _column(column: Array) -> Array:
    if column.ndim == 1 and column.dtype.kind in "biufO":
        return column
    rows = column.tolist() if column.ndim == 1 else list(map(np.ascontiguousarray, column))
    return np.fromiter(rows, object, len(rows))
