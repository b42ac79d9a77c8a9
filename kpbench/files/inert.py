"""Pickles loaded without running anything that they name.

A pickle is a program: it names functions and calls them. Here every name on a short list stands for
an inert record, which notes what it was called with; any other name is an error. So neither pandas
nor numpy takes part in loading, and arrays are put together afterwards from their raw bytes.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from kpbench.contracts.types import Array

DEEP = 100
"""Tuples within each other, at most."""

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


class Inert:
    """Stands for a class or function that a pickle names; notes what is done with it.

    Attributes:
        name: of the class or function.
        args: what it was called with.
        state: what it was told to restore; None if nothing.
    """

    name = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Self:
        """Note a call; not in `__init__`, which a pickle may skip."""
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        """Note a state, so that the pickle sets no attribute."""
        self.state = state

    @property
    def kind(self) -> str:
        """Name of the class or function; that of the class for protocols 0 and 1."""
        made = self.args[0] if self.name == "_reconstructor" and self.args else None
        return str(made.name) if isinstance(made, type) and issubclass(made, Inert) else self.name


class RefusedError(Exception):
    """A pickle names something that is not admitted."""


class BrokenError(ValueError):
    """A record is not what its kind needs."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[Inert]:
        if module not in _ADMITTED.get(name, ()):
            raise RefusedError(f"{module}.{name}")
        return type(name, (Inert,), {"name": name})


def load(data: bytes) -> Any:
    """Return what a pickle holds: lists, dicts, text, numbers and inert records.

    Raises:
        RefusedError: it names something that is not admitted.
        Exception: it is broken, which may show as any other error.
    """
    _check_bounds(data)
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


def _check_bounds(data: bytes) -> None:
    """Raise where the unpickler would take memory or stack without bound.

    It makes room for a length or memo number that it reads before it looks further, and the hash of
    a tuple calls itself for a tuple within. So the stack is followed here, for tuples alone.
    """
    stack: list[int] = []  # how many tuples lie within each other
    marks: list[int] = []
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == "MARK":
            marks.append(len(stack))
        elif name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        elif name.endswith("PUT") or name == "MEMOIZE":
            place = len(memo) if argument is None else int(argument)
            if place > len(data):
                raise BrokenError(f"entry {place} in {len(data)} bytes")
            memo[place] = stack[-1]
        else:
            taken = _take(stack, marks, opcode.stack_before)
            depth = memo[int(argument or 0)] if name.endswith("GET") else 0
            depth = max(taken, default=0) if name == "DUP" else depth
            depth = 1 + max(taken, default=0) if name.startswith("TUPLE") else depth
            if depth > DEEP:
                raise BrokenError(f"more than {DEEP} tuples within each other")
            stack += [depth] * len(opcode.stack_after)


def _take(stack: list[int], marks: list[int], needed: Sequence[Any]) -> list[int]:
    """Remove from the stack what an opcode needs."""
    start = len(stack) - len(needed)
    if pickletools.markobject in needed:
        start = marks.pop() - list(needed).index(pickletools.markobject)
    if start < 0:
        raise BrokenError("it takes more than there is")
    taken = stack[start:]
    del stack[start:]
    return taken


def is_record(value: Any, *kinds: str) -> bool:
    """Return whether a value is a record of one of the kinds."""
    return isinstance(value, Inert) and value.kind in kinds


def raw_bytes(value: Any) -> bytes:
    """Return bytes, as any Python pickles them."""
    if is_record(value, "encode") and len(value.args) == 2:  # bytes in protocol 2
        text, codec = value.args
        if isinstance(text, str) and codec in ("latin1", "latin-1"):
            return text.encode("latin1", "strict")
    if isinstance(value, str):  # bytes of Python 2
        return value.encode("latin1", "strict")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise BrokenError("an array without bytes")


def dtype_of(value: Any) -> np.dtype[Any]:
    """Return the type of an array: numbers, bool or objects."""
    if not is_record(value, "dtype") or not value.args or not isinstance(value.args[0], str):
        raise BrokenError("an array of unknown type")
    code = value.args[0]
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "|"
    if code[:1] == "O":
        return np.dtype(object)
    if code[:1] not in tuple("biuf") or not code[1:].isdecimal() or order not in tuple("<>|="):
        raise BrokenError(f"an array of type {code!r}")
    try:
        return np.dtype(f"{order}{code}")
    except TypeError:
        raise BrokenError(f"an array of type {code!r}") from None


def array(value: Any) -> Array:
    """Return the array that a record describes."""
    match value:
        case Inert(name="_reconstruct", state=(_, shape, dtype, bool(fortran), data)):
            order: Literal["C", "F"] = "F" if fortran else "C"
        case Inert(name="_frombuffer", args=(data, dtype, shape, "C" | "F" as letter)):
            order = letter
        case Inert(name="__pyx_unpickle_NDArrayBacked", state=(_, inner, *_)):
            return array(inner)
        case _:
            raise BrokenError("something that is no array")
    kind = dtype_of(dtype)
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise BrokenError(f"an array of shape {shape!r}")
    count = math.prod(shape)
    if kind.kind == "O":
        if not isinstance(data, list) or len(data) != count:
            raise BrokenError(f"an array of shape {shape} without as many objects")
        flat = np.fromiter(data, object, count)  # not from the list, which may hold lists
    else:
        raw = raw_bytes(data)
        if len(raw) != count * kind.itemsize:
            raise BrokenError(f"an array of shape {shape} in {len(raw)} bytes")
        flat = np.frombuffer(raw, kind).astype(kind.newbyteorder("="))
    return np.asarray(flat.reshape(shape, order=order))


def scalar(value: Any) -> bool | int | float:
    """Return the number that a record of a numpy scalar describes."""
    kind, raw = dtype_of(value.args[0]), raw_bytes(value.args[1])
    if kind.kind == "O" or len(raw) != kind.itemsize:
        raise BrokenError("a number without its bytes")
    number: bool | int | float = np.frombuffer(raw, kind)[0].item()
    return number
