"""Packed data sets in the user's cache: every image decoded once, then read through memory maps.

How one is made lies in `packing`, how it is checked in `manifest`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.api import Array, Progress, Recipe, no_progress, read_only
from kpbench.data.packing.manifest import (
    MANIFEST,
    Manifest,
    check_chunks,
    check_files,
    open_arrays,
    read_manifest,
)
from kpbench.data.source import Rows, Source
from kpbench.errors import CacheError, DataError, MissingDataError
from kpbench.files.atomic import user_cache

PACKER_VERSION = 1
"""Raised whenever the same files give other bytes."""
LIMITS: Mapping[Recipe, Mapping[str, int | None]] = {
    "smoke": {"train": 96, "test": 24},
    "quick": {"train": 1500, "test": 300},
    "standard": {"train": 5000, "test": 1000},
    "paper": {"train": None, "test": None},
}
"""Images of a part at most; they are taken evenly spaced from the whole part.

`standard` has all of Taichi, most of CUB, and of the larger sets more than enough for 20 minutes of
training: the 800,000 frames of Human3.6M would take hours to pack.
"""


@dataclass(frozen=True)
class Packed:
    """The images of a packed set, memory-mapped and read-only.

    Attributes:
        images: (N, S, S, 3) uint8.
        mask: (N, S, S) bool, or None.
        frames: (N, S, S, 3) uint8, another moment of each, or None.
        landmarks: (N, L, 2) float64, (x, y) in [0, 1], 0 where not visible; or None.
        visible: (N, L) bool; None, like landmarks, without annotation.
        groups: (N,) str, the identity shown, or None.
        activities: (N,) str, or None.
        boxes: (N, 4) float64, x, y, width and height of the object in [0, 1], or None.
        aspect: (N,) float64, width / height of what an image shows.
        names: (N,) str, the image files relative to the data set's folder.
        digest: of the files, labels and arguments; the same on every machine.
    """

    images: Array
    mask: Array | None
    frames: Array | None
    landmarks: Array | None
    visible: Array | None
    groups: Array | None
    activities: Array | None
    boxes: Array | None
    aspect: Array
    names: Array
    digest: str

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)


@dataclass(frozen=True)
class PackedSet:
    """Which packed set: all that determines its bytes, besides the files themselves.

    Attributes:
        protocol: its name.
        version: of the protocol.
        source: reads the data.
        root: folder of the data set; not needed once the set is packed.
        part: of the data set.
        limit: images at most, evenly spaced; None for all.
        pixels: side S of the images.
    """

    protocol: str
    version: int
    source: Source
    root: Path
    part: str
    limit: int | None
    pixels: int

    def describe(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "protocol": [self.protocol, self.version],
            "packer": PACKER_VERSION,
            "source": type(self.source).__qualname__,
            "arguments": dict(self.source.arguments),
            "root": str(self.root.resolve()),
            "part": self.part,
            "limit": self.limit,
            "pixels": self.pixels,
        }

    @property
    def folder(self) -> Path:
        """Where it lies in the user's cache."""
        text = json.dumps(self.describe(), sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        part = re.sub(r"[^A-Za-z0-9]+", "-", self.part)[:40]
        return user_cache() / "packed" / f"{self.protocol}-{part}-{self.pixels}px-{key}"

    def listed(self) -> Rows:
        """List the images that belong to it.

        Raises:
            MissingDataError: the folder of the data set does not exist.
            DataError: the annotation is unusable, or lists no image; names the file.
        """
        if not self.root.is_dir():
            raise MissingDataError(
                f"{self.root}, the folder of {self.protocol}, does not exist; if the data was "
                f"moved, run: kpbench data path {self.protocol} DIR"
            )
        try:
            rows = self.source.rows(self.root, self.part)
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror or error}") from error
        if len(rows) == 0:
            raise DataError(f"{self.root} has no images of the part {self.part!r}")
        return rows[evenly_spaced(len(rows), self.limit)]

    def make(self, progress: Progress = no_progress) -> None:
        """Pack the images, as far as that has not been done; see `kpbench.data.packing.packing`.

        Args:
            progress: told about images packed.

        Raises:
            MissingDataError: the folder of the data set does not exist.
            DataError: images are missing or unreadable; names the first five and how many.
            StorageError: the cache cannot be written, or has too little space; says how much.
        """
        if (self.folder / MANIFEST).exists():
            return
        from kpbench.data.packing.packing import pack

        pack(self, progress)

    def count_if_packed(self) -> int | None:
        """Return the number of images, or None when they have not been packed."""
        try:
            return read_manifest(self.folder).count
        except CacheError:
            return None

    def open(self) -> Packed:
        """Open the packed images.

        Raises:
            MissingDataError: they have not been packed; holds the command.
            CacheError: they are truncated or altered; names the file and says what to do.
        """
        manifest = self._manifest()
        check_files(self.folder, manifest)
        arrays = {k: read_only(v) for k, v in open_arrays(self.folder, manifest).items()}
        wanted = (f.name for f in fields(Packed) if f.name != "digest")
        return Packed(**{k: arrays.get(k) for k in wanted}, digest=manifest.digest)  # type: ignore[arg-type]

    def check(self, progress: Progress = no_progress) -> None:
        """Hash all chunks of the packed images.

        Args:
            progress: told about images hashed.

        Raises:
            MissingDataError: they have not been packed; holds the command.
            CacheError: they were altered; names the images.
        """
        check_chunks(self.folder, self._manifest(), progress)

    def _manifest(self) -> Manifest:
        if not (self.folder / MANIFEST).exists():
            raise MissingDataError(
                f"{self.protocol} is not packed; run: kpbench data prepare {self.protocol}"
            )
        return read_manifest(self.folder)


def evenly_spaced(n: int, limit: int | None) -> Array:
    """Return the indices of at most `limit` of n rows, evenly spaced, ascending.

    Example:
        >>> evenly_spaced(10, 4).tolist(), evenly_spaced(3, None).tolist()
        ([0, 2, 5, 7], [0, 1, 2])
    """
    if limit is None or limit >= n:
        return np.arange(n)
    return np.asarray(np.arange(limit) * n // limit)
