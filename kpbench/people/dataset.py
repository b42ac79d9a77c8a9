"""Rendered data sets in the user's cache: made once, checked whenever they are opened.

A data set is a folder of .npy files, read through memory maps, and a manifest with their sizes and
sha256. While it is being made, finished shards lie beside them, so that a kill loses one shard at
most. Every file is written whole or not at all, and equal inputs give equal bytes, so that several
processes may make the same data set at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import IO, TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from kpbench.api import Array, Device, Progress, no_progress, read_only
from kpbench.errors import CacheError, StorageError
from kpbench.files.atomic import user_cache, write_atomically
from kpbench.people.body.assets import asset_sha256
from kpbench.people.scene.sampler import PeopleSettings, Split

if TYPE_CHECKING:
    from kpbench.people.picture.render import Chunk

GENERATOR_VERSION = 4
"""Raised whenever the same settings give other bytes."""
SHARD_CHUNKS = 16
"""Chunks in a shard: what a kill can lose."""
MANIFEST = "manifest.json"
FIELDS = ("images", "depth", "mask", "landmarks", "joints", "visible", "occluded", "groups")
SECOND_MOMENT_FIELDS = ("images",)


@dataclass(frozen=True)
class RenderedSet:
    """Which data set: everything that determines its bytes.

    Attributes:
        settings: of the generator.
        split: train, test or validation.
        count: number of images.
        pixels: width and height.
        device: class of the device that renders; others may differ in single pixels.
        moment: 0, or 1 for the second frame of every pair, of which only the images are kept.
    """

    settings: PeopleSettings
    split: Split
    count: int
    pixels: int
    device: Device = "cpu"
    moment: int = 0

    def describe(self) -> dict[str, Any]:
        """Return a JSON-serialisable description with generator version and asset hash."""
        return {
            **asdict(self),
            "clips": list(self.settings.clips(self.split)),
            "generator": GENERATOR_VERSION,
            "asset": asset_sha256(),
        }

    def fingerprint(self) -> str:
        """Return a hash of the description."""
        text = json.dumps(self.describe(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where it lies in the user's cache."""
        kind = f"{self.settings.background}-{self.split}-{self.count}x{self.pixels}px"
        moment = "-second" if self.moment else ""
        name = f"{kind}{moment}-{self.device}-{self.fingerprint()[:12]}"
        return user_cache() / "people" / name

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of its arrays."""
        return SECOND_MOMENT_FIELDS if self.moment else FIELDS


def load(wanted: RenderedSet, progress: Progress = no_progress) -> dict[str, Array]:
    """Return the arrays of a data set, memory-mapped and read-only, rendering it when missing.

    Args:
        wanted: which.
        progress: told about images rendered.

    Returns:
        Field name -> array; shapes as in `render.Chunk`, with `wanted.count` rows.

    Raises:
        CacheError: the cache is truncated or altered; names the file and what to do.
        StorageError: the cache cannot be written.
    """
    folder = wanted.folder
    if not (folder / MANIFEST).exists():
        try:
            _make(wanted, folder, progress)
        except (OSError, StorageError) as error:
            raise StorageError(
                f"cannot keep rendered images in {folder.parent}: {error}; set KPBENCH_CACHE to a "
                "folder that can be written and has space"
            ) from error
    return _open(wanted, folder)


@dataclass(frozen=True)
class Rendering:
    """How much `prepare` rendered.

    Attributes:
        images: how many; 0 when all were there.
        seconds: that it took, the start of the renderer included.
    """

    images: int
    seconds: float


def prepare(wanted: RenderedSet, progress: Progress = no_progress) -> Rendering:
    """Render a data set as far as it is missing, and check it; arguments and errors as `load`."""
    told: list[tuple[int, float]] = []

    def note(done: int, total: int, text: str) -> None:
        told.append((done, perf_counter()))
        progress(done, total, text)

    load(wanted, note)
    if not told:
        return Rendering(0, 0.0)
    (before, start), (after, end) = told[0], told[-1]
    return Rendering(after - before, end - start)


def _make(wanted: RenderedSet, folder: Path, progress: Progress) -> None:
    """Render the missing shards and assemble them; other processes may be doing the same."""
    shards = folder / "shards"
    try:
        shards.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=shards):
            pass  # nothing is rendered that could not be kept
        _render_shards(wanted, folder, progress)
        _assemble(wanted, folder)
    except (OSError, StorageError):
        # another process that finished first removes the shards, also from under our hands
        if not (folder / MANIFEST).exists():
            raise
    finally:
        if (folder / MANIFEST).exists():
            shutil.rmtree(shards, ignore_errors=True)


def _shard_path(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{number:05d}.npz"


def _chunks_per_shard(wanted: RenderedSet) -> list[range]:
    from kpbench.people.picture.render import CHUNK

    chunks = -(-wanted.count // CHUNK)
    starts = range(0, chunks, SHARD_CHUNKS)
    return [range(first, min(first + SHARD_CHUNKS, chunks)) for first in starts]


def _render_shards(wanted: RenderedSet, folder: Path, progress: Progress) -> None:
    from kpbench.people.parallel import render_chunks
    from kpbench.people.picture.render import CHUNK

    plan = _chunks_per_shard(wanted)
    missing = [i for i in range(len(plan)) if not _shard_path(folder, i).exists()]
    text = f"rendering {wanted.split} images of people"
    done = sum(len(plan[i]) for i in range(len(plan)) if i not in missing) * CHUNK
    progress(min(done, wanted.count), wanted.count, text)
    rendered = render_chunks(wanted, [chunk for i in missing for chunk in plan[i]])
    try:
        for i in missing:
            if (folder / MANIFEST).exists():
                return
            chunks = []
            for _ in plan[i]:
                chunks.append(next(rendered))
                done += CHUNK
                progress(min(done, wanted.count), wanted.count, text)
            write_atomically(_shard_path(folder, i), _packed(chunks, wanted.fields))
    finally:
        rendered.close()


def _packed(chunks: list[Chunk], fields: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    arrays = {name: np.concatenate([getattr(c, name) for c in chunks]) for name in fields}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _assemble(wanted: RenderedSet, folder: Path) -> None:
    shards = [_shard_path(folder, i) for i in range(len(_chunks_per_shard(wanted)))]
    files = {}
    for field in wanted.fields:
        path = folder / f"{field}.npy"
        handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{field}.")
        try:
            with os.fdopen(handle, "wb") as file:
                digest = _write_field(file, field, shards, wanted.count)
            Path(partial).chmod(0o644)
            files[path.name] = {"bytes": Path(partial).stat().st_size, "sha256": digest}
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    manifest = {"data": wanted.describe(), "files": files}
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=2).encode())


def _write_field(file: IO[bytes], field: str, shards: list[Path], count: int) -> str:
    """Write one array from its shards and return the sha256 of the file."""
    digest = hashlib.sha256()
    left = count
    for number, part in enumerate(_parts(field, shards)):
        if number == 0:
            header = io.BytesIO()
            form = {"descr": part.dtype.str, "fortran_order": False}
            np.lib.format.write_array_header_1_0(
                header, {**form, "shape": (count, *part.shape[1:])}
            )
            digest.update(header.getvalue())
            file.write(header.getvalue())
        data = np.ascontiguousarray(part[:left]).tobytes()
        digest.update(data)
        file.write(data)
        left -= len(part)
    return digest.hexdigest()


def _parts(field: str, shards: list[Path]) -> Iterator[Array]:
    for path in shards:
        try:
            with np.load(path, allow_pickle=False) as shard:
                yield shard[field]
        except (BadZipFile, ValueError, KeyError, EOFError) as error:
            raise CacheError(f"{path} is damaged; delete it and run again") from error


def _open(wanted: RenderedSet, folder: Path) -> dict[str, Array]:
    advice = f"delete the folder {folder} and run again to render it anew"
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        known = {
            name: (files[f"{name}.npy"]["bytes"], files[f"{name}.npy"]["sha256"])
            for name in wanted.fields
        }
    except (ValueError, KeyError, TypeError) as error:
        raise CacheError(f"{folder / MANIFEST} is damaged; {advice}") from error
    arrays = {}
    for name, (size, sha256) in known.items():
        path = folder / f"{name}.npy"
        if not path.exists():
            raise CacheError(f"{path} is missing; {advice}")
        found = path.stat()
        if found.st_size != size:
            raise CacheError(
                f"{path} is truncated or altered: {found.st_size} bytes, expected {size}; {advice}"
            )
        if _sha256(path, found.st_size, found.st_mtime_ns) != sha256:
            raise CacheError(f"{path} was altered: its sha256 is not the recorded one; {advice}")
        arrays[name] = read_only(np.load(path, mmap_mode="r"))
    return arrays


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Hash a file once a process, and again after a change of its size or time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
