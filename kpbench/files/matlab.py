"""MAT-files of versions 5 to 7.2; what is a function or an object in them is refused.

Read here and not by scipy, whose reader ends the process on some damaged files and makes an object
of what it finds before anyone can refuse it. Format: MathWorks, "MAT-File Level 5 File Format".
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError
from kpbench.files.contents import MEBI, read_bytes

MOST = 4096 * MEBI
"""Bytes of the largest file, or variable when unpacked; CUB's with all masks may have 1 GiB."""
DEEP = 32
"""Cells and structures within each other, at most."""
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4"} | {
    9: "f8",
    12: "i8",
    13: "u8",
}
"""{type of stored values: numpy's code}."""
_CODECS = {1: "latin1", 2: "latin1", 16: "utf-8"}
"""{type of stored text: codec}; UTF-16 depends on the order of bytes."""
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = {6: "f8", 7: "f8", 8: "i1", 9: "u1"} | dict.fromkeys(range(10, 16), "f8")
"""{class of a numeric array: what it becomes}."""
_LOGICAL, _COMPLEX = 0x200, 0x800
_REFUSED = {3: "an object", 5: "a sparse array", 16: "a function", 17: "an object"}


class _DamagedError(ValueError):
    """A MAT-file is not what its format says."""


@dataclass
class _Elements:
    """Reads one data element after the other, never past the end of what holds them."""

    data: memoryview
    order: str
    at: int = 0

    def next(self) -> tuple[int, memoryview]:
        """Return type and content of the next element."""
        if self.at + 8 > len(self.data):
            raise _DamagedError("it ends too early")
        kind, size = struct.unpack_from(f"{self.order}II", self.data, self.at)
        start, end = self.at + 8, self.at + 8 + size + -size % 8
        if kind >> 16:  # up to four bytes in the place of the next element's
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = self.at + 4, self.at + 8
        if start + size > min(max(end, start), len(self.data)):
            raise _DamagedError("an element is longer than what holds it")
        self.at = end
        return kind, self.data[start : start + size]

    def numbers(self) -> Array:
        """Return the numbers of the next element as they are stored."""
        kind, content = self.next()
        if kind not in _STORED or len(content) % int(_STORED[kind][1]):
            raise _DamagedError("numbers of no known type")
        return np.frombuffer(content, self.order + _STORED[kind])

    def text(self) -> str:
        """Return the text of the next element."""
        kind, content = self.next()
        utf16 = "utf-16-le" if self.order == "<" else "utf-16-be"
        codec = utf16 if kind in (4, 17) else _CODECS.get(kind)
        if codec is None:
            raise _DamagedError("text of no known type")
        return str(content, codec)


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Read variables of a MAT-file.

    Args:
        path: the file.
        names: of the variables.

    Returns:
        {name: value}. A structure is a dict; an array of structures is a list of dicts and a cell
        array a list, in MATLAB's order (columns first); text is str, several rows of it a list.
        Numbers are arrays of MATLAB's shape, a single number has shape (). They are float64, but
        for logical arrays (bool) and arrays of 8-bit integers (images, masks), which keep theirs.

    Raises:
        DataError: the file is missing, damaged or of version 7.3; a variable is missing, or is or
            holds a function, an object, or a sparse or complex array.
    """
    data = read_bytes(path, MOST)
    order = _order(data, path)
    found: dict[str, Any] = {}
    known: list[str] = []
    try:
        for content in _variables(data, order):
            elements = _Elements(content, order)
            head = _head(elements)
            known.append(head.name)
            if head.name in names:
                found[head.name] = _value(elements, head, f"{path}: {head.name}", 0)
    except (_DamagedError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path}: not a whole MAT-file: {error}") from None
    if missing := [name for name in names if name not in found]:
        there = ", ".join(filter(None, known)) or "none"
        raise DataError(f"{path}: no variable {missing[0]!r}; there are: {there}")
    return found


def _order(data: bytes, path: Path) -> str:
    """Return the order of bytes, as numpy writes it."""
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128], "")
    version = data[125:126] if order == "<" else data[124:125]
    if order and version == b"\x02":
        raise DataError(
            f"{path}: a MAT-file of version 7.3, which is HDF5; read it with "
            "kpbench.files.hdf5, or save it with -v7"
        )
    if not order or version != b"\x01":
        raise DataError(f"{path}: not a MAT-file of version 5 to 7.2")
    return order


def _variables(data: bytes, order: str) -> Iterator[memoryview]:
    """Yield the variables of a file, unpacked."""
    at, room = _HEADER, MOST
    while at < len(data):
        if at + 8 > len(data):
            raise _DamagedError("it ends too early")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        at += 8 + size
        if kind not in (_MATRIX, _COMPRESSED) or at > len(data):
            raise _DamagedError("it ends too early, or holds what is no variable")
        content = memoryview(data)[at - size : at]
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            plain = inflate.decompress(content, room)
            if not inflate.eof:
                raise _DamagedError(f"it ends too early, or unpacks to {MOST / MEBI:,.0f} MiB")
            room -= len(plain)
            kind, content = _Elements(memoryview(plain), order).next()
            if kind != _MATRIX:
                raise _DamagedError("it holds what is no variable")
        yield content


@dataclass(frozen=True)
class _Head:
    """What stands before the values of an array."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str


