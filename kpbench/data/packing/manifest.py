"""What is noted about a packed set, and whether its files still agree with it.

A packed set is a folder of .npy files with one row an image. The manifest is written last. It tells
the type and shape of each file, the sha256 of each chunk of rows (over all files, so that chunks
are hashed on all cores), and the digest of what was packed.

Opening compares types, shapes, sizes and times of the files with those noted. Only where a time
differs, because files were touched or copied, all chunks are hashed, once, and the new times are
noted. So 40 GB open at once, and what any ordinary program alters is found; `kpbench data verify`
hashes all chunks whatever the times say.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from kpbench.api import Array, Progress, no_progress
from kpbench.data.packing.parallel import on_all_cores
from kpbench.errors import CacheError, StorageError
from kpbench.files.atomic import write_atomically

MANIFEST = "manifest.json"
TIMES = "times.json"
_checked: set[tuple[Path, tuple[tuple[str, int], ...]]] = set()
"""Folders that this process hashed, with the times that their files had."""


@dataclass(frozen=True)
class Manifest:
    """What is noted about a packed set.

    Attributes:
        data: description of the set.
        count: number of images N.
        digest: of what was packed.
        chunk: images in a chunk.
        sha256: of each chunk.
        fields: name of an array -> "dtype", "shape" and "bytes" of its file.
    """

    data: Mapping[str, Any]
    count: int
    digest: str
    chunk: int
    sha256: Sequence[str]
    fields: Mapping[str, Mapping[str, Any]]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the set complete.

    Raises:
        StorageError: the folder cannot be written.
    """
    _note_times(folder, _times(folder, manifest))
    write_atomically(folder / MANIFEST, json.dumps(asdict(manifest)).encode())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a set.

    Raises:
        CacheError: it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        found = Manifest(**json.loads(path.read_text(encoding="utf-8")))
        shapes = [
            (about["dtype"], about["bytes"], *about["shape"]) for about in found.fields.values()
        ]
        whole = all(shape[2] == found.count for shape in shapes) and bool(found.digest)
        if whole and len(found.sha256) == len(spans(found.count, found.chunk)):
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass
    raise CacheError(f"{path} is damaged; {_advice(folder)}")


def open_arrays(folder: Path, manifest: Manifest) -> dict[str, Array]:
    """Return the arrays of a set, memory-mapped, read-only.

    Raises:
        CacheError: a file is missing, truncated, or of another type or shape than noted.
    """
    arrays = {}
    for name, about in manifest.fields.items():
        path = folder / f"{name}.npy"
        try:
            size = path.stat().st_size
            if size != about["bytes"]:
                raise ValueError(f"{size} bytes, expected {about['bytes']}")
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
            form = arrays[name].dtype.str, list(arrays[name].shape)
            if form != (about["dtype"], list(about["shape"])):
                raise ValueError(f"{form}, expected {about['dtype']} {about['shape']}")
        except (OSError, ValueError, EOFError) as error:
            raise CacheError(
                f"{path} is missing, truncated or altered: {error}; {_advice(folder)}"
            ) from error
    return arrays


def check_files(folder: Path, manifest: Manifest) -> None:
    """Check the files by their times, and where these differ by their content.

    Raises:
        CacheError: a file is missing, truncated or altered.
    """
    open_arrays(folder, manifest)
    times = _times(folder, manifest)
    key = folder.resolve(), tuple(sorted(times.items()))
    if times == _noted_times(folder) or key in _checked:
        return
    check_chunks(folder, manifest)
    _checked.add(key)
    with suppress(StorageError):  # a cache that cannot be written is hashed once a process
        _note_times(folder, times)


def check_chunks(folder: Path, manifest: Manifest, progress: Progress = no_progress) -> None:
    """Hash all chunks.

    Raises:
        CacheError: a file is missing, truncated or altered; names the first images concerned.
    """
    names = open_arrays(folder, manifest)["names"]
    chunks = spans(manifest.count, manifest.chunk)
    found = hash_chunks(folder, sorted(manifest.fields), chunks, progress)
    pairs = zip(chunks, manifest.sha256, strict=True)
    altered = [start for (start, _), known in pairs if found[start] != known]
    if altered:
        raise CacheError(
            f"{folder} was altered: {len(altered)} of {len(chunks)} chunks do not have the sha256 "
            f"that was noted, first the {manifest.chunk} images from {names[altered[0]]} on; "
            f"{_advice(folder)}"
        )


def spans(count: int, chunk: int) -> list[tuple[int, int]]:
    """Return the first row of each chunk, and the row after its last.

    Example:
        >>> spans(5, 2)
        [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + chunk, count)) for start in range(0, count, chunk)]


def hash_chunks(
    folder: Path,
    names: Sequence[str],
    chunks: Sequence[tuple[int, int]],
    progress: Progress = no_progress,
) -> dict[int, str]:
    """Return first row -> sha256 of these chunks of rows, over all named arrays in order."""
    hashes: dict[int, str] = {}
    for start, sha256 in on_all_cores(hash_chunk, [(folder, names, *span) for span in chunks]):
        hashes[start] = sha256
        progress(len(hashes), len(chunks), "checking packed images")
    return hashes


def hash_chunk(folder: Path, names: Sequence[str], start: int, stop: int) -> tuple[int, str]:
    """Return `start`, and the sha256 of the rows from there to `stop` over all named arrays."""
    digest = hashlib.sha256()
    for name in names:
        with (folder / f"{name}.npy").open("rb") as file:
            row = _seek_row(file, start)
            digest.update(file.read((stop - start) * row))
    return start, digest.hexdigest()


def write_rows(path: Path, start: int, rows: Array) -> None:
    """Write rows into a .npy file that has room for them, from row `start` on."""
    with path.open("r+b") as file:
        _seek_row(file, start)
        file.write(np.ascontiguousarray(rows).data)


def _seek_row(file: IO[bytes], row: int) -> int:
    """Go to a row of a .npy file and return the number of bytes of each."""
    np.lib.format.read_magic(file)
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    size = kind.itemsize * math.prod(shape[1:])
    file.seek(row * size, os.SEEK_CUR)
    return size


def _times(folder: Path, manifest: Manifest) -> dict[str, int]:
    return {name: (folder / f"{name}.npy").stat().st_mtime_ns for name in manifest.fields}


def _noted_times(folder: Path) -> Any:
    try:
        return json.loads((folder / TIMES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _note_times(folder: Path, times: Mapping[str, int]) -> None:
    write_atomically(folder / TIMES, json.dumps(times).encode())


def _advice(folder: Path) -> str:
    return f"delete the folder {folder} and run again to pack the images anew"
