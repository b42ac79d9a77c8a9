"""MAT-files (versions 5 to 7.2), read without making a function or an object of what they hold."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.api import Array
from kpbench.data.contents import MEBI, read_bytes
from kpbench.errors import DataError

MOST = 4096 * MEBI
"""Bytes of the largest file, unpacked; CUB's with all masks have about 1 GiB."""
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Read variables of a MAT-file.

    Args:
        path: the file.
        names: of the variables.

    Returns:
        {name: value}. A structure is a dict; an array of structures is a list of dicts and a cell
        array a list, in MATLAB's order (columns first); text is str. Numbers are arrays of the
        shape that MATLAB shows, a single number is an array of shape (); they are float64, but
        for logical arrays (bool) and arrays of 8-bit integers (images, masks), which keep theirs.

    Raises:
        DataError: the file is missing, damaged or of version 7.3, a variable is missing, or is or
            holds a function, an object, or a sparse or complex array.
    """
    import scipy.io

    loadmat: Any = scipy.io.loadmat  # its types know no open file

    data = _unpacked(read_bytes(path, MOST), path)
    try:
        found = loadmat(
            io.BytesIO(data), mat_dtype=True, struct_as_record=True, variable_names=names
        )
    except Exception as error:  # scipy raises nearly anything on a damaged file
        raise DataError(f"{path}: not a whole MAT-file: {error}") from None
    if missing := [name for name in names if name not in found]:
        known = ", ".join(variables_in(path)) or "none"
        raise DataError(f"{path}: no variable {missing[0]!r}; there are: {known}")
    return {name: _value(found[name], f"{path}: {name}", len(data)) for name in names}


def variables_in(path: Path) -> list[str]:
    """Return the names of the variables of a MAT-file.

    Raises:
        DataError: the file is missing, damaged or of version 7.3.
    """
    import scipy.io

    whosmat: Any = scipy.io.whosmat  # its types know no open file

    data = _unpacked(read_bytes(path, MOST), path)
    try:
        return [name for name, _, _ in whosmat(io.BytesIO(data))]
    except Exception as error:  # as loadmat
        raise DataError(f"{path}: not a whole MAT-file: {error}") from None


def _unpacked(data: bytes, path: Path) -> bytes:
    """Return the file without compression: what it unfolds to is bounded here."""
    if data[126:128] not in (b"IM", b"MI") or len(data) < _HEADER:
        raise DataError(f"{path}: not a MAT-file of version 5 to 7.3")
    order = "<" if data[126:128] == b"IM" else ">"
    if struct.unpack(f"{order}H", data[124:126])[0] >> 8 != 1:
        raise DataError(
            f"{path}: a MAT-file of version 7.3, which is HDF5; save it with -v7, or read it with "
            "kpbench.data.hdf5"
        )
    pieces, total = [data[:_HEADER]], 0
    for kind, content in _elements(data, order, path):
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            try:
                content = inflate.decompress(content, MOST - total)
            except zlib.error as error:
                raise DataError(f"{path}: damaged: {error}") from None
            if not inflate.eof:
                raise DataError(f"{path}: damaged, or unpacks to more than {MOST / MEBI:,.0f} MiB")
        else:
            content = struct.pack(f"{order}II", kind, len(content)) + content
        total += len(content)
        pieces.append(content)
    return b"".join(pieces)


def _elements(data: bytes, order: str, path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of the elements at the top of the file."""
    at = _HEADER
    while at < len(data):
        if at + 8 > len(data):
            raise DataError(f"{path}: ends in the middle of an element")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind not in (_MATRIX, _COMPRESSED) or at + 8 + size > len(data):
            raise DataError(f"{path}: ends in the middle of an element")
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size


def _value(value: Any, where: str, most: int) -> Any:
    """Return a variable in Python's types; `most`: bytes that the file has, unpacked."""
    from scipy.io.matlab import MatlabFunction, MatlabObject, MatlabOpaque

    if isinstance(value, (MatlabFunction, MatlabObject, MatlabOpaque)) or not isinstance(
        value, np.ndarray
    ):
        raise DataError(f"{where} is a function, an object or sparse; refused")
    if value.dtype.kind in "biuf":
        return _number(value)
    if value.dtype.kind == "U":
        return str(value.item()) if value.size == 1 else "" if not value.size else value
    if value.dtype.kind not in "OV" or value.size > most // 8:
        raise DataError(f"{where} holds {value.dtype} of shape {value.shape}; refused")
    items = value.ravel(order="F")
    if value.dtype.kind == "O":
        return [_value(item, f"{where}{{{i + 1}}}", most) for i, item in enumerate(items)]
    names = value.dtype.names or ()
    records = [
        {n: _value(record[n], f"{where}({i + 1}).{n}", most) for n in names}
        for i, record in enumerate(items)
    ]
    return records[0] if value.shape == (1, 1) else records


def _number(value: Array) -> Array:
    if value.size == 1:
        value = value.reshape(())
    if value.dtype.kind == "b" or (value.dtype.itemsize == 1 and value.ndim):
        return value
    return value.astype(np.float64)
