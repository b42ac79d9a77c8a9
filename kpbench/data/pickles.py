"""Pickled pandas tables, read without running anything that the file names.

A pickle is a program: it names functions and calls them. Here every name on a short list stands for
an inert record, which notes what it was called with, and any other name is an error. So neither
pandas nor numpy takes part in loading, files of any pandas since 0.20 can be read, and the arrays
are put together afterwards from the raw bytes.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from kpbench.api import Array
from kpbench.data.contents import MEBI, read_bytes
from kpbench.errors import DataError

MOST = 512 * MEBI
"""Bytes of the largest file that is read; Taichi's have 2 MiB."""

MANY = 1 << 16
"""Values in one cell of a table, at most; Taichi's have 36, VoxCeleb's 136."""

_NUMPY = ("numpy.core", "numpy._core")
_MANAGERS = ("pandas.core.internals", "pandas.core.internals.managers")
_INDEXES = ("pandas", "pandas.core.index", "pandas.indexes.base", "pandas.core.indexes.base")
_RANGES = ("pandas", "pandas.indexes.range", "pandas.core.indexes.range")
_NUMERIC = ("pandas", "pandas.core.index", "pandas.indexes.numeric", "pandas.core.indexes.numeric")
_ADMITTED = {
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "_reconstruct": tuple(f"{room}.multiarray" for room in _NUMPY),
    "scalar": tuple(f"{room}.multiarray" for room in _NUMPY),
    "_frombuffer": tuple(f"{room}.numeric" for room in _NUMPY),
    "DataFrame": ("pandas", "pandas.core.frame"),
    "BlockManager": _MANAGERS,
    "_unpickle_block": ("pandas._libs.internals",),
    "new_block": ("pandas.core.internals.blocks",),
    "_new_Index": _INDEXES,
    "Index": _INDEXES,
    "RangeIndex": _RANGES,
    "Int64Index": _NUMERIC,
    "StringDtype": ("pandas", "pandas.core.arrays.string_"),
    "StringArray": ("pandas.arrays", "pandas.core.arrays.string_"),
    "__pyx_unpickle_NDArrayBacked": ("pandas._libs.arrays",),
    "slice": ("builtins", "__builtin__"),
    "object": ("builtins", "__builtin__"),
    "_reconstructor": ("copyreg", "copy_reg"),
    "encode": ("_codecs",),
}
"""{name: modules it may come from, in any version of pandas, numpy and Python}."""


class _Inert:
    """Stands for a class or function that a pickle names; notes what is done with it."""

    name = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Self:  # a pickle may skip __init__, not __new__
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def kind(self) -> str:
        """Name of the class or function; that of the class for protocols 0 and 1."""
        made = self.args[0] if self.name == "_reconstructor" and self.args else None
        return str(made.name) if isinstance(made, type) and issubclass(made, _Inert) else self.name


class _RefusedError(Exception):
    """A pickle names something that is not admitted."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Inert]:
        if module not in _ADMITTED.get(name, ()):
            raise _RefusedError(f"{module}.{name}")
        return type(name, (_Inert,), {"name": name})


def read_frame(path: Path) -> dict[str, Array]:
    """Read a pickled `pandas.DataFrame`, as old or new as it may be. Neither needs nor runs pandas.

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
        _check_opcodes(data)
        loaded = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _RefusedError as refused:
        raise DataError(
            f"{path}: refused: the pickle asks for {refused}, which no table needs; loading it "
            "elsewhere could run foreign code"
        ) from None
    except Exception as error:  # a broken pickle may raise anything
        raise DataError(f"{path}: not a whole pickle: {error}") from None
    try:
        return _columns(loaded, most=64 * (len(data) + MEBI))
    except (_UnreadableError, RecursionError) as error:  # a record may hold itself
        raise DataError(f"{path}: {error}") from None


class _UnreadableError(Exception):
    """The pickle loads, but is not a table of the known layouts."""


def _check_opcodes(data: bytes) -> None:
    """Raise unless each piece is as long as it says and no memo entry is absurdly far away.

    The unpickler makes room for whatever length or memo number it reads, before it looks further.
    """
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name.endswith("PUT") and int(argument or 0) > len(data):
            raise ValueError(f"memo entry {argument} in {len(data)} bytes")


