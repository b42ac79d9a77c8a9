"""Archives, unpacked so that nothing lands outside the target."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from kpbench.contracts.types import Progress, no_progress
from kpbench.errors import DataError, StorageError
from kpbench.files.contents import MEBI

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,  # a method of compression that Python has not
    RuntimeError,  # encrypted
)
_PACKERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""{first bytes: opener}."""


@dataclass(frozen=True)
class _Member:
    """One file of an archive.

    Attributes:
        name: path relative to the archive's top, "/" between the parts.
        size: bytes, as the archive says.
        folder: whether it is a folder.
        same_as: the earlier file that it is a hard link to; "" if it is none.
        open: returns its bytes; only while it is the current member.
    """

    name: str
    size: int
    folder: bool
    same_as: str
    open: Callable[[], IO[bytes]]


def extract(archive: Path, target: Path, progress: Progress = no_progress) -> int:
    """Unpack a zip or tar (plain, gz, bz2, xz) into a new folder: all of it or nothing.

    Plain files are all that is written, by this function and not by the archive's rules: with the
    user's own rights, without the archive's owners, modes (set-user-id) and times. All members are
    checked before the first byte is written. A hard link within the archive becomes a copy.

    Args:
        archive: the file.
        target: folder to make; may exist if it is empty.
        progress: told (files done, files in all, name).

    Returns:
        The number of files.

    Raises:
        DataError: the archive is missing or damaged, or names a path outside the target (absolute,
            "..", drive letter), a symbolic link, a device, or the same file twice (upper and lower
            case count as the same, as they do on many disks).
        StorageError: the target is there and not empty, cannot be written, or has too little space.
    """
    if not archive.is_file():
        raise DataError(f"{archive}: no such file")
    with _writing(target):
        if target.is_symlink() or (target.exists() and any(target.iterdir())):
            raise StorageError(f"{target} is there already and not empty; remove it first")
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    count, total = _check(archive)
    if total > free:
        raise StorageError(
            f"{archive} unpacks to {total / MEBI:,.0f} MiB, but {target.parent} has room for "
            f"{free / MEBI:,.0f} MiB"
        )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as part:
        inside = Path(part) / "unpacked"
        inside.mkdir()
        files = (member for member in _members(archive) if not member.folder)
        for done, member in enumerate(files, 1):
            _write(member, inside, archive)
            progress(done, count, member.name)
        with _writing(target):
            if target.exists():
                target.rmdir()
            inside.rename(target)
    return count


def _check(archive: Path) -> tuple[int, int]:
    """Return the number of files and their bytes, when all may be unpacked."""
    sizes: dict[str, int] = {}
    folders: set[str] = set()
    for member in _members(archive):
        key = _folded(member.name)
        folders.add(key if member.folder else key.rpartition("/")[0])
        if member.folder:
            continue
        if key in sizes:
            raise DataError(f"{archive}: holds {member.name!r} twice; refused")
        size = sizes.get(_folded(member.same_as)) if member.same_as else member.size
        if size is None:
            raise DataError(f"{archive}: {member.name!r} links to {member.same_as!r}; refused")
        sizes[key] = size
    above = {"/".join(f.split("/")[:i]) for f in folders for i in range(1, f.count("/") + 2)}
    if both := above & sizes.keys():
        raise DataError(f"{archive}: {min(both)!r} is a file and a folder; refused")
    return len(sizes), sum(sizes.values())


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _name(raw: str, archive: Path) -> str:
    """Return a member's path, cleared of "." and doubled "/"."""
    outside = raw.startswith("/") or ".." in raw.split("/") or re.match(r"[A-Za-z]:", raw)
    if outside or "\\" in raw or re.search(r"[\x00-\x1f\x7f]", raw):
        raise DataError(f"{archive}: names {raw!r}, which may lie outside of the target; refused")
    return "/".join(part for part in raw.split("/") if part not in ("", "."))


def _members(archive: Path) -> Iterator[_Member]:
    """List the files and folders of an archive in its order, refusing all else."""
    with _reading(archive):
        with archive.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            yield from _in_zip(archive)
        else:
            yield from _in_tar(archive, start)


def _in_zip(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            name = _name(info.orig_filename, archive)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: {name!r} is a link or a device; refused")
            if info.flag_bits & 1:
                raise DataError(f"{archive}: {name!r} is encrypted; unpack it by hand")
            if name:
                opener = partial(packed.open, info)
                yield _Member(name, info.file_size, info.is_dir(), "", opener)


def _in_tar(archive: Path, start: bytes) -> Iterator[_Member]:
    opener = next((o for magic, o in _PACKERS.items() if start.startswith(magic)), None)
    with opener(archive) if opener else archive.open("rb") as plain:
        file = cast("IO[bytes]", _Bounded(plain, archive))
        with tarfile.open(fileobj=file, mode="r:") as tar:
            before = -1
            while (info := tar.next()) is not None:
                name = _name(info.name, archive)
                if info.size < 0 or tar.offset <= before:
                    raise DataError(f"{archive}: the header of {name!r} is damaged")
                if info.issparse() or not (info.isreg() or info.isdir() or info.islnk()):
                    raise DataError(
                        f"{archive}: {name!r} is a symbolic link, device or sparse file; refused"
                    )
                link = _name(info.linkname, archive) if info.islnk() else ""
                before = tar.offset
                cast("Any", tar).members.clear()  # or a million files take gigabytes of memory
                if name:
                    read = cast("Callable[[], IO[bytes]]", partial(tar.extractfile, info))
                    yield _Member(name, info.size, info.isdir(), link, read)
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise DataError(f"{archive}: ends before its end mark; copy it again")


class _Bounded:
    """A file for `tarfile`, which reads headers of whatever length they state in one piece."""

    def __init__(self, file: IO[bytes], archive: Path) -> None:
        self.file, self.archive = file, archive
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 2 * MEBI:
            raise DataError(f"{self.archive}: a header of {size} bytes; refused")
        return self.file.read(size)


def _write(member: _Member, inside: Path, archive: Path) -> None:
    """Write one file below the folder `inside`."""
    path = inside / member.name
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if member.same_as:
            shutil.copyfile(inside / member.same_as, path)
            return
        file = path.open("xb")
    left = member.size
    with _reading(archive), member.open() as source, file:
        while chunk := source.read(MEBI):
            left -= len(chunk)
            if left < 0:
                break
            with _writing(path):
                file.write(chunk)
                file.flush()
    if left:
        raise DataError(f"{archive}: {member.name!r} has other than the stated {member.size} bytes")


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise DataError(f"{archive}: not a whole zip or tar archive: {error}") from None


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