def _head(elements: _Elements) -> _Head:
    flags = elements.numbers()
    if flags.dtype.str[1:] != "u4" or len(flags) != 2:
        raise _DamagedError("an array without flags")
    kind = int(flags[0]) & 0xFF
    if kind == 17:  # an object of MATLAB's newer kind has no shape
        return _Head(kind, 0, (), elements.text())
    sizes = elements.numbers()
    shape = tuple(sizes.tolist())
    if sizes.dtype.str[1:] not in ("i4", "u4") or len(shape) < 2 or min(shape) < 0:
        raise _DamagedError("an array without a shape")
    return _Head(kind, int(flags[0]), shape, elements.text())


def _value(elements: _Elements, head: _Head, where: str, depth: int) -> Any:
    """Return an array in Python's types."""
    if head.kind in _REFUSED or head.flags & _COMPLEX:
        what = _REFUSED.get(head.kind, "a complex array")
        raise DataError(f"{where} is {what}, which no data set holds; refused")
    if depth > DEEP:
        raise _DamagedError(f"more than {DEEP} structures within each other")
    if head.kind == _CHAR:
        return _text(elements, head.shape)
    if head.kind == _CELL:
        count = math.prod(head.shape)
        return [_inner(elements, f"{where}{{{i + 1}}}", depth) for i in range(count)]
    if head.kind == _STRUCT:
        return _records(elements, head.shape, where, depth)
    if head.kind not in _NUMERIC:
        raise _DamagedError(f"an array of class {head.kind}")
    values = elements.numbers()
    if len(values) != math.prod(head.shape):
        raise _DamagedError(f"{len(values)} numbers in an array of shape {head.shape}")
    kind = "?" if head.flags & _LOGICAL else _NUMERIC[head.kind]
    if len(values) == 1:
        return values[0].astype("?" if kind == "?" else "f8")[()]
    return values.reshape(head.shape, order="F").astype(kind, order="C")


def _inner(elements: _Elements, where: str, depth: int) -> Any:
    """Return the next array of a cell array or structure."""
    kind, content = elements.next()
    if kind != _MATRIX:
        raise _DamagedError("a cell or field that is no array")
    if not content:
        return np.zeros((0, 0))
    inner = _Elements(content, elements.order)
    return _value(inner, _head(inner), where, depth + 1)


def _records(elements: _Elements, shape: tuple[int, ...], where: str, depth: int) -> Any:
    """Return a structure, or a list of structures."""
    width = elements.numbers()
    _, packed = elements.next()
    if width.shape != (1,) or width[0] < 1 or len(packed) % int(width[0]):
        raise _DamagedError("a structure without names")
    step = int(width[0])
    raw = [bytes(packed[i : i + step]) for i in range(0, len(packed), step)]
    fields = [str(name.partition(b"\0")[0], "utf-8") for name in raw]
    count = math.prod(shape)
    if len(set(fields)) < len(fields) or (not fields and count > 1):
        raise _DamagedError("structures without fields, or with two of one name")
    records = [
        {name: _inner(elements, f"{where}({i + 1}).{name}", depth) for name in fields}
        for i in range(count)
    ]
    return records[0] if shape == (1, 1) else records


def _text(elements: _Elements, shape: tuple[int, ...]) -> str | list[str]:
    """Return a row of text, or a list of rows."""
    text = elements.text()
    rows = shape[0]
    if len(shape) > 2 or len(text) > math.prod(shape) or (rows > 1 and len(text) % rows):
        raise _DamagedError(f"text in an array of shape {shape}")
    return text if rows <= 1 else [text[row::rows] for row in range(rows)]