def _is(value: Any, *names: str) -> bool:
    return isinstance(value, _Inert) and value.kind in names


def _columns(frame: Any, most: int) -> dict[str, Array]:
    if not _is(frame, "DataFrame") or not isinstance(frame.state, dict):
        raise _UnreadableError("not a pickled pandas DataFrame")
    manager = frame.state.get("_mgr", frame.state.get("_data"))
    axes, blocks = _manager(manager)
    names, rows = _labels(axes[0]), _length(axes[1])
    cells: dict[int, Array] = {}
    for values, places in blocks:
        block = _block(values)
        where = _places(places, len(names))
        if block.shape != (len(where), rows):
            raise _UnreadableError(f"a block of shape {block.shape}, not {(len(where), rows)}")
        cells.update(zip(where, block, strict=True))
    if sorted(cells) != list(range(len(names))):
        raise _UnreadableError("the blocks do not hold each column once")
    return {str(name): _plain(cells[i], str(name), most) for i, name in enumerate(names)}


def _manager(manager: Any) -> tuple[Sequence[Any], Iterator[tuple[Any, Any]]]:
    """Return the axes (columns, rows), and the values and place of each block."""
    if not _is(manager, "BlockManager"):
        raise _UnreadableError("the DataFrame has no BlockManager")
    match manager:
        case _Inert(state=(_, _, _, {"0.14.1": {"axes": [_, _] as axes, "blocks": list(old)}})):
            if all(isinstance(b, dict) and {"values", "mgr_locs"} <= set(b) for b in old):
                return axes, ((b["values"], b["mgr_locs"]) for b in old)
        case _Inert(args=(tuple(new), [_, _] as axes)):
            if all(_is(b, "_unpickle_block", "new_block") and len(b.args) == 3 for b in new):
                return axes, ((b.args[0], b.args[1]) for b in new)
    raise _UnreadableError("a layout of the BlockManager that no known pandas writes")


def _block(values: Any) -> Array:
    """Return the (columns, rows) array of a block."""
    array = _array(values)
    return array[None] if array.ndim == 1 else array


def _places(places: Any, n: int) -> list[int]:
    """Return which columns a block holds."""
    if _is(places, "slice"):
        if len(places.args) != 3 or not all(v is None or type(v) is int for v in places.args):
            raise _UnreadableError("a block at no known place")
        start, stop, step = places.args
        return list(range(n))[slice(start, stop, step or None)]
    array = _array(places)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise _UnreadableError("a block at no known place")
    return [int(i) for i in array]


def _index(index: Any) -> tuple[str, dict[str, Any]]:
    if not _is(index, "_new_Index") or len(index.args) != 2:
        raise _UnreadableError("an axis that is no Index")
    kind, state = index.args
    if not isinstance(kind, type) or not isinstance(state, dict):
        raise _UnreadableError("an axis that is no Index")
    return kind.__name__, state


def _labels(index: Any) -> list[str]:
    """Return the names of the columns."""
    _, state = _index(index)
    labels = _array(state.get("data"))
    if labels.ndim != 1 or not all(isinstance(label, str) for label in labels.tolist()):
        raise _UnreadableError("the columns have no names")
    return [str(label) for label in labels]


def _length(index: Any) -> int:
    """Return the number of rows."""
    kind, state = _index(index)
    if kind != "RangeIndex":
        return len(_array(state.get("data")))
    start, stop, step = (state.get(key) for key in ("start", "stop", "step"))
    if type(start) is not int or type(stop) is not int or type(step) is not int or step == 0:
        raise _UnreadableError("an index from nowhere to nowhere")
    return len(range(start, stop, step))


def _bytes(value: Any) -> bytes:
    if _is(value, "encode") and len(value.args) == 2:  # bytes in protocol 2
        text, codec = value.args
        if isinstance(text, str) and codec in ("latin1", "latin-1"):
            return text.encode("latin1", "strict")
    if isinstance(value, str):  # bytes of Python 2
        return value.encode("latin1", "strict")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise _UnreadableError("an array without bytes")


