"""MAT-files: equal to scipy's reading of sound files; hostile and damaged ones are errors."""

from __future__ import annotations

import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from kpbench.errors import DataError
from kpbench.files.matlab import read_mat
from tests.files.test_pickles import damaged

loadmat: Any = scipy.io.loadmat


def cub(n: int = 3) -> np.ndarray[Any, Any]:
    """Return the `images` of CMR's CUB annotation: a 1 x N array of structures."""
    fields = ("id", "rel_path", "bbox", "parts", "mask", "class_id", "test")
    images = np.zeros((1, n), dtype=[(name, object) for name in fields])
    rng = np.random.default_rng(0)
    for i in range(n):
        box = {"x1": 60 + i, "y1": 27.5, "x2": 385, "y2": 331}
        parts = np.vstack([rng.integers(1, 300, (2, 15)), rng.integers(0, 2, (1, 15))])
        mask = rng.random((5, 7)) > 0.5
        images[0, i] = (i, f"001.Black/{i}.jpg", box, parts, mask, np.uint8(1), i == 2)
    return images


def same(mine: Any, scipys: Any) -> bool:
    """Return whether a value is what scipy's array says."""
    if scipys.dtype.names:
        records = [mine] if isinstance(mine, dict) else mine
        pairs = zip(records, scipys.ravel("F"), strict=True)
        return all(same(mine[name], record[name]) for mine, record in pairs for name in mine)
    if scipys.dtype == object:
        return all(same(m, s) for m, s in zip(mine, scipys.ravel("F"), strict=True))
    if scipys.dtype.kind == "U":
        return bool(
            mine == ("" if not scipys.size else scipys[0] if len(scipys) == 1 else [*scipys])
        )
    shape = () if scipys.size == 1 else scipys.shape
    return np.shape(mine) == shape and np.array_equal(mine, scipys.reshape(shape), equal_nan=True)


@pytest.mark.parametrize("compressed", [True, False])
def test_reads_cub_as_published(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "train_cub_cleaned.mat"
    scipy.io.savemat(path, {"images": cub(), "other": 1}, do_compression=compressed)
    images = read_mat(path, "images")["images"]
    assert same(images, loadmat(path)["images"])
    assert [image["rel_path"] for image in images] == [f"001.Black/{i}.jpg" for i in range(3)]
    assert images[1]["bbox"] == {"x1": 61, "y1": 27.5, "x2": 385, "y2": 331}
    assert images[0]["parts"].shape == (3, 15)
    assert images[0]["parts"].dtype == np.float64
    assert images[0]["mask"].dtype == bool
    assert images[0]["class_id"] - 2 == -1  # a single byte counts as any number


def test_reads_human36m_as_published(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((32, 2))
    scipy.io.savemat(tmp_path / "a.mat", {"keypoints_2d": points})
    found = read_mat(tmp_path / "a.mat", "keypoints_2d")["keypoints_2d"]
    np.testing.assert_array_equal(found, points)
    assert found.flags.writeable


def test_integers_cannot_wrap(tmp_path: Path) -> None:
    values = {
        "a": np.arange(4, dtype=np.uint16),
        "b": np.array([[200]], np.uint8),
        "c": np.array([[7, 8]]),
    }
    scipy.io.savemat(tmp_path / "a.mat", values)
    found = read_mat(tmp_path / "a.mat", *values)
    assert (found["a"] - 1).tolist() == [[-1, 0, 1, 2]]
    assert found["b"] + 100 == 300
    assert {v.dtype for v in found.values()} == {np.dtype(float)}


def test_an_image_keeps_its_type(tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    scipy.io.savemat(tmp_path / "a.mat", {"image": image})
    found = read_mat(tmp_path / "a.mat", "image")["image"]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, image)


PUBLISHED = sorted(Path(scipy.io.__file__).parent.glob("matlab/tests/data/*.mat"))
"""Files that versions 4 to 7.4 of MATLAB wrote; some distributions of scipy leave them out."""
ODD = ("duplicate", "empty_struct", "broken", "corrupted", "malformed", "bad_", "debigged", "mat4")


@pytest.mark.skipif(not PUBLISHED, reason="this scipy comes without its test files")
def test_agrees_with_scipy_on_files_that_matlab_wrote() -> None:
    agreed = 0
    for path in PUBLISHED:
        if any(word in path.name for word in ODD):
            continue
        try:
            names = [name for name, _, _ in scipy.io.whosmat(path)]
            found = read_mat(path, *names)
        except (DataError, NotImplementedError):
            continue  # version 4 or 7.3; functions, objects, sparse and complex arrays
        wanted = loadmat(path)
        assert all(same(found[name], wanted[name]) for name in names), path.name
        agreed += 1
    assert agreed >= 50  # 60 in scipy 1.17


@pytest.mark.skipif(not PUBLISHED, reason="this scipy comes without its test files")
@pytest.mark.parametrize(
    ("file", "variable", "what"),
    [
        ("parabola.mat", "parabola", "a function"),
        ("testfunc_7.4_GLNX86.mat", "testfunc", "a function"),
        ("testobject_7.4_GLNX86.mat", "testobject", "an object"),
        ("testobject_6.1_SOL2.mat", "testobject", "an object"),
        ("testsparse_7.4_GLNX86.mat", "testsparse", "sparse"),
        ("testcomplex_7.4_GLNX86.mat", "testcomplex", "complex"),
        ("testhdf5_7.4_GLNX86.mat", "a", "version 7.3"),
        ("testdouble_4.2c_SOL2.mat", "testdouble", "not a MAT-file of version 5"),
    ],
)
def test_functions_and_objects_are_refused(file: str, variable: str, what: str) -> None:
    path = next(p for p in PUBLISHED if p.name == file)
    with pytest.raises(DataError, match=what) as caught:
        read_mat(path, variable)
    assert file in str(caught.value)


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, name: str, *rest: bytes, shape: tuple[int, ...] = (1, 1)) -> bytes:
    flags = element(6, struct.pack("<II", kind, 0))
    sizes = element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, flags + sizes + element(1, name.encode()) + b"".join(rest))


