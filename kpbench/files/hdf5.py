"""HDF5 files, read without following what leads out of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError, MissingPackageError
from kpbench.files.contents import MEBI

if TYPE_CHECKING:
    import h5py

MOST = 8192 * MEBI
"""Bytes of the largest data set that is read."""
DENSEST = 1100
"""Bytes that one stored byte can unfold to: deflate reaches 1032, the others less."""
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}
"""Numbers of the filters inside the library: any other would be loaded from a plugin."""


def read_h5(path: Path, *names: str) -> dict[str, Array]:
    """Read data sets of an HDF5 file.

    Args:
        path: the file.
        names: of the data sets, "/" between groups, e.g. "pose/2d".

    Returns:
        {name: array}; text of fixed length is str.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file is missing or damaged, a data set is missing or larger than its file
            could hold, lies in another file (external or soft link, external storage, virtual data
            set), or holds neither numbers nor text of fixed length.
    """
    with _opened(path) as file:
        return {name: _read(file, name, path) for name in names}


def names_in(path: Path) -> list[str]:
    """Return the names of all data sets of an HDF5 file, sorted; links out of it are left out.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file is missing or damaged.
    """
    _need_h5py()
    import h5py

    found: list[str] = []

    def note(name: str | bytes, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(str(name))

    with _opened(path) as file:
        file.visititems(note)  # follows hard links alone, each object once
    return sorted(found)


def _need_h5py() -> None:
    """Check that h5py is there.

    Raises:
        MissingPackageError: it is not; holds the command.
    """
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise MissingPackageError('reading HDF5 needs h5py: pip install "kpbench[h5]"') from None


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    _need_h5py()
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file; see `kpbench data info` for the layout")
    try:
        with h5py.File(path, "r", locking=False) as file:  # no lock: the disk may be read-only
            yield file
    except DataError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, ValueError, TypeError
        raise DataError(f"{path}: not a whole HDF5 file: {error}") from None


def _read(file: h5py.File, name: str, path: Path) -> Array:
    import h5py

    data: Any = file
    for part in name.split("/"):
        link = data.get(part, getlink=True) if part and isinstance(data, h5py.Group) else None
        if link is None:
            known = ", ".join(sorted(map(str, file)))
            raise DataError(f"{path}: no data set {name!r}; at the top there are: {known}")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{path}: {name!r} is a link that may lead out of the file; refused")
        data = data[part]
    if not isinstance(data, h5py.Dataset):
        raise DataError(f"{path}: {name!r} is no data set")
    _check(data, f"{path}: {name!r}")
    values = np.asarray(data[()])
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _check(data: h5py.Dataset, where: str) -> None:
    """Raise unless a data set lies within its file and is of bounded size."""
    if data.is_virtual or data.external:
        raise DataError(f"{where} takes its values from other files; refused")
    settings = data.id.get_create_plist()
    filters = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
    if not filters <= _FILTERS:
        raise DataError(f"{where} is packed with a filter from a plugin; refused")
    # Text of variable length too: on some damaged files the library reads it for ever.
    if data.shape is None or data.dtype.kind not in "biufS":
        raise DataError(
            f"{where} holds {data.dtype}, neither numbers nor text of fixed length; refused"
        )
    size = data.size * data.dtype.itemsize
    if size > min(MOST, DENSEST * data.id.get_storage_size() + MEBI):
        raise DataError(
            f"{where} says {size / MEBI:,.0f} MiB, {data.id.get_storage_size():,} bytes are stored"
        )
