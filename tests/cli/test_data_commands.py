"""`kpbench data` from the command line, on a small data set of a plugin."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kpbench.cli.main import main
from tests.conftest import Install
from tests.data.toy_source import write

TOY = '''
"""Noise with three landmarks."""
from tests.data.toy_source import protocol

PLUGIN = protocol()
'''
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(
    install: Install,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    install("protocols", {"toy": TOY})
    monkeypatch.setenv("KPBENCH_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KPBENCH_DATA_TOY", raising=False)

    def call(*words: str) -> tuple[int, str]:
        code = main(["data", *words])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "toy")
    return tmp_path / "toy"


def test_from_nothing_to_packed_images(run: Run, root: Path, tmp_path: Path) -> None:
    code, text = run("list")
    assert code == 0
    assert "missing  toy" in text
    assert "kpbench data info toy" in text
    assert "protocols: celeba_aligned, celeba_wild" in text
    assert run("path", "toy")[0] == 1
    code, text = run("prepare", "toy")
    assert code == 2
    assert "kpbench data path toy DIR" in text
    assert run("path", "toy", str(root))[0] == 0
    code, text = run("path", "toy")
    assert code == 0
    assert str(root) in text
    assert "data.json" in text
    assert "found    toy" in run("list")[1]
    code, text = run("verify", "toy")
    assert code == 0, text
    assert "0 errors" in text
    code, text = run("prepare", "toy")
    assert code == 0, text
    assert "toy discovery, regression: 8 images" in text
    assert "toy test: 4 images" in text
    assert len(list((tmp_path / "cache/packed").iterdir())) == 2
    code, text = run("prepare", "toy", "--argument", "background=black", "--recipe", "smoke")
    assert code == 0, text
    assert len(list((tmp_path / "cache/packed").iterdir())) == 4


def test_a_fault_gives_exit_code_1(run: Run, root: Path) -> None:
    run("path", "toy", str(root))
    (root / "train/00003.png").unlink()
    code, text = run("verify", "toy")
    assert code == 1
    assert "missing files: 1" in text
    assert "train/00003.png" in text
    code, text = run("verify", "toy", "--json", "--quick")
    assert code == 1
    (report,) = json.loads(text)
    assert report["protocol"] == "toy"
    assert report["quick"] is True
    assert report["findings"][0]["examples"] == ["train/00003.png"]
    code, text = run("prepare", "toy")
    assert code == 2
    assert "1 of 8 images" in text
    (root / "table.json").unlink()
    assert run("verify", "toy")[0] == 1


def test_info_tells_all(run: Run, root: Path) -> None:
    code, text = run("info", "human36m_background")
    assert code == 0
    for word in ("Simplified", "licence", "registers", "BackgroudMask", "796,648", "87,975"):
        assert word in text
    assert "KPBENCH_DATA_HUMAN36M" in text
    assert "protocol human36m:" in text
    code, text = run("info", "toy")
    assert code == 0
    assert "discovery 8" in text


def test_what_is_moved_is_told(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPBENCH_DATA_TOY", str(root / "nowhere"))
    assert "does not exist" in run("list")[1]
    for command in ("verify", "prepare"):
        code, text = run(command, "toy")
        assert code == 2
        assert "kpbench data path toy DIR" in text


def test_a_partial_data_set(run: Run, tmp_path: Path) -> None:
    (tmp_path / "CUB_200_2011/images").mkdir(parents=True)
    code, text = run("path", "cub_001", str(tmp_path))
    assert code == 0
    assert "partial" in text
    assert "test_cub_cleaned.mat" in text
    code, text = run("verify", "cub_001", "--quick")
    assert code == 1
    assert "cannot be listed" in text


@pytest.mark.parametrize(
    "words, message",
    [
        (("prepare", "toyy"), "did you mean toy"),
        (("verify", "people_plain"), "brings its own data"),
        (("prepare", "toy", "--recipe", "full"), "no recipe called 'full'"),
        (("prepare", "toy", "--argument", "background"), "NAME=VALUE"),
        (("prepare", "toy", "--argument", "background=grey"), "no value of background"),
        (("prepare", "toy", "--argument", "ground=black"), "did you mean background"),
        (("depth", "toy", "--recipe", "smoke", "--model", "midas", "--device", "cpu"), "midas"),
        (("depth", "toy", "--device", "tpu"), "no device called 'tpu'"),
        (("path", "toy", "nowhere"), "there is no folder"),
        (("extract", "nowhere.zip", "here"), "nowhere.zip"),
    ],
)
def test_mistakes_are_explained(run: Run, root: Path, words: tuple[str, ...], message: str) -> None:
    run("path", "toy", str(root))
    code, text = run(*words)
    assert code == 2
    assert message in text
    assert "Traceback" not in text


def test_an_archive_is_unpacked(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("toy/a.txt", "a")
    code, text = run("extract", str(tmp_path / "a.zip"), str(tmp_path / "out"))
    assert code == 0, text
    assert "1 files in" in text
    assert (tmp_path / "out/toy/a.txt").read_text() == "a"


def test_depth_is_computed_for_each_part_once(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[object, ...]] = []

    def compute(model: str, part: object, **options: object) -> None:
        calls.append((model, part.open().names.tolist(), options["batch_size"]))  # type: ignore[attr-defined]

    monkeypatch.setattr("kpbench.data.depth.compute_depth", compute)
    run("path", "toy", str(root))
    code, text = run("depth", "toy", "--device", "cpu", "--batch", "4", "--model", "midas_small")
    assert code == 0, text
    assert [(model, len(names), batch) for model, names, batch in calls] == [  # type: ignore[arg-type]
        ("midas_small", 8, 4),
        ("midas_small", 4, 4),
    ]
    assert "depth=midas_small" in text
