"""Where data sets lie, what is there of them, and what is known of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpbench.data.dataset import State, state_of
from kpbench.data.installed import dataset_of, datasets_on_disk, protocols_of, real_protocols
from kpbench.data.locate import config_file, find_root, located, require_root, save_root
from kpbench.errors import InvalidInputError, MissingDataError, StorageError, UnknownNameError
from tests.protocols.trees import TREES

DATASETS = datasets_on_disk()


def state(name: str) -> State:
    return state_of(DATASETS[name])


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KPBENCH_CONFIG", str(tmp_path / "config"))
    for name in DATASETS:
        monkeypatch.delenv(f"KPBENCH_DATA_{name.upper()}", raising=False)
    return tmp_path / "config"


def test_nothing_is_named(own_config: Path) -> None:
    assert find_root("cub") is None
    assert state("cub").status == "missing"
    with pytest.raises(MissingDataError, match=r"data info cub.*data path cub DIR"):
        require_root("cub")
    assert not own_config.exists()


def test_what_is_saved_is_found(tmp_path: Path, own_config: Path) -> None:
    for name in ("cub", "taichi"):
        (tmp_path / name).mkdir()
        save_root(name, tmp_path / name)
    assert config_file() == own_config / "data.json"
    assert require_root("cub") == tmp_path / "cub"
    assert find_root("taichi") == tmp_path / "taichi"
    save_root("cub", tmp_path / "taichi")
    assert find_root("cub") == tmp_path / "taichi"
    (tmp_path / "taichi").rmdir()
    assert find_root("cub") == tmp_path / "taichi"  # packed images need no folder
    assert state("cub").status == "missing"


def test_a_relative_folder_is_saved_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cub").mkdir()
    monkeypatch.chdir(tmp_path)
    save_root("cub", Path("cub"))
    monkeypatch.chdir("/")
    assert find_root("cub") == tmp_path / "cub"


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "saved").mkdir()
    save_root("cub_aligned", tmp_path / "saved")
    monkeypatch.setenv("KPBENCH_DATA_CUB_ALIGNED", str(tmp_path / "other"))
    assert located("cub_aligned") == (
        tmp_path / "other",
        "the environment variable KPBENCH_DATA_CUB_ALIGNED",
    )
    monkeypatch.setenv("KPBENCH_DATA_CUB_ALIGNED", "")
    assert find_root("cub_aligned") == tmp_path / "saved"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KPBENCH_DATA_CUB_ALIGNED", "~/here")
    assert find_root("cub_aligned") == tmp_path / "here"


def test_what_is_no_folder_is_not_saved(tmp_path: Path, own_config: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no folder"):
        save_root("cub", tmp_path / "nowhere")
    (tmp_path / "cub.tar.gz").write_bytes(b"")
    with pytest.raises(InvalidInputError, match=r"kpbench data extract .*cub\.tar\.gz DIR"):
        save_root("cub", tmp_path / "cub.tar.gz")
    assert not own_config.exists()


def test_a_mark_of_the_order_of_bytes_is_no_fault(own_config: Path, tmp_path: Path) -> None:
    save_root("cub", tmp_path)
    text = config_file().read_bytes()
    config_file().write_bytes(b"\xef\xbb\xbf" + text)  # as Windows' Notepad saves it
    assert find_root("cub") == tmp_path


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"roots": []}', '{"roots": {"cub": 3}}'])
def test_a_damaged_config_is_named(own_config: Path, text: str) -> None:
    own_config.mkdir()
    (own_config / "data.json").write_text(text)
    for act in (find_root, require_root, state):
        with pytest.raises(InvalidInputError, match=r"data\.json cannot be read"):
            act("cub")


def test_a_config_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KPBENCH_CONFIG", str(tmp_path / "file"))
    with pytest.raises(StorageError):
        save_root("cub", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_each_file_that_is_missing_is_told(name: str, tmp_path: Path) -> None:
    """The description needs what the loader needs, in the tree that a user would have."""
    TREES[name](tmp_path / "tree")
    save_root(name, tmp_path / "tree")
    assert state(name).status == "found"
    for need in DATASETS[name].needs:
        there = next(path for path in need.split("|") if (tmp_path / "tree" / path).exists())
        (tmp_path / "tree" / there).rename(tmp_path / "aside")
        found = state(name)
        assert found.status == "partial"
        assert found.missing == [need.replace("|", " or ")]
        (tmp_path / "aside").rename(tmp_path / "tree" / there)


def test_every_data_set_is_used_and_every_protocol_has_one() -> None:
    using = {protocol.dataset.name for protocol in real_protocols().values()}
    assert using == set(DATASETS) == set(TREES)


def test_names_of_data_sets_and_protocols() -> None:
    assert {p.name for p in protocols_of("cub")} == {"cub_all", "cub_001", "cub_002", "cub_003"}
    assert [p.name for p in protocols_of("human36m")] == ["human36m"]
    assert dataset_of("human36m_background").name == "human36m"
    assert dataset_of("human36m_raw").name == "human36m_raw"
    with pytest.raises(UnknownNameError, match="did you mean taichi"):
        protocols_of("taich")
    with pytest.raises(InvalidInputError, match="brings its own data"):
        dataset_of("people_plain")


def test_the_config_is_readable(tmp_path: Path) -> None:
    save_root("cub", tmp_path)
    assert json.loads(config_file().read_text()) == {"roots": {"cub": str(tmp_path)}}