def file_of(*variables: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(variables)


OPAQUE = element(14, element(6, struct.pack("<II", 17, 0)) + element(1, b"x") + element(1, b"MCOS"))


@pytest.mark.parametrize(
    "content",
    [
        file_of(matrix(16, "x", matrix(6, "", element(9, bytes(8))))),
        file_of(matrix(3, "x", element(1, b"inline"))),
        file_of(OPAQUE),
        file_of(matrix(1, "x", matrix(16, ""))),  # a function in a cell
        file_of(
            matrix(2, "x", element(5, struct.pack("<i", 8)), element(1, b"f".ljust(8)), OPAQUE)
        ),
    ],
)
def test_functions_and_objects_are_refused_wherever_they_hide(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "hostile.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"hostile\.mat.*(function|object).*refused"):
        read_mat(path, "x")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 200,
        file_of() + b"123",
        file_of(struct.pack("<II", 14, 1 << 31)),
        file_of(matrix(6, "x", element(9, bytes(8)), shape=(1 << 20, 1 << 20))),
        file_of(matrix(6, "x", struct.pack("<II", 9, 0xFFFFFFF0))),
        file_of(matrix(1, "x", shape=(1 << 30, 1 << 30))),
        file_of(matrix(6, "x", element(9, bytes(8)), shape=(-1, -1))),
        file_of(matrix(2, "x", element(5, bytes(4)), element(1, b""), shape=(1 << 30, 1))),
        file_of(
            matrix(2, "x", element(5, struct.pack("<i", 4)), element(1, b""), shape=(9, 1 << 30))
        ),
        file_of(matrix(4, "x", element(16, b"\xff\xff"))),
        file_of(element(15, b"no zlib")),
        file_of(element(15, zlib.compress(matrix(6, "x", element(9, bytes(8))))[:-5])),
    ],
)
def test_what_does_not_hold_what_it_says_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mat"):
        read_mat(path, "x")


def test_cells_without_end_are_an_error(tmp_path: Path) -> None:
    content = matrix(6, "", element(9, bytes(8)))
    for _ in range(5000):
        content = matrix(1, "x", content)
    (tmp_path / "a.mat").write_bytes(file_of(content))
    with pytest.raises(DataError, match="within each other"):
        read_mat(tmp_path / "a.mat", "x")


def test_what_unpacks_to_too_much_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kpbench.files.matlab.MOST", 1 << 20)
    half = matrix(6, "x", element(9, bytes(1 << 19)), shape=(1, 1 << 16))
    path = tmp_path / "a.mat"
    packed = zlib.compress(half)
    path.write_bytes(file_of(struct.pack("<II", 15, len(packed)) + packed))
    assert read_mat(path, "x")["x"].shape == (1, 1 << 16)
    path.write_bytes(file_of((struct.pack("<II", 15, len(packed)) + packed) * 3))
    with pytest.raises(DataError, match="unpacks to 1 MiB"):
        read_mat(path, "x")


def test_a_missing_variable_is_named_with_those_there_are(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"images": 1, "sfm": 2})
    with pytest.raises(DataError, match=r"a\.mat: no variable 'image'; there are: images, sfm"):
        read_mat(tmp_path / "a.mat", "images", "image")
    with pytest.raises(DataError, match="no such file"):
        read_mat(tmp_path / "b.mat", "images")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    cell = np.fromiter(["text", np.arange(3)], object, 2)
    files = []
    for compressed in (True, False):
        values = {"images": cub(1), "cell": cell, "points": np.eye(3)}
        scipy.io.savemat(path, values, do_compression=compressed)
        files.append(path.read_bytes())
    return files


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_damaged_file_is_an_error_or_valid(sound: list[bytes], data: st.DataObject) -> None:
    with tempfile.NamedTemporaryFile(suffix=".mat") as file:
        file.write(damaged(data.draw(st.sampled_from(sound)), data))
        file.flush()
        try:
            found = read_mat(Path(file.name), "images", "cell", "points")
        except DataError as error:
            assert file.name in str(error)
        else:
            assert set(found) == {"images", "cell", "points"}
