"""Pickled pandas tables, old and new, read without pandas and without running what they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError
from kpbench.files.contents import MEBI, read_bytes
from kpbench.files.inert import (
    BrokenError,
    Inert,
    RefusedError,
    array,
    is_record,
    load,
    scalar,
)

MOST = 512 * MEBI
"""Bytes of the largest file that is read; Taichi's have 2 MiB."""
MANY = 1 << 16
"""Values in a list in a cell, at most; Taichi's have 36, VoxCeleb's 136."""
WIDE = 256
"""Columns of a table, at most; Taichi's has 3."""


def read_frame(path: Path) -> dict[str, Array]:
    """Read a pickled `pandas.DataFrame` of pandas 0.20 to 3. Neither needs nor runs pandas.

    Args:
        path: an uncompressed pickle, such as `taichi_train_gt.pkl` of Siarohin et al. (2020),
            "Motion Supervised Co-part Segmentation".

    Returns:
        {column: array of N rows}. A column of text is (N,) str; a column of arrays or lists of one
        shape is stacked, e.g. (N, 18, 2); of different shapes: (N,) object.

    Raises:
        DataError: the file is missing, truncated, no table, or names a class or function that a
            table does not need, which is refused.
    """
    data = read_bytes(path, MOST)
    try:
        return _columns(load(data), most=64 * (len(data) + MEBI))
    except RefusedError as refused:
        raise DataError(
            f"{path}: refused: the pickle asks for {refused}, which no table needs; loading it "
            "elsewhere could run foreign code"
        ) from None
    except Exception as error:  # a broken pickle may raise anything
        raise DataError(f"{path}: no whole pickle of a pandas DataFrame: {error}") from None


def _columns(frame: Any, most: int) -> dict[str, Array]:
    if not is_record(frame, "DataFrame") or not isinstance(frame.state, dict):
        raise BrokenError("it holds something else")
    axes, blocks = _manager(frame.state.get("_mgr", frame.state.get("_data")))
    names, rows = _labels(axes[0]), _length(axes[1])
    if len(names) > WIDE or len(set(names)) < len(names):
        raise BrokenError(f"{len(names)} columns, or two of one name")
    cells: dict[int, Array] = {}
    for values, places in blocks:
        block = array(values)
        block = block[None] if block.ndim == 1 else block  # text of pandas 3 has one axis
        where = _places(places, len(names))
        if block.shape != (len(where), rows):
            raise BrokenError(f"a block of shape {block.shape}, not {(len(where), rows)}")
        if cells.keys() & where:
            raise BrokenError("two blocks hold the same column")
        cells.update(zip(where, block, strict=True))
    if sorted(cells) != list(range(len(names))):
        raise BrokenError("a column is missing")
    return {name: _plain(cells[i], name, most) for i, name in enumerate(names)}


def _manager(manager: Any) -> tuple[Sequence[Any], Iterator[tuple[Any, Any]]]:
    """Return the axes (columns, rows), and the values and places of each block."""
    if not is_record(manager, "BlockManager"):
        raise BrokenError("no BlockManager")
    match manager:
        case Inert(state=(_, _, _, {"0.14.1": {"axes": [_, _] as axes, "blocks": list(old)}})):
            if all(isinstance(b, dict) and {"values", "mgr_locs"} <= b.keys() for b in old):
                return axes, ((b["values"], b["mgr_locs"]) for b in old)
        case Inert(args=(tuple(new), [_, _] as axes)):  # since pandas 1.3
            if all(is_record(b, "_unpickle_block") and len(b.args) == 3 for b in new):
                return axes, ((b.args[0], b.args[1]) for b in new)
    raise BrokenError("a BlockManager of a layout that no known pandas writes")


def _places(places: Any, n: int) -> list[int]:
    """Return which columns a block holds."""
    if is_record(places, "slice") and len(places.args) == 3:
        return list(range(n))[slice(*places.args)]
    found = array(places)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise BrokenError("a block in no known place")
    return [int(i) for i in found]


def _index(index: Any) -> tuple[str, dict[str, Any]]:
    """Return the kind of an axis and what it holds."""
    match index:
        case Inert(name="_new_Index", args=(type() as kind, dict() as state)):
            return kind.__name__, state
    raise BrokenError("an axis that is no Index")


def _labels(index: Any) -> list[str]:
    """Return the names of the columns."""
    _, state = _index(index)
    labels = array(state.get("data"))
    if labels.ndim != 1 or not all(isinstance(label, str) for label in labels):
        raise BrokenError("columns that have no names")
    return [str(label) for label in labels]


def _length(index: Any) -> int:
    """Return the number of rows."""
    kind, state = _index(index)
    if kind != "RangeIndex":
        return len(array(state.get("data")))
    return len(range(state["start"], state["stop"], state["step"]))


def _plain(cells: Array, name: str, most: int) -> Array:
    """Return a column as text, numbers or stacked arrays, of no more than `most` bytes."""
    if cells.dtype != object:
        return cells
    items: list[Any] = []
    size = 0
    for cell in cells:
        items.append(_cell(cell, name))
        size += getattr(items[-1], "nbytes", 64)
        if size > most:  # a few bytes can name the same large cell again and again
            raise BrokenError(f"column {name!r} grows past {most / MEBI:,.0f} MiB")
    kinds = {type(item) for item in items}
    if kinds == {str} and 4 * len(items) * max(map(len, items)) > most:
        raise BrokenError(f"column {name!r} grows past {most / MEBI:,.0f} MiB")
    one_shape = kinds == {np.ndarray} and len({item.shape for item in items}) == 1
    if kinds == {str} or kinds <= {bool, int, float} or one_shape:
        return np.array(items)
    return np.fromiter(items, object, len(items))


def _cell(item: Any, name: str) -> Any:
    """Return one cell: text, a number, or a numeric array."""
    if isinstance(item, (str, bool, float)) or (type(item) is int and abs(item) < 1 << 63):
        return item
    if is_record(item, "scalar"):
        return scalar(item)
    if isinstance(item, (list, tuple)):
        return _numbers(item, name)
    if is_record(item, "_reconstruct", "_frombuffer"):
        value = array(item)
        return _numbers(value.tolist(), name) if value.dtype == object else value
    raise BrokenError(f"column {name!r} holds what is neither text nor number nor array")


def _numbers(rows: Sequence[Any], name: str) -> Array:
    """Return a list of numbers, or of equally long lists of numbers, as an array."""
    lists = (row if isinstance(row, (list, tuple)) else [row] for row in rows)
    flat = list(islice((v for row in lists for v in row), MANY))
    widths = {len(row) if isinstance(row, (list, tuple)) else -1 for row in rows}
    usual = all(type(v) is float or (type(v) is int and abs(v) < 1 << 63) for v in flat)
    if len(flat) == MANY or len(widths) > 1 or not usual:
        raise BrokenError(f"column {name!r} holds lists that are no arrays of numbers")
    return np.array(flat) if widths <= {-1} else np.array(flat).reshape(len(rows), -1)
