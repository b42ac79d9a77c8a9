"""Videos that are cut off: the file is shorter than its own parts say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """Return how many bytes a file has less than the parts at its top say.

    A decoder takes most files that were cut off for shorter ones. MP4, QuickTime, AVI and Matroska
    are known here; for any other format, and where the size was left open, it is 0.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     _ = file.write(b"RIFF" + (100).to_bytes(4, "little") + b"AVI LIST")
        ...     file.flush()
        ...     missing_bytes(Path(file.name))
        92
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        size = _size_of_part(start)
        if size is None:
            return 0
        at = 0
        while at < end:
            file.seek(at)
            length = size(file)
            if length is None:
                return 0
            at += length
    return at - end


def _size_of_part(start: bytes) -> Callable[[BinaryIO], int | None] | None:
    """Return what reads the size of a part in the format that begins so, None for another one."""
    if start[:4] == b"RIFF" and start[8:] == b"AVI ":
        return _riff
    if start[:4] == _EBML:
        return _ebml
    return _box if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") else None


def _riff(file: BinaryIO) -> int | None:
    head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    return 8 + size + size % 2 if head[:4] == b"RIFF" and size else None


def _box(file: BinaryIO) -> int | None:
    size = int.from_bytes(file.read(4), "big")
    if size == 1:
        file.read(4)
        return int.from_bytes(file.read(8), "big") or None
    return size if size >= 8 else None  # 0: to the end, whatever it is


def _ebml(file: BinaryIO) -> int | None:
    if file.read(4) not in (_EBML, _SEGMENT):
        return None
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    stored = int.from_bytes(first + file.read(width - 1), "big")
    marker = 1 << 7 * width
    size = stored - marker
    return None if size == marker - 1 else 4 + width + size  # all ones: left open
