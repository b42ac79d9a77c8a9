"""Packing a data set: all images decoded once, on all cores, straight into the final files.

Each finished chunk is noted in a journal, so that a kill loses one chunk a core at most. A lock
keeps other processes waiting, which then find the set complete; the system frees it when its holder
is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kpbench.api import Array, Progress
from kpbench.data.packing.journal import (
    note_chunk,
    plan_of,
    read_journal,
    remove_journal,
    start_journal,
)
from kpbench.data.packing.manifest import (
    MANIFEST,
    Manifest,
    hash_chunk,
    hash_chunks,
    spans,
    write_manifest,
    write_rows,
)
from kpbench.data.packing.parallel import on_all_cores
from kpbench.data.sample import Sample, read_sample
from kpbench.data.source import Rows, Source
from kpbench.errors import DataError, StorageError

if TYPE_CHECKING:
    from kpbench.data.packing.packed import PackedSet

CHUNK = 256
"""Images in a chunk."""
PROBED = 100
"""Images of which one must be readable, to learn the number of landmarks."""
SHOWN = 5
"""Broken images that an error names."""
Layout = Mapping[str, tuple[np.dtype, tuple[int, ...]]]
"""Name of an array -> type and shape."""
Failures = list[tuple[int, str]]
"""(row, what is wrong with it)."""


def pack(wanted: PackedSet, progress: Progress) -> None:
    """Pack a set, or wait until another process has done so.

    Raises:
        MissingDataError: the folder of the data set does not exist.
        DataError: images are missing or unreadable; names the first five and how many.
        StorageError: the cache cannot be written, or has too little space; says how much.
    """
    folder = wanted.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock", progress):
            if not (folder / MANIFEST).exists():
                _pack(wanted, progress)
    except OSError as error:
        raise StorageError(
            f"cannot keep packed images in {folder}: {error.strerror or error}; set KPBENCH_CACHE "
            "to a folder that can be written and has space"
        ) from error


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            progress(0, 1, "waiting for another process that packs the same images")
    try:
        yield
    finally:
        lock.release()


def _pack(wanted: PackedSet, progress: Progress) -> None:
    rows = wanted.listed()
    folder, layout = wanted.folder, _layout(wanted, rows)
    names, chunks = sorted(layout), spans(len(rows), CHUNK)
    text = f"packing {wanted.part} of {wanted.protocol}"
    finished = _begin(wanted, rows, layout, progress)
    left = [(start, stop) for start, stop in chunks if start not in finished]
    done = len(rows) - sum(stop - start for start, stop in left)
    progress(done, len(rows), text)
    tasks = [
        (folder, names, wanted.root, wanted.source, rows[start:stop], start, wanted.pixels)
        for start, stop in left
    ]
    failures: Failures = []
    with closing(on_all_cores(pack_chunk, tasks)) as results:
        for start, count, sha256, broken in results:
            failures += broken
            if not broken:
                finished[start] = sha256
                note_chunk(folder, start, sha256)
            done += count
            progress(done, len(rows), text)
    if failures:
        raise _unusable(wanted, rows, sorted(failures))
    digests = np.load(folder / "digests.npy", mmap_mode="r", allow_pickle=False)
    about = {
        name: {"dtype": kind.str, "shape": list(shape), "bytes": _path(folder, name).stat().st_size}
        for name, (kind, shape) in layout.items()
    }
    hashes = [finished[start] for start, _ in chunks]
    digest = digest_of(wanted, rows, digests)
    write_manifest(folder, Manifest(wanted.describe(), len(rows), digest, CHUNK, hashes, about))
    remove_journal(folder)


def pack_chunk(
    folder: Path, names: Sequence[str], root: Path, source: Source, rows: Rows, start: int,
    pixels: int,
) -> tuple[int, int, str, Failures]:  # fmt: skip
    """Read the images of one chunk into the arrays; runs in a process of its own.

    Args:
        folder: of the arrays.
        names: of the arrays.
        root: folder of the data set.
        source: reads it.
        rows: of this chunk.
        start: first row of the chunk in the arrays.
        pixels: side of the images.

    Returns:
        `start`, number of images, sha256 of the chunk, and which images are unusable.
    """
    # filled in memory and written at once: through a memory map, page by page, takes longer
    files = {name: np.load(_path(folder, name), mmap_mode="r") for name in names}
    arrays = {
        name: np.zeros((len(rows), *file.shape[1:]), file.dtype)
        for name, file in files.items()
        if file.dtype.kind != "U"  # text was written before
    }
    failures = []
    for i in range(len(rows)):
        try:
            _keep(arrays, i, read_sample(root, source, rows, i, pixels))
        except DataError as error:
            failures.append((start + i, str(error)))
    for name, array in arrays.items():
        write_rows(_path(folder, name), start, array)
    return start, len(rows), hash_chunk(folder, names, start, start + len(rows))[1], failures


def _keep(arrays: Mapping[str, Array], row: int, sample: Sample) -> None:
    arrays["images"][row] = sample.image
    arrays["aspect"][row] = sample.aspect
    arrays["digests"][row] = np.frombuffer(sample.digest, np.uint8)
    for name in ("mask", "frames", "landmarks", "visible"):
        if name not in arrays:
            continue
        value = getattr(sample, name)
        if value.shape != arrays[name].shape[1:]:
            found, wanted = value.shape, arrays[name].shape[1:]
            raise DataError(f"{name} of shape {found}; that of other images is {wanted}")
        arrays[name][row] = value
    if "boxes" in arrays:
        arrays["boxes"][row] = sample.box


def _layout(wanted: PackedSet, rows: Rows) -> Layout:
    """Return type and shape of all arrays; those that the part lacks are absent."""
    n, side = len(rows), wanted.pixels
    layout: dict[str, tuple[np.dtype, tuple[int, ...]]] = {
        "images": (np.dtype("|u1"), (n, side, side, 3)),
        "aspect": (np.dtype("<f8"), (n,)),
        "digests": (np.dtype("|u1"), (n, 32)),
    }
    for name, column in _texts(rows).items():
        layout[name] = (column.dtype, (n,))
    if rows.masks is not None:
        layout["mask"] = (np.dtype("|b1"), (n, side, side))
    if rows.neighbours is not None:
        layout["frames"] = (np.dtype("|u1"), (n, side, side, 3))
    if rows.boxes is not None:
        layout["boxes"] = (np.dtype("<f8"), (n, 4))
    if (landmarks := _count_landmarks(wanted, rows)) is not None:
        layout["landmarks"] = (np.dtype("<f8"), (n, landmarks, 2))
        layout["visible"] = (np.dtype("|b1"), (n, landmarks))
    return layout


def _texts(rows: Rows) -> dict[str, Array]:
    columns = {"names": rows.files, "groups": rows.groups, "activities": rows.activities}
    return {name: np.asarray(v).astype("<U") for name, v in columns.items() if v is not None}


def _count_landmarks(wanted: PackedSet, rows: Rows) -> int | None:
    if rows.landmarks is not None:
        return int(rows.landmarks.shape[1])
    if rows.labels is None:
        return None
    failures: Failures = []
    for i in range(min(len(rows), PROBED)):
        try:
            sample = read_sample(wanted.root, wanted.source, rows, i, wanted.pixels)
        except DataError as error:
            failures.append((i, str(error)))
            continue
        assert sample.landmarks is not None
        return len(sample.landmarks)
    raise _unusable(wanted, rows, failures)


def _begin(wanted: PackedSet, rows: Rows, layout: Layout, progress: Progress) -> dict[int, str]:
    """Make the files, or find which chunks are in them; return first row -> sha256."""
    folder, plan = wanted.folder, plan_of([wanted.describe(), CHUNK], rows)
    noted = read_journal(folder, plan)
    if noted is None:
        remove_journal(folder)
        _allocate(folder, layout, rows)
        noted = {}
    chunks = [span for span in spans(len(rows), CHUNK) if span[0] in noted]
    found = hash_chunks(folder, sorted(layout), chunks, progress)
    finished = {start: sha256 for start, sha256 in found.items() if noted[start] == sha256}
    start_journal(folder, plan, finished)
    return finished


def _allocate(folder: Path, layout: Layout, rows: Rows) -> None:
    """Make files of the final size, so that a full disk is known before anything is decoded."""
    for name in layout:
        _path(folder, name).unlink(missing_ok=True)
    need = sum(kind.itemsize * int(np.prod(shape)) for kind, shape in layout.values())
    free = shutil.disk_usage(folder).free
    if need > free:
        raise StorageError(
            f"packing {len(rows):,} images needs {need / 1e9:.1f} GB in {folder}, which has "
            f"{free / 1e9:.1f} GB left; set KPBENCH_CACHE to a folder with more space"
        )
    for name, (kind, shape) in layout.items():
        with _path(folder, name).open("wb") as file:
            form = {"descr": kind.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, form)
            file.flush()
            size = kind.itemsize * int(np.prod(shape))
            os.posix_fallocate(file.fileno(), file.tell(), size)
    for name, column in _texts(rows).items():
        np.load(_path(folder, name), mmap_mode="r+")[:] = column


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _unusable(wanted: PackedSet, rows: Rows, failures: Failures) -> DataError:
    first = "; ".join(text for _, text in failures[:SHOWN])
    return DataError(
        f"{len(failures)} of {len(rows)} images of {wanted.protocol} ({wanted.part}) in "
        f"{wanted.root} cannot be used: {first}{'; …' if len(failures) > SHOWN else ''}. Restore "
        f"these files and run again: what was packed is kept; all faults lists: "
        f"kpbench data verify {wanted.protocol}"
    )


def digest_of(packed: PackedSet, rows: Rows, digests: Array) -> str:
    """Return a hash of what a packed set shows, the same on every machine.

    Args:
        packed: for part, arguments and size.
        rows: of the images, N.
        digests: (N, 32) uint8, `Sample.digest` of each.
    """
    about = {k: v for k, v in packed.describe().items() if k not in ("root", "limit")}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for column in (rows.files, rows.groups, rows.activities):
        texts = [] if column is None else [str(text) for text in column]
        digest.update(json.dumps(texts).encode())
    digest.update(np.ascontiguousarray(digests).tobytes())
    return digest.hexdigest()
