"""Archives: all of it or nothing, and nothing outside of the target."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpbench.errors import DataError, StorageError
from kpbench.files.archives import extract
from tests.files.test_pickles import damaged

FILES = {
    "S1/Landmarks/Posing.1/1.mat": b"labels",
    "S1/BackgroudMask/a.png": b"",
    "é b.txt": b"x" * 99,
}


def plain(name: str, size: int = 0, **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = (modes or {}).get(name, 0) << 16
            file.writestr(info, content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def members(files: dict[str, bytes]) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(plain(name, len(content)), content) for name, content in files.items()]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar(tmp_path: Path, mode: str, style: int) -> None:
    files = {f"./human_images/{name}": content for name, content in FILES.items()}
    files["human_images/" + "long" * 15 + "/" + "x" * 90] = b"name of 162 letters"
    with tarfile.open(tmp_path / "a.download", mode, format=style) as file:  # type: ignore[call-overload]
        file.addfile(plain("human_images", type=tarfile.DIRTYPE))
        for info, content in members(files):
            file.addfile(info, io.BytesIO(content))
    told: list[tuple[int, int, str]] = []
    count = extract(tmp_path / "a.download", tmp_path / "new/out", lambda *now: told.append(now))
    assert count == 4
    assert tree(tmp_path / "new/out") == {k.removeprefix("./"): v for k, v in files.items()}
    assert [now[:2] for now in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


def test_zip_into_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    archive = zipped(tmp_path / "a.zip", {"Img/": b"", **{f"Img/{k}": v for k, v in FILES.items()}})
    assert extract(archive, tmp_path / "out") == 3
    assert tree(tmp_path / "out") == {f"Img/{k}": v for k, v in FILES.items()}


def test_a_hard_link_becomes_a_copy(tmp_path: Path) -> None:
    link = plain("b/2", type=tarfile.LNKTYPE, linkname="a/1")
    archive = tar(tmp_path / "a.tar", (plain("a/1", 3), b"one"), (link, b""))
    assert extract(archive, tmp_path / "out") == 2
    assert tree(tmp_path / "out") == {"a/1": b"one", "b/2": b"one"}
    assert (tmp_path / "out/b/2").stat().st_nlink == 1


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_modes_and_owners_are_dropped(tmp_path: Path) -> None:
    program = plain("run", 2, mode=0o6777, uid=12345, gid=12345, mtime=1)
    extract(tar(tmp_path / "a.tar", (program, b"#!")), tmp_path / "a")
    extract(zipped(tmp_path / "b.zip", {"run": b"#!"}, {"run": 0o106777}), tmp_path / "b")
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat()
    for path in (tmp_path / "a/run", tmp_path / "b/run"):
        found = path.stat()
        assert stat.S_IMODE(found.st_mode) == stat.S_IMODE(usual.st_mode)
        assert (found.st_uid, found.st_gid) == (usual.st_uid, usual.st_gid)


OUTSIDE = [
    "../outside/hit",
    "a/../../outside/hit",
    "{outside}/hit",
    "//{outside}/hit",
    "..",
    "..\\outside\\hit",
    "a\\..\\..\\hit",
    "C:/hit",
    "c:hit",
    "a\x00/../../outside/hit",
    "a\nb",
]


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_outside(tmp_path: Path, kind: str, name: str) -> None:
    if kind == "tar" and "\x00" in name:
        pytest.skip("a name in a tar ends there")
    room, outside = spaces(tmp_path)
    name = name.format(outside=outside)
    files = {"first": b"1", name: b"hit", "last": b"2"}
    archive = tmp_path / f"hostile.{kind}"
    tar(archive, *members(files)) if kind == "tar" else zipped(archive, files)
    refused(archive, room, outside)


def spaces(folder: Path) -> tuple[Path, Path]:
    """Return where to extract, and a folder beside it that must stay as it is."""
    (folder / "room").mkdir()
    (folder / "outside").mkdir()
    (folder / "outside/kept").write_bytes(b"kept")
    return folder / "room", folder / "outside"


def refused(archive: Path, room: Path, outside: Path, reason: str = "refused") -> None:
    """Check that extraction fails, and leaves nothing anywhere."""
    with pytest.raises(DataError, match=rf"{archive.name}.*{reason}"):
        extract(archive, room / "out")
    assert list(room.iterdir()) == []
    assert tree(outside) == {"kept": b"kept"}
    assert not (outside.parent / "hit").exists()


def symlink(name: str, to: str) -> tuple[tarfile.TarInfo, bytes]:
    return plain(name, type=tarfile.SYMTYPE, linkname=to), b""


def hardlink(name: str, to: str) -> tuple[tarfile.TarInfo, bytes]:
    return plain(name, type=tarfile.LNKTYPE, linkname=to), b""


TRICKS: dict[str, Callable[[str], list[tuple[tarfile.TarInfo, bytes]]]] = {
    "through a link": lambda out: [symlink("a", out), (plain("a/hit", 3), b"hit")],
    "through a relative link": lambda _: [symlink("a", "../outside"), (plain("a/hit", 3), b"hit")],
    "through two links": lambda _: [
        symlink("a", "."),
        symlink("a/b", ".."),
        (plain("b/outside/hit", 3), b"hit"),
    ],
    "a file that is a link": lambda out: [symlink("a", f"{out}/kept"), (plain("a", 3), b"hit")],
    "a link inside": lambda _: [(plain("a", 3), b"one"), symlink("b", "a")],
    "a hard link outside": lambda out: [hardlink("a", f"{out}/kept"), (plain("a", 3), b"hit")],
    "a hard link above": lambda _: [hardlink("a", "../outside/kept")],
    "a hard link to nothing": lambda _: [hardlink("a", "b")],
    "a hard link to a link": lambda out: [symlink("b", f"{out}/kept"), hardlink("a", "b")],
    "a device": lambda _: [(plain("a", type=tarfile.CHRTYPE, devmajor=1, devminor=5), b"")],
    "a disk": lambda _: [(plain("a", type=tarfile.BLKTYPE), b"")],
    "a pipe": lambda _: [(plain("a", type=tarfile.FIFOTYPE), b"")],
    "a sparse file": lambda _: [(plain("a", type=tarfile.GNUTYPE_SPARSE), b"")],
    "one file twice": lambda _: [(plain("a", 1), b"1"), (plain("./a", 1), b"2")],
    "one file in two cases": lambda _: [(plain("a", 1), b"1"), (plain("A", 1), b"2")],
    "a file that is a folder": lambda _: [(plain("a", 1), b"1"), (plain("a/b", 1), b"2")],
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_of_tar_are_refused(tmp_path: Path, trick: str) -> None:
    room, outside = spaces(tmp_path)
    archive = tar(tmp_path / "hostile.tar", *TRICKS[trick](str(outside)), mode="w:gz")
    refused(archive, room, outside)


def test_tricks_of_zip_are_refused(tmp_path: Path) -> None:
    room, outside = spaces(tmp_path)
    for i, (files, modes) in enumerate(
        [
            ({"a": str(outside).encode(), "a/hit": b"hit"}, {"a": 0o120777}),
            ({"a": b"../outside/kept"}, {"a": 0o120777}),
            ({"a": b""}, {"a": 0o020666}),
            ({"a": b"1", "A": b"2"}, {}),
            ({"a": b"1", "./a": b"2"}, {}),
            ({"a": b"1", "a/b": b"2"}, {}),
        ]
    ):
        refused(zipped(tmp_path / f"hostile{i}.zip", files, modes), room, outside)


def test_what_does_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room, outside = spaces(tmp_path)
    archives = [
        zipped(tmp_path / "a.zip", {"a": bytes(5000), "b": bytes(5001)}),
        tar(tmp_path / "a.tar", *members({"a": bytes(10001)}), mode="w:xz"),
        tar(tmp_path / "b.tar", (plain("a", 5001), bytes(5001)), hardlink("b", "a")),
    ]
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000))
    for archive in archives:
        with pytest.raises(StorageError, match="has room for"):
            extract(archive, room / "out")
        assert list(room.iterdir()) == []
    assert tree(outside) == {"kept": b"kept"}


def test_a_size_that_lies_is_found(tmp_path: Path) -> None:
    room, outside = spaces(tmp_path)
    archive = zipped(tmp_path / "a.zip", {"a": bytes(1 << 20)})
    true, lie = (1 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(true, lie))
    refused(archive, room, outside, "")
    header = plain("a", 1 << 33).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "b.tar").write_bytes(header + bytes(4096))
    refused(tmp_path / "b.tar", room, outside, "")


@pytest.mark.parametrize("size", [-512, -1, -(1 << 40)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_size_below_zero_does_not_go_round_for_ever(
    tmp_path: Path, size: int, kind: bytes
) -> None:
    room, outside = spaces(tmp_path)
    header = bytearray(plain("a", type=kind).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(2048))
    refused(tmp_path / "a.tar", room, outside, "")


def test_a_header_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    header = plain("a", 1 << 34, type=tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(header + bytes(1 << 22))
    with pytest.raises(DataError, match="header of 17179869184 bytes"):
        extract(tmp_path / "a.tar.gz", tmp_path / "out")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    room, outside = spaces(tmp_path)
    files = {f"{i}": bytes([i]) * 700 for i in range(9)}
    whole = tar(tmp_path / "a.tar", *members(files)).read_bytes().rstrip(b"\0")
    for keep in (1, 511, 512, 1024, 1536, 5000, len(whole) - 1):
        (tmp_path / "b.tar").write_bytes(pack(whole[:keep]))
        refused(tmp_path / "b.tar", room, outside, "")
    packed = pack(whole + bytes(1024))
    (tmp_path / "b.tar").write_bytes(packed[: len(packed) * 2 // 3])
    refused(tmp_path / "b.tar", room, outside, "")


def test_a_damaged_member_of_a_zip_leaves_nothing(tmp_path: Path) -> None:
    room, outside = spaces(tmp_path)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", b"sound")
        file.writestr("b", b"content that will be altered")
    archive.write_bytes(archive.read_bytes().replace(b"will be", b"has bee"))
    refused(archive, room, outside, "CRC")


def test_a_target_in_use_is_left_alone(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_bytes(b"mine")
    with pytest.raises(StorageError, match="not empty"):
        extract(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"mine"}
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError):
        extract(archive, tmp_path / "link")
    with pytest.raises(StorageError):
        extract(archive, tmp_path / "a.zip")
    with pytest.raises(StorageError):
        extract(archive, tmp_path / "a.zip/below")
    assert not (tmp_path / "nowhere").exists()


def test_an_interrupted_extraction_leaves_nothing(tmp_path: Path) -> None:
    room, _ = spaces(tmp_path)

    def stop(done: int, total: int, text: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(zipped(tmp_path / "a.zip", FILES), room / "out", stop)
    assert list(room.iterdir()) == []


def test_what_is_no_archive_is_an_error(tmp_path: Path) -> None:
    for content in (
        b"",
        b"PK",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"Rar!\x1a\x07",
        b"x" * 2000,
        bytes(20),
    ):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(DataError, match=r"not a whole zip or tar|ends before"):
            extract(tmp_path / "a", tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        extract(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("archives")
    packed = tar(folder / "a.tar", *members(FILES), hardlink("l", "é b.txt"), mode="w:gz")
    open_ = tar(folder / "b.tar", *members(FILES))
    return [p.read_bytes() for p in (packed, open_, zipped(folder / "a.zip", FILES))]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_an_error_or_stays_inside(
    sound: list[bytes], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive, room = Path(folder) / "a", Path(folder) / "room"
        archive.write_bytes(damaged(data.draw(st.sampled_from(sound)), data))
        room.mkdir()
        try:
            extract(archive, room / "out")
        except (DataError, StorageError) as error:
            assert folder in str(error)
            assert list(room.iterdir()) == []
        assert {p.name for p in Path(folder).iterdir()} == {"a", "room"}
        assert not any(p.is_symlink() for p in room.rglob("*"))
