"""HDF5: numbers and text are read; nothing is read from any other file."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpbench.errors import DataError, MissingPackageError
from kpbench.files.hdf5 import (
    count_h5_files,
    names_in,
    read_h5,
    read_h5_file,
    read_h5_number,
    read_h5_table,
    read_h5_text,
)
from tests.files.test_pickles import damaged

h5py: Any = pytest.importorskip("h5py")
SECRET = 123456.75


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "secret.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.full(4, SECRET), maxshape=(None,))
    (path.parent / "secret.bin").write_bytes(np.full(4, SECRET).tobytes())
    return path


def test_reads_the_annotation_of_human36m_as_published(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((5, 32, 2))
    with h5py.File(tmp_path / "annot.h5", "w") as file:
        file["pose/2d"] = points
        file["camera"] = np.array([54138969] * 5)
        file["intrinsics/54138969"] = np.zeros(4)
        file.create_dataset("frame", data=np.arange(5), compression="gzip", shuffle=True)
        file["names"] = np.array([b"a", b"\xc3\xa9"])
    found = read_h5(tmp_path / "annot.h5", "pose/2d", "camera", "frame", "names")
    np.testing.assert_array_equal(found["pose/2d"], points)
    assert found["camera"].tolist() == [54138969] * 5
    assert found["frame"].tolist() == [0, 1, 2, 3, 4]
    assert found["names"].tolist() == ["a", "é"]
    names = ["camera", "frame", "intrinsics/54138969", "names", "pose/2d"]
    assert names_in(tmp_path / "annot.h5") == names


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["pose/2d"] = np.zeros(3)
    for name in ("pose/3d", "pose", "pose/2d/x", "", "../a"):
        with pytest.raises(DataError, match=r"a\.h5"):
            read_h5(path, name)
    with pytest.raises(DataError, match="at the top there are: pose"):
        read_h5(path, "points")
    with pytest.raises(DataError, match="no such file"):
        read_h5(tmp_path / "none.h5", "x")
    path.write_bytes(b"\x89HDF\r\n\x1a\nno more")
    with pytest.raises(DataError, match="not a whole HDF5 file"):
        names_in(path)


def hostile(file: Any, secret: Path) -> dict[str, str]:
    """Write one data set after the other that leads elsewhere; return what each is refused as."""
    file["external"] = h5py.ExternalLink(str(secret), "/x")
    file["folder"] = h5py.ExternalLink(str(secret), "/")
    file["soft"] = h5py.SoftLink("/external")
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(secret), "x", shape=(4,))
    file.create_virtual_dataset("virtual", layout)
    grow = h5py.VirtualLayout(shape=(4,), dtype="f8", maxshape=(None,))
    grow[: h5py.h5s.UNLIMITED] = h5py.VirtualSource(str(secret), "x", shape=(4,), maxshape=(None,))[
        : h5py.h5s.UNLIMITED
    ]
    file.create_virtual_dataset("growing", grow)
    raw = [(str(secret.with_suffix(".bin")), 0, 32)]
    file.create_dataset("raw", shape=(4,), dtype="f8", external=raw)
    file["opaque"] = np.array([b"cos\nsystem\n"]).astype(h5py.opaque_dtype(np.dtype("V11")))
    file["target"] = np.zeros(2)
    file["reference"] = np.array([file["target"].ref], dtype=h5py.ref_dtype)
    file["table"] = np.zeros(2, dtype=[("a", "i4"), ("b", "f8")])
    file["complex"] = np.zeros(2, dtype=complex)
    file["text"] = ["of", "any length"]
    file.create_dataset("lists", shape=(1,), dtype=h5py.vlen_dtype(int))[0] = np.arange(2)
    link, other, kind = (
        "link that may lead out",
        "values from other files",
        "neither numbers nor text",
    )
    wanted = {
        "external": link,
        "folder/x": link,
        "soft": link,
        "virtual": other,
        "raw": other,
        "growing": other,
    }
    rest = ("opaque", "reference", "table", "complex", "text", "lists")
    return wanted | dict.fromkeys(rest, kind)


class Watch:
    """Tells whether any file of a folder was opened since one last asked."""

    def __init__(self, folder: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self.handle = library.inotify_init1(os.O_NONBLOCK)
        opened = 0x20
        assert library.inotify_add_watch(self.handle, os.fsencode(folder), opened) >= 0

    def opened(self) -> bool:
        try:
            return bool(os.read(self.handle, 1 << 16))
        except BlockingIOError:
            return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux what was opened")
def test_nothing_is_read_from_any_other_file(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        wanted = hostile(file, secret)
    watch = Watch(secret.parent)
    with h5py.File(path) as file:  # the traps work: h5py walks into each
        for name in ("external", "soft", "virtual", "raw", "growing"):
            assert file[name][0] == SECRET
            assert watch.opened()
    for name, reason in wanted.items():
        with pytest.raises(DataError, match=rf"hostile\.h5: '{name}'.*{reason}") as caught:
            read_h5(path, name)
        assert str(SECRET) not in str(caught.value)
        assert not watch.opened(), name
    assert read_h5(path, "target")["target"].tolist() == [0, 0]
    assert not {"external", "folder", "soft", "folder/x"} & set(names_in(path))
    assert not watch.opened()


def test_filters_from_plugins_are_refused(tmp_path: Path) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4,))
    settings.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, ())  # bitshuffle
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, settings)
    with pytest.raises(DataError, match="plugin"):
        read_h5(tmp_path / "a.h5", "x")


def test_a_data_set_larger_than_its_file_could_hold_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", shape=(1 << 40,), dtype="f8", chunks=(1 << 10,))
        data = file.create_dataset(
            "packed", shape=(1 << 24,), dtype="u1", chunks=(1 << 20,), compression="gzip"
        )
        data[:] = 0
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match=r"bomb\.h5: 'x' says 8,388,608 MiB, 0 bytes are stored"):
        read_h5(path, "x")
    assert read_h5(path, "packed")["packed"].shape == (1 << 24,)  # honestly packed


def test_h5py_is_named_when_it_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingPackageError, match=r'pip install "kpbench\[h5\]"'):
        read_h5(tmp_path / "a.h5", "x")
    with pytest.raises(MissingPackageError):
        names_in(tmp_path / "a.h5")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("h5") / "a.h5"
    files = []
    for version in ("earliest", "latest"):
        with h5py.File(path, "w", libver=version) as file:
            file["pose/2d"] = np.zeros((3, 4, 2))
            file["names"] = np.array([b"a", b"bc"])
            file.create_dataset("frame", data=np.arange(99), chunks=(25,), compression="gzip")
        files.append(path.read_bytes())
    return files


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_an_error_or_valid(sound: list[bytes], data: st.DataObject) -> None:
    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        file.write(damaged(data.draw(st.sampled_from(sound)), data))
        file.flush()
        try:
            names_in(Path(file.name))
            found = read_h5(Path(file.name), "pose/2d", "names", "frame")
        except DataError as error:
            assert file.name in str(error)
        else:
            assert all(isinstance(values, np.ndarray) for values in found.values())


def write_files(path: Path, *, chunks: tuple[int] | None) -> list[bytes]:
    """Write rows of bytes of any length; return them."""
    draw = np.random.default_rng(0)
    rows = [draw.integers(0, 256, int(n), np.uint8).tobytes() for n in draw.integers(0, 9000, 40)]
    with h5py.File(path, "w") as file:
        kind = h5py.special_dtype(vlen=np.dtype("int8"))
        data = file.create_dataset("video0/video", (len(rows),), dtype=kind, chunks=chunks)
        for i, row in enumerate(rows):
            data[i] = np.frombuffer(row, np.int8)
    return rows


@pytest.mark.parametrize("chunks", [None, (7,)])
def test_files_of_any_length_are_read_without_the_library(
    chunks: tuple[int] | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.slp"
    rows = write_files(path, chunks=chunks)
    assert count_h5_files(path, "video0/video") == 40
    assert [read_h5_file(path, "video0/video", i) for i in range(40) if rows[i]] == [
        row for row in rows if row
    ]
    for row in (-1, 40):
        with pytest.raises(DataError, match=rf"has 40 rows, none of number {row}"):
            read_h5_file(path, "video0/video", row)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_heaps_are_errors_and_never_other_bytes(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.slp"
        write_files(path, chunks=None)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
        for row in range(0, 40, 9):
            try:
                assert len(read_h5_file(path, "video0/video", row)) <= len(content)
            except DataError:
                continue


def test_attributes_and_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["t"] = np.array([(1.5, b"ab")], [("x", "f8"), ("name", "S4")])
        file["plain"] = np.zeros(3)
        file["t"].attrs["json"] = np.bytes_("{é}".encode())
        file["t"].attrs["order"] = "BGR"
        file["t"].attrs["format_id"] = 1.25
        file["t"].attrs["broken"] = np.bytes_(b"\xff")
        file["t"].attrs["list"] = np.arange(3)
    assert read_h5_table(path, "t")["name"].tolist() == [b"ab"]
    assert (read_h5_text(path, "t", "json"), read_h5_text(path, "t", "order")) == ("{é}", "BGR")
    assert read_h5_number(path, "t", "format_id") == 1.25
    assert read_h5_text(path, "t", "gone") is None and read_h5_number(path, "t", "gone") is None
    with pytest.raises(DataError, match=r"'plain' holds float64"):
        read_h5_table(path, "plain")
    with pytest.raises(DataError, match="not UTF-8 text at byte 0"):
        read_h5_text(path, "t", "broken")
    for read in (read_h5_text, read_h5_number):
        with pytest.raises(DataError, match=r"'list' of 't' is no"):
            read(path, "t", "list")
