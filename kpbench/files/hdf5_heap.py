"""Rows of bytes of any length in an HDF5 file, read from its global heaps without the library.

Each row of such a data set is a length (4 bytes), the address of a heap (8), and a number (4). A
heap begins with "GCOL", a version (1), three bytes of nothing and its size (8); objects follow:
number (2), references (2), nothing (4), size (8), and the bytes, filled up to a multiple of 8.
(HDF5 File Format Specification 3.0, III.E.)
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kpbench.errors import DataError
from kpbench.files.contents import MEBI

if TYPE_CHECKING:
    import h5py

LARGEST = 256 * MEBI
"""Bytes of the largest row that is read."""
_ROW = struct.Struct("<IQI")
_HEAP = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HH4xQ")


def read_heap_row(path: Path, file: h5py.File, data: h5py.Dataset, row: int) -> bytes:
    """Return one row of a data set of rows of any length.

    Args:
        path: the file.
        file: the same, opened.
        data: of one dimension; its rows are bytes.
        row: which; there has to be such a row.

    Raises:
        DataError: the row lies in another file, is packed by a filter, or the heap is damaged.
    """
    where = f"{path}: row {row} of {data.name!r}"
    length, address, number = _ROW.unpack(_reference(path, file, data, row, where))
    if length > LARGEST:
        raise DataError(
            f"{where} says {length / MEBI:,.0f} MiB; at most {LARGEST // MEBI} are read"
        )
    with path.open("rb") as stream:
        return _object(stream, address + int(file.userblock_size), number, length, where)


def _reference(path: Path, file: h5py.File, data: h5py.Dataset, row: int, where: str) -> bytes:
    """Return the 16 bytes that are stored for a row."""
    settings = data.id.get_create_plist()
    if data.is_virtual or data.external or settings.get_nfilters():
        raise DataError(f"{where} lies in another file, or is packed by a filter; refused")
    if file.id.get_create_plist().get_sizes()[0] != 8:
        raise DataError(f"{where}: the file has no addresses of 8 bytes, which SLEAP writes")
    if data.chunks is None:
        start = data.id.get_offset()
        if start is None:
            raise DataError(f"{where} was never written")
        return _bytes_at(path, start + row * _ROW.size, where)
    first = row // data.chunks[0] * data.chunks[0]
    _, chunk = data.id.read_direct_chunk((first,))
    found: bytes = chunk[(row - first) * _ROW.size :][: _ROW.size]
    if len(found) < _ROW.size:
        raise DataError(f"{where}: its chunk is cut off")
    return found


def _bytes_at(path: Path, start: int, where: str) -> bytes:
    with path.open("rb") as stream:
        return _taken(stream, start, _ROW.size, where)


def _object(stream: IO[bytes], start: int, number: int, length: int, where: str) -> bytes:
    """Return an object of the heap that begins at `start`."""
    mark, _, size = _HEAP.unpack(_taken(stream, start, _HEAP.size, where))
    if mark != b"GCOL":
        raise DataError(f"{where}: no heap lies where it should")
    place, end = start + _HEAP.size, start + size
    while place + _OBJECT.size <= end:
        found, _, stored = _OBJECT.unpack(_taken(stream, place, _OBJECT.size, where))
        if found == number:
            if stored < length:
                break
            return _taken(stream, place + _OBJECT.size, length, where)
        if found == 0:  # the free space at the end
            break
        place += _OBJECT.size + -(-stored // 8) * 8
    raise DataError(f"{where}: its heap does not hold it whole")


def _taken(stream: IO[bytes], start: int, count: int, where: str) -> bytes:
    stream.seek(start)
    found = stream.read(count)
    if len(found) < count:
        raise DataError(f"{where}: the file ends before it")
    return found
