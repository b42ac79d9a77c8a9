"""A stranger's package: written by `kpbench new`, installed by pip, found, checked, evaluated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kpbench.cli.main import main
from kpbench.cli.scaffold import new_method_package
from kpbench.errors import InvalidInputError
from tests.conftest import TOY_PROTOCOL
from tests.data.toy_source import write

PROTOCOL_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "discs"
version = "1.0"
[project.entry-points."kpbench.protocols"]
discs = "discs"
[tool.setuptools]
packages = ["discs"]
"""


def pip_install(source: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def kpbench(site: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kpbench", *words],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stranger_gets_a_number(tmp_path: Path) -> None:
    package, site = tmp_path / "package", tmp_path / "site"
    assert main(["new", "method", "shiny_spots", "--folder", str(package)]) == 0
    pip_install(package, site)
    protocol = tmp_path / "protocol"
    (protocol / "discs").mkdir(parents=True)
    (protocol / "pyproject.toml").write_text(PROTOCOL_PYPROJECT)
    (protocol / "discs" / "__init__.py").write_text('"""Discs."""\n')
    (protocol / "discs" / "toy_discs.py").write_text(TOY_PROTOCOL)
    pip_install(protocol, site)
    listed = kpbench(site, tmp_path, "list")
    assert "shiny_spots" in listed.stdout
    assert "toy_discs" in listed.stdout
    checked = kpbench(site, tmp_path, "check", "shiny_spots")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    words = ["evaluate", "-m", "shiny_spots", "-m", "mean_shape", "-p", "toy_discs"]
    done = kpbench(site, tmp_path, *words, "--recipe", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results").rglob("smoke-0-*.json"))) == 2


FROGS = {
    "__init__": '''
"""Frogs: made-up pictures of frogs, three points."""

from kpbench import Dataset

from .evaluators import EVALUATORS, FURTHER

DATASET = Dataset(
    name="frogs",
    title="Frogs (nobody, 2026)",
    about="Green noise with three points.",
    licence="none needed",
    source="this test",
    layout="table.json  train/00000.png  test/00000.png",
    needs=("table.json", "train", "test|tests"),
    evaluators=EVALUATORS,
    further=FURTHER,
)
''',
    "evaluators": '''
"""Frogs are scored without and with bias, and in whole jumps."""

from dataclasses import replace

from kpbench import EvaluatorSpec, mirrored_pairs

_PLAIN = EvaluatorSpec(
    name="frogs/plain", paper="Frogs, file score.py", formula="mean L2 x 100; OLS without bias",
    metric="normalised L2", unit="%", scale=100.0,
)
_STRICT = replace(_PLAIN, name="frogs/strict", bias=True)
EVALUATORS = (_PLAIN, _STRICT)
FURTHER = (
    replace(
        _STRICT, name="frogs/mirrored", test_flip="estimate", n_landmarks=3,
        pairs=mirrored_pairs(["l_eye", "r_eye", "mouth"]),
    ),
)
''',
    "reader": '''
"""Reads the table of frogs."""

import json
from dataclasses import dataclass

import numpy as np

from kpbench import DataError, Rows, Source


@dataclass(frozen=True)
class Frogs(Source):
    margin: int = 0
    choices = {"margin": (0, 5)}

    @property
    def parts(self):
        return {"discovery": "train", "regression": "train", "test": "test"}

    def rows(self, root, part):
        try:
            table = json.loads((root / "table.json").read_text())[part]
        except (OSError, ValueError) as error:
            raise DataError(f"{root / 'table.json'}: {error}") from error
        points = np.array([row["points"] for row in table], float)
        names = np.array([row["file"] for row in table])
        return Rows(names, points, groups=np.array([row["who"] for row in table]))

    def region(self, rows, i, size, points):
        return (float(self.margin), 0.0, size[0] - float(self.margin), float(size[1]))
''',
    "frogs_whole": '''
"""Whole frogs."""

from kpbench import RealProtocol

from . import DATASET
from .reader import Frogs

PLUGIN = RealProtocol(
    name="frogs_whole", description="Whole frogs; where are eyes and mouth?", paper="none",
    role="frogs", dataset=DATASET, n_keypoints=3, landmarks=("l_eye", "r_eye", "mouth"),
    evaluator="frogs/strict", source=Frogs(), pixels=16,
    published={"discovery": 40, "regression": 40, "test": 12},
)
''',
    "frogs_cut": '''
"""Frogs without what is beside them."""

from dataclasses import replace

from .frogs_whole import PLUGIN as WHOLE
from .reader import Frogs

PLUGIN = replace(WHOLE, name="frogs_cut", source=Frogs(margin=5))
''',
}


def test_a_stranger_brings_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, site, root = (tmp_path / name for name in ("source", "site", "frogs"))
    (source / "frogs").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROTOCOL_PYPROJECT.replace("discs", "frogs"))
    for name, text in FROGS.items():
        (source / "frogs" / f"{name}.py").write_text(text)
        assert "from kpbench." not in text
    pip_install(source, site)
    write(root, n_train=40, n_test=12)
    monkeypatch.setenv("KPBENCH_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "cache"))

    def said(*words: str, code: int = 0) -> str:
        done = kpbench(site, tmp_path, *words)
        assert done.returncode == code, (words, done.stdout + done.stderr)
        return done.stdout

    assert "frogs/…" in said("list")
    listed = said("list", "evaluators")
    assert all(f"frogs/{name} " in listed for name in ("plain", "strict", "mirrored"))
    assert "protocols: frogs_cut, frogs_whole" in said("data", "list")
    about = said("data", "info", "frogs_cut")
    for word in ("Frogs (nobody, 2026)", "licence: none needed", "table.json  train", "test 12"):
        assert word in about
    said("data", "path", "frogs", code=1)
    assert "found" in said("data", "path", "frogs", str(root))
    assert said("data", "verify", "frogs").count("0 errors") == 2
    assert "frogs_cut test: 12 images" in said("data", "prepare", "frogs")
    words = ["evaluate", "-m", "mean_shape", "-m", "oracle", "-p", "frogs_whole", "-p", "frogs_cut"]
    said(*words, "--recipe", "smoke")
    said(*words, "--recipe", "quick", "--results", "boards/results")
    assert "OLS without bias" in said("show", "frogs/plain")
    assert "also under" in said("show", "frogs_cut")
    assert "frogs, paper" in said("show", "autolink")
    said("check", "frogs_whole", "frogs_cut")
    detections = np.random.default_rng(0).random((4, 30, 3, 2))
    parts = ("train_keypoints", "train_landmarks", "test_keypoints", "test_landmarks")
    np.savez(tmp_path / "found.npz", **dict(zip(parts, detections, strict=True)))
    one = json.loads(said("score", "--evaluator", "frogs/strict", "found.npz", "--json"))
    assert one["evaluator"] == "frogs/strict"
    every = said("score", "--all-evaluators", "--evaluator", "frogs/strict", "found.npz", "--json")
    assert [found["evaluator"] for found in json.loads(every)] == [
        "frogs/plain", "frogs/strict", "frogs/mirrored"
    ]  # fmt: skip
    assert "frogs/mirrored" in said(
        "disagreement", "mean_shape", "frogs_whole", "--recipe", "quick", "--results",
        "boards/results",
    )  # fmt: skip
    said("leaderboard", "--folder", "boards")
    assert "up to date" in said("leaderboard", "--folder", "boards", "--check")
    board = (tmp_path / "boards" / "frogs_cut.md").read_text()
    assert "mean_shape" in board and "frogs/strict" in board
    assert "frogs/mirrored" in (tmp_path / "boards" / "disagreement.md").read_text()


@pytest.mark.parametrize("trained", [False, True])
def test_the_generated_tests_pass_and_the_code_is_clean(tmp_path: Path, trained: bool) -> None:
    site = tmp_path / "site"
    package = new_method_package("shiny_spots", tmp_path / "package", trained=trained)
    source = package / "kpbench_shiny_spots" / "shiny_spots.py"
    assert ("TorchMethod" in source.read_text()) is trained
    assert len(source.read_text().splitlines()) < 60
    pip_install(package, site)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests"],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    lint = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,UP,B"]
    lint += ["--line-length", "100", "kpbench_shiny_spots", "tests"]
    subprocess.run(lint, cwd=package, check=True)


@pytest.mark.parametrize("name", ["Two Words", "class", "_hidden", "autolink", "CamelCase", "9x"])
def test_unusable_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=name):
        new_method_package(name, tmp_path / "package")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match="not empty"):
        new_method_package("fresh", tmp_path)
