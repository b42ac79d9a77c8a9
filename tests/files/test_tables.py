"""Text tables: what is read, and that each fault is named with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpbench.errors import DataError
from kpbench.files.tables import read_csv, read_json, read_words

CELEBA = """3
lefteye_x lefteye_y righteye_x righteye_y
000001.jpg 165  184  244 -176
000002.jpg 140  204  220  204
000003.jpg 244  104  264  105
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "table"
    path.write_bytes(text.encode())
    return path


def test_csv_of_deepfashion(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,filename\n7,"WOMEN/Tees, Tanks/a.jpg"\n8,NA\n9,007\n')
    found = read_csv(path, ["filename", "id"])
    assert list(found) == ["filename", "id"]
    assert found["filename"].tolist() == ["WOMEN/Tees, Tanks/a.jpg", "NA", "007"]
    assert found["id"].tolist() == ["7", "8", "9"]
    assert read_csv(path, {"id": int})["id"].tolist() == [7, 8, 9]
    assert read_csv(written(tmp_path, "\ufeffid,b\r\n1,2\r\n"), ["id"])["id"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1 names no column 'id', or two; it names: none"),
        ("id,name\n1,a\n2,b\n", "line 1 names no column 'filename', or two; it names: id, name"),
        ("id,filename\n1,a\n2\n", "line 3 has 1 cells, line 1 2"),
        ("id,filename\n1,a\n2,b,c\n", "line 3 has 3 cells, line 1 2"),
        ("id,filename,id\n1,a,2\n", "no column 'id', or two"),
        ('id,filename\n1,"a\nb"\n\nx,b\n', "line 5, id"),
        ("id,filename\n1,a,b\n2,c,d\n", "line 2 has 3 cells"),
        ("id,filename\n1,a\nx,b\n", "line 3, id: 'x' is no int"),
        ("id,filename\n1,a\n,b\n", "line 3, id: '' is no int"),
        ("id,filename\n1,a\n99999999999999999999,b\n", "too large"),
        ('id,filename\n1,"a\n', "line 2 is not csv"),
    ],
)
def test_a_csv_fault_is_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(DataError, match=f"table.*{fault}"):
        read_csv(written(tmp_path, text), {"id": int, "filename": str})


def test_json(tmp_path: Path) -> None:
    assert read_json(written(tmp_path, '{"keypoints": [[1, 2.5]]}')) == {"keypoints": [[1, 2.5]]}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1 is not json"),
        ('{\n"a": 1,\n}', "line [23] is not json"),
        ("[1, NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[" * 100_000, "not json"),
        ("9" * 10_000, "not json"),
    ],
)
def test_a_json_fault_is_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(DataError, match=f"table.*{fault}"):
        read_json(written(tmp_path, text))


def test_lists_of_celeba(tmp_path: Path) -> None:
    rows = read_words(written(tmp_path, CELEBA), skip=2)
    assert rows[0] == ["000001.jpg", "165", "184", "244", "-176"]
    assert np.array([row[1:] for row in rows], float).shape == (3, 4)
    assert read_words(written(tmp_path, "a.jpg 0\r\n\r\nb.jpg 1\r\n")) == [
        ["a.jpg", "0"],
        ["b.jpg", "1"],
    ]
    assert read_words(written(tmp_path, "")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (CELEBA.replace("  244 -176", ""), "line 4 has 5 words, the rows before it 3"),
        (CELEBA.replace(" 105", ""), "line 5 has 4 words, the rows before it 5"),
        (CELEBA.replace("3\n", "4\n", 1), "line 1 says 4 rows, but there are 3"),
        ("3\n", "has 1 lines"),
    ],
)
def test_a_fault_of_a_list_is_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(DataError, match=f"table.*{fault}"):
        read_words(written(tmp_path, text), skip=2)


@pytest.mark.parametrize("read", [read_json, read_words, lambda path: read_csv(path, ["a"])])
def test_what_is_no_text_is_an_error(tmp_path: Path, read: object) -> None:
    assert callable(read)
    path = tmp_path / "table"
    with pytest.raises(DataError, match="no such file"):
        read(path)
    path.write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(DataError, match="not UTF-8 text at byte 0"):
        read(path)
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte, none of it on the disk
    with pytest.raises(DataError, match="at most 512 are read"):
        read(path)
    with pytest.raises(DataError, match="is no file"):
        read(tmp_path)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_a_table_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = written(tmp_path_factory.getbasetemp(), "a,b\n" + text)
    for read in (read_json, read_words, lambda p: read_csv(p, {"a": float, "b": str})):
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)
