"""Pickled tables of every pandas are read, and no pickle runs anything."""

from __future__ import annotations

import os
import pickle
import pickletools
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpbench.contracts.types import Array
from kpbench.errors import DataError
from kpbench.files.pickles import read_frame
from tests.files.old_pandas import write_old_frame

DATA = Path(__file__).parent / "pickles"
REAL = ("pandas_0_23_python_2.pkl", "pandas_1_0.pkl", "pandas_1_5.pkl")
"""Four rows in Taichi's layout, pickled by pandas 0.23.4 (Python 2.7), 1.0.5 and 1.5.3."""


def table(rows: int = 4) -> dict[str, Array]:
    """Return what the files in `data` hold: whole numbers, one joint missing."""
    values = np.random.RandomState(0).randint(0, 256, (rows, 18, 2))
    values[1, 3] = -1
    names = [f"video_{i}#{i:03d}.mp4/00001.png" for i in range(rows)]
    return {"file_name": np.array(names), "frame_number": np.arange(rows), "value": values}


def frame(columns: dict[str, Array]) -> pd.DataFrame:
    return pd.DataFrame({k: list(v) if v.ndim > 1 else v for k, v in columns.items()})


def check(path: Path, wanted: dict[str, Array]) -> None:
    found = read_frame(path)
    assert list(found) == list(wanted)
    for name, column in wanted.items():
        np.testing.assert_array_equal(found[name], column)


@pytest.mark.parametrize("name", REAL)
def test_reads_what_old_pandas_wrote(name: str) -> None:
    check(DATA / name, table())