def _dtype(value: Any) -> np.dtype[Any]:
    """Return the type of an array: numbers, bool or objects."""
    if not _is(value, "dtype") or not value.args or not isinstance(value.args[0], str):
        raise _UnreadableError("an array of unknown type")
    code = value.args[0]
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "|"
    if code[:1] == "O":
        return np.dtype(object)
    if code[:1] not in tuple("biuf") or not code[1:].isdecimal() or order not in tuple("<>|="):
        raise _UnreadableError(f"an array of type {code!r}")
    try:
        return np.dtype(f"{order}{code}")
    except TypeError:
        raise _UnreadableError(f"an array of type {code!r}") from None


def _array(value: Any) -> Array:
    """Return the array that a record describes."""
    match value:
        case _Inert(name="_reconstruct", state=(_, shape, dtype, bool(fortran), data)):
            order: Literal["C", "F"] = "F" if fortran else "C"
        case _Inert(name="_frombuffer", args=(data, dtype, shape, "C" | "F" as letter)):
            order = letter
        case _Inert(name="__pyx_unpickle_NDArrayBacked", state=(_, inner, *_)):
            return _array(inner)
        case _:
            raise _UnreadableError("something that is no array")
    kind = _dtype(dtype)
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise _UnreadableError(f"an array of shape {shape!r}")
    count = math.prod(shape)
    if kind.kind == "O":
        if not isinstance(data, list) or len(data) != count:
            raise _UnreadableError(f"an array of shape {shape} without as many objects")
        flat = np.empty(count, object)
        flat[:] = data
    else:
        raw = _bytes(data)
        if len(raw) != count * kind.itemsize:
            raise _UnreadableError(f"an array of shape {shape} in {len(raw)} bytes")
        flat = np.frombuffer(raw, kind).astype(kind.newbyteorder("="))
    return np.asarray(flat.reshape(shape, order=order))


def _plain(cells: Array, name: str, most: int) -> Array:
    """Return a column as text, numbers or stacked arrays, of no more than `most` bytes."""
    if cells.dtype != object:
        return cells
    items = [_cell(item, name) for item in cells]
    kinds = {type(item) for item in items}
    if kinds == {str}:
        size = 4 * len(items) * max(map(len, items))
    elif kinds == {np.ndarray} and len({item.shape for item in items}) == 1:
        size = len(items) * max(item.nbytes for item in items)
    elif np.ndarray in kinds or str in kinds:
        column = np.empty(len(items), object)
        column[:] = items
        return column
    else:
        size = 8 * len(items)
    if size > most:
        raise _UnreadableError(f"column {name!r} would grow to {size / MEBI:,.0f} MiB")
    return np.array(items)


def _cell(item: Any, name: str) -> Any:
    """Return one cell: text, a number, or a numeric array."""
    if isinstance(item, (str, bool, float)) or (type(item) is int and abs(item) < 1 << 63):
        return item
    if _is(item, "scalar") and len(item.args) == 2:
        kind, raw = _dtype(item.args[0]), _bytes(item.args[1])
        if kind.kind != "O" and len(raw) == kind.itemsize:
            return np.frombuffer(raw, kind)[0].item()
    if isinstance(item, (list, tuple)):
        return _numbers(item, name)
    if _is(item, "_reconstruct", "_frombuffer"):
        array = _array(item)
        return _numbers(array.tolist(), name) if array.dtype == object else array
    raise _UnreadableError(f"column {name!r} holds what is neither text nor number nor array")


def _numbers(rows: Sequence[Any], name: str) -> Array:
    """Return a list of numbers, or of equally long lists of numbers, as an array."""
    flat = [v for row in rows for v in (row if isinstance(row, (list, tuple)) else [row])][:MANY]
    nested = {len(row) if isinstance(row, (list, tuple)) else -1 for row in rows}
    if len(flat) == MANY or len(nested) > 1 or not all(type(v) in (int, float) for v in flat):
        raise _UnreadableError(f"column {name!r} holds lists that are no arrays of numbers")
    width = nested.pop() if nested else -1
    return np.array(flat).reshape(-1) if width < 0 else np.array(flat).reshape(-1, width)
