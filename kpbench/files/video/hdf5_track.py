"""Keypoints of a video as an HDF5 file that pandas reads, written while they are found."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Self

import numpy as np

from kpbench.errors import MissingPackageError
from kpbench.files.atomic import storing
from kpbench.files.video.tracks import COORDS, LEVELS, Rows, bodyparts

KEY = "df_with_missing"
"""Name of the table, as in DeepLabCut's files."""
_CHUNK = 256
"""Rows that lie together in the file."""


class Hdf5Track:
    """An HDF5 file in the making, in the fixed format of pandas.

    DeepLabCut's own is in pandas' table format, which only PyTables writes, with pickles inside.
    Of this one `pandas.read_hdf` makes the same table, and without pandas it is plain:
    `df_with_missing/block0_values` is (N, 3 K) float64.
    """

    def __init__(self, path: Path, scorer: str, n_keypoints: int) -> None:
        """Open the file.

        Raises:
            MissingPackageError: h5py is not installed.
            StorageError: it cannot be written.
        """
        need_h5py()
        import h5py

        self._path = path
        with storing(path):
            self._sink = _Sink(path, "w+")
        self._file = h5py.File(self._sink, "w")
        # PyTables looks for these, and takes what has not its class for something else.
        _describe(self._file, PYTABLES_FORMAT_VERSION="2.1")
        self._group = self._file.create_group(KEY)
        _describe(self._group, pandas_type="frame", encoding="UTF-8", errors="strict")
        self._group.attrs.update(ndim=2, nblocks=1)
        for axis in ("axis0", "block0_items"):
            self._columns(axis, scorer, n_keypoints)
        _describe(self._group, axis1_variety="regular")
        self._index = self._growing("axis1", (), "i8")
        _describe(self._index, kind="integer")
        self._values = self._growing("block0_values", (len(COORDS) * n_keypoints,), "f8")
        self._values.attrs["transposed"] = np.uint8(1)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file.

        Raises:
            StorageError: it cannot be written.
        """
        self._file.close()
        with storing(self._path):
            self._sink.close()
            self._sink.check()

    def add(self, rows: Rows) -> None:
        """Append rows.

        Raises:
            StorageError: they cannot be written.
        """
        end = rows.first + len(rows.points)
        for data in (self._values, self._index):
            data.resize(end, axis=0)
        self._values[rows.first :] = rows.table()
        self._index[rows.first :] = np.arange(rows.first, end)
        with storing(self._path):
            self._sink.check()

    def _columns(self, axis: str, scorer: str, n_keypoints: int) -> None:
        """Write the three levels of the names of the columns, as pandas keeps them."""
        self._group.attrs[f"{axis}_nlevels"] = len(LEVELS)
        _describe(self._group, **{f"{axis}_variety": "multi"})
        names = ([scorer], bodyparts(n_keypoints), COORDS)
        part, coordinate = np.divmod(np.arange(len(COORDS) * n_keypoints), len(COORDS))
        for level, (name, known, label) in enumerate(
            zip(LEVELS, names, (np.zeros_like(part), part, coordinate), strict=True)
        ):
            texts = self._group.create_dataset(
                f"{axis}_level{level}", data=np.char.encode(np.array(known), "utf-8")
            )
            _describe(texts, CLASS="ARRAY", VERSION="2.4", FLAVOR="numpy")
            _describe(
                texts, kind="string", name=name, nan_rep="nan", **{f"{axis}_name{name}": name}
            )
            labels = self._group.create_dataset(f"{axis}_label{level}", data=label)
            _describe(labels, CLASS="ARRAY", VERSION="2.4", FLAVOR="numpy")

    def _growing(self, name: str, width: tuple[int, ...], kind: str) -> Any:
        data = self._group.create_dataset(
            name, (0, *width), kind, maxshape=(None, *width), chunks=(_CHUNK, *width)
        )
        _describe(data, CLASS="EARRAY", VERSION="1.1", FLAVOR="numpy")
        data.attrs["EXTDIM"] = np.int32(0)
        return data


class _Sink(io.FileIO):
    """A file that remembers why it could not be written.

    HDF5 crashes the process when a file cannot be closed for want of room: it is told that all went
    well, and `check` tells the truth.
    """

    fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of some bytes, or remember why not."""
        rest = memoryview(data).cast("B")
        while rest and self.fault is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.fault = error
        return len(memoryview(data).cast("B"))

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size of the file, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.fault = self.fault or error
            return size or 0

    def check(self) -> None:
        """Raise the first fault.

        Raises:
            OSError: it could not be written.
        """
        if self.fault is not None:
            raise self.fault


def need_h5py() -> None:
    """Check that h5py is there.

    Raises:
        MissingPackageError: it is not; holds the command.
    """
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            'keypoints of videos are written as HDF5, too, by h5py: pip install "kpbench[video]"'
        ) from None


def _describe(item: Any, **texts: str) -> None:
    """Give a data set or a group attributes that PyTables takes for text."""
    import h5py

    for name, text in texts.items():
        item.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", len(text.encode())))