@pytest.mark.parametrize("protocol", range(6))
def test_reads_what_this_pandas_writes(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "new.pkl"
    path.write_bytes(pickle.dumps(frame(table()), protocol))
    check(path, table())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_the_old_layout(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "old.pkl"
    write_old_frame(path, table(7), protocol)
    check(path, table(7))
    assert b"numpy._core" not in path.read_bytes()


def test_the_writer_of_the_old_layout_does_as_pandas_did(tmp_path: Path) -> None:
    write_old_frame(tmp_path / "old.pkl", table())
    mine, real = ((tmp_path / "old.pkl").read_bytes(), (DATA / "pandas_1_0.pkl").read_bytes())

    def told(data: bytes) -> list[tuple[str, Any]]:
        # numbering of the memo aside; numpy's flags were numbers; text of equal value was shared
        kinds = ("GLOBAL", "BINUNICODE", "NEWOBJ", "REDUCE", "BUILD", "EMPTY_DICT", "EMPTY_LIST")
        return [(o.name, v) for o, v, _ in pickletools.genops(data) if o.name in kinds]

    assert told(mine)[:40] == told(real)[:40]
    assert {v for k, v in told(mine) if k == "GLOBAL"} == {
        v for k, v in told(real) if k == "GLOBAL"
    }


def test_rows_that_were_sorted_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(frame(table()).iloc[[2, 0, 3, 1]]))
    check(path, {name: column[[2, 0, 3, 1]] for name, column in table().items()})


def test_columns_of_every_kind(tmp_path: Path) -> None:
    columns = {
        "lists": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
        "ragged": [np.zeros((2, 2)), np.ones((3, 2))],
        "fortran": [np.asfortranarray(np.arange(6.0).reshape(2, 3))] * 2,
        "big endian": [np.arange(3, dtype=">i2"), np.arange(3, dtype=">i2")],
        "mixed": pd.Series([1, 2.5], dtype=object),
        "scalars": pd.Series([np.float32(0.5), np.int8(3)], dtype=object),
        "truth": [True, False],
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(pd.DataFrame(columns)))
    found = read_frame(path)
    assert found["lists"].tolist() == columns["lists"]
    assert [a.shape for a in found["ragged"]] == [(2, 2), (3, 2)]
    np.testing.assert_array_equal(found["fortran"], np.stack([np.arange(6.0).reshape(2, 3)] * 2))
    assert found["big endian"].tolist() == [[0, 1, 2]] * 2
    assert found["mixed"].tolist() == [1, 2.5]
    assert found["scalars"].tolist() == [0.5, 3]
    assert found["truth"].dtype == bool


class Call:
    """Pickles as the call of a function, which unpickling would make."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def touch(marker: Path) -> None:
    marker.touch()


def attacks(marker: Path) -> dict[str, Any]:
    code = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch {marker}"),
        "subprocess": Call(subprocess.call, ["touch", str(marker)]),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, str(marker), "w"),
        "getattr": Call(getattr, "text", "upper"),
        "import": Call(__import__, "this"),
        "numpy": Call(np.save, str(marker), 1),
        "pandas": Call(pd.eval, code),
        "a module of ours": Call(touch, marker),
    }


ATTACKS = list(attacks(Path()))


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, attack: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps(attacks(marker)[attack], protocol))
    with pytest.raises(DataError, match=r"hostile\.pkl.*refused"):
        read_frame(path)
    assert os.listdir(tmp_path) == ["hostile.pkl"]  # noqa: PTH208


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_cell_of_a_sound_table_runs_nothing(tmp_path: Path, attack: str) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "hostile.pkl"
    cells = [np.zeros((18, 2)), np.array([attacks(marker)[attack]], dtype=object)]
    for protocol in (2, 5):
        path.write_bytes(pickle.dumps(pd.DataFrame({"value": cells}), protocol))
        with pytest.raises(DataError, match=r"hostile\.pkl.*refused"):
            read_frame(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n(S'touch MARKER'\ntR.",  # GLOBAL
        b"(S'touch MARKER'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch MARKER'\no.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch MARKER\x85R.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",  # a name with a dot
        b"\x80\x04\x8c\x08builtins\x8c\x06object\x93)\x81\x8c\x02os\x8c\x06system\x93b.",
        b"cnumpy\nload\n(S'MARKER'\ntR.",
        b"ccopyreg\n_extension_registry\n.",
        b"c_codecs\ndecode\n.",
        b"Pa name\n.",  # PERSID
        b"\x80\x02\x82\x01.",  # EXT1
    ],
)
def test_every_way_to_name_a_function_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pkl"
    path.write_bytes(stream)
    with pytest.raises(DataError, match=r"hostile\.pkl"):
        read_frame(path)
    assert os.listdir(tmp_path) == ["hostile.pkl"]  # noqa: PTH208


def test_admitted_names_are_stand_ins_that_do_nothing(tmp_path: Path) -> None:
    # BUILD with a dict would set attributes of a class, were it not for the stand-in's __setstate__
    path = tmp_path / "a.pkl"
    path.write_bytes(b"cnumpy\nndarray\n}S'kind'\nS'DataFrame'\nsb.")
    with pytest.raises(DataError, match="whole pickle"):
        read_frame(path)
    path.write_bytes(b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.")
    with pytest.raises(DataError, match="holds something else"):
        read_frame(path)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02]r\xff\xff\xff\x7f.",  # memo entry 2 billion: room for 32 GB
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",  # bytearray of 1 TB
        b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b"x.",
        b"\x80\x02]q\x00h\x00a.",  # a list that holds itself
        b"L" + b"9" * 10_000 + b"L\n.",
        b"\x80\x02}K\x01" + b"\x85" * 1_000_000 + b"K\x01s.",  # tuples as a key, to be hashed
        b"\x80\x02}K\x01" + b"\x85q\x000h\x00" * 300_000 + b"K\x01s.",  # by way of the memo
        b"\x80\x02}K\x01" + b"2\x86" * 1_000_000 + b"K\x01s.",
        b"\x80\x02}K\x01" + b"(K\x01(K\x011K\x02t" * 300_000 + b"K\x01s.",
        pickle.dumps([1, 2]),
        pickle.dumps(np.zeros(3)),
        pickle.dumps(pd.Series([1])).replace(b"Series", b"Object"),
    ],
)
def test_what_is_no_table_is_an_error(tmp_path: Path, stream: bytes) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(stream)
    with pytest.raises(DataError, match=r"a\.pkl"):
        read_frame(path)


def test_one_array_named_many_times_does_not_fill_memory(tmp_path: Path) -> None:
    large = np.zeros(1 << 18)
    path = tmp_path / "a.pkl"
    rows: list[Any] = [large] * 20_000  # 2 MiB in the file, 40 GiB as a column
    cells = np.fromiter(rows, object, len(rows))
    path.write_bytes(pickle.dumps(pd.DataFrame({"value": cells})))
    assert path.stat().st_size < 4 << 20
    with pytest.raises(DataError, match="grows past"):
        read_frame(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_frame(tmp_path / "none.pkl")
    with pytest.raises(DataError, match="is no file"):
        read_frame(tmp_path)


SOUND = [(DATA / name).read_bytes() for name in REAL]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SOUND), st.data())
def test_a_damaged_pickle_is_an_error_or_a_table(
    tmp_path_factory: pytest.TempPathFactory, sound: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(damaged(sound, data))
    try:
        found = read_frame(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(column, np.ndarray) for column in found.values())


def damaged(sound: bytes, data: st.DataObject) -> bytes:
    """Change a few bytes, and sometimes the length."""
    at = st.integers(0, len(sound) - 1)
    result = bytearray(sound)
    changes = data.draw(st.lists(st.tuples(at, st.binary(min_size=1, max_size=4)), max_size=3))
    for where, what in changes:
        result[where : where + len(what)] = what
    return bytes(result[: data.draw(st.one_of(st.just(len(sound)), at))])
