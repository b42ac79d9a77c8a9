"""HDF5 files, read without following what leads out of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError, MissingPackageError
from kpbench.files.contents import MEBI
from kpbench.files.hdf5_heap import read_heap_row

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


def read_h5_table(path: Path, name: str) -> Array:
    """Read a table: a data set whose rows are numbers and texts of fixed length side by side.

    Returns:
        (N,) with named fields; texts are bytes.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: as `read_h5`.
    """
    with _opened(path) as file:
        data = _data_set(file, name, path)
        kinds = [data.dtype[field].base.kind for field in data.dtype.names or ()]
        _check(data, f"{path}: {name!r}", plain=bool(kinds) and all(k in "biufS" for k in kinds))
        return np.asarray(data[()])


def read_h5_text(path: Path, group: str, name: str) -> str | None:
    """Return a text that is an attribute of a group or data set, or None where there is none.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file is missing or damaged, has no such group, or it is no text.
    """
    value = _attribute(path, group, name, "text")
    if value is None or isinstance(value, str):
        return value
    return _decoded(value, f"{path}: {name!r} of {group!r}")


def read_h5_number(path: Path, group: str, name: str) -> float | None:
    """Return a number that is an attribute of a group, or None where there is none.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file is missing or damaged, has no such group, or it is no number.
    """
    value = _attribute(path, group, name, "number")
    return None if value is None else float(value)


def _attribute(path: Path, group: str, name: str, kind: Literal["text", "number"]) -> Any:
    """Return an attribute whose type is looked at before it is read, None where there is none."""
    with _opened(path) as file:
        kept = _found(file, group, path)
        if name not in kept.attrs:
            return None
        about = kept.attrs.get_id(name)
        if not (_is_text if kind == "text" else _is_number)(about):
            raise DataError(f"{path}: {name!r} of {group!r} is no {kind}")
        return np.asarray(kept.attrs[name]).reshape(()).item()


def _is_text(about: Any) -> bool:
    import h5py

    text = about.dtype.kind == "S" or h5py.check_string_dtype(about.dtype) is not None
    return text and about.shape in ((), (1,))


def _is_number(about: Any) -> bool:
    return about.dtype.kind in "iuf" and about.shape == ()


def count_h5_files(path: Path, name: str) -> int:
    """Return how many files are kept in a data set, one a row; see `read_h5_file`.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file or the data set is missing or damaged, or it holds no bytes.
    """
    with _opened(path) as file:
        return int(_of_bytes(file, name, path).shape[0])


def read_h5_file(path: Path, name: str, row: int) -> bytes:
    """Return one file, e.g. a PNG, of a data set that holds one a row.

    The rows have either one length, filled up with zeros, or each its own. The latter lie in heaps,
    which are read here and not by the library: on some damaged files it does so for ever.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file or the data set is missing or damaged, or has no such row.
    """
    with _opened(path) as file:
        data = _of_bytes(file, name, path)
        if not 0 <= row < data.shape[0]:
            raise DataError(f"{path}: {name!r} has {data.shape[0]} rows, none of number {row}")
        if data.dtype.kind != "O":
            _check(data, f"{path}: {name!r}")
            return np.asarray(data[row]).tobytes()
        return read_heap_row(path, file, data, row)


def _of_bytes(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    import h5py

    data = _data_set(file, name, path)
    inner = h5py.check_vlen_dtype(data.dtype) if data.dtype.kind == "O" else data.dtype
    wanted = 1 if data.dtype.kind == "O" else 2
    if inner not in (np.dtype("i1"), np.dtype("u1")) or len(data.shape or ()) != wanted:
        raise DataError(f"{path}: {name!r} holds {data.dtype}, no bytes of one file a row")
    return data


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
    data = _data_set(file, name, path)
    _check(data, f"{path}: {name!r}")
    values = np.asarray(data[()])
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _data_set(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    import h5py

    data = _found(file, name, path)
    if not isinstance(data, h5py.Dataset):
        raise DataError(f"{path}: {name!r} is no data set")
    return data


def _found(file: h5py.File, name: str, path: Path) -> Any:
    """Return a group or data set, following hard links alone."""
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
    return data


def _decoded(value: bytes, where: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text at byte {error.start}") from None


def _check(data: h5py.Dataset, where: str, plain: bool | None = None) -> None:
    """Raise unless a data set lies within its file and is of bounded size.

    Args:
        data: the data set.
        where: what it is called in an error.
        plain: whether its type is admitted; None: where it is numbers or text of fixed length.
    """
    if data.is_virtual or data.external:
        raise DataError(f"{where} takes its values from other files; refused")
    settings = data.id.get_create_plist()
    filters = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
    if not filters <= _FILTERS:
        raise DataError(f"{where} is packed with a filter from a plugin; refused")
    # Text of variable length too: on some damaged files the library reads it for ever.
    plain = data.dtype.kind in "biufS" if plain is None else plain
    if data.shape is None or not plain:
        raise DataError(
            f"{where} holds {data.dtype}, neither numbers nor text of fixed length; refused"
        )
    size = data.size * data.dtype.itemsize
    if size > min(MOST, DENSEST * data.id.get_storage_size() + MEBI):
        raise DataError(
            f"{where} says {size / MEBI:,.0f} MiB, {data.id.get_storage_size():,} bytes are stored"
        )
