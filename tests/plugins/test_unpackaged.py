"""KPBENCH_PLUGINS: methods, protocols and data sets that nobody packaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kpbench.cli.main import main
from kpbench.registry import available, datasets, faults, load_method, load_protocol
from tests.conftest import TOY_PROTOCOL, bright
from tests.data.toy_source import write

READER = '''
"""Reads noise with three landmarks."""
import json
from dataclasses import dataclass

import numpy as np

from kpbench import Rows, Source


@dataclass(frozen=True)
class Noise(Source):
    @property
    def parts(self):
        return {"discovery": "train", "regression": "train", "test": "test"}

    def rows(self, root, part):
        found = json.loads((root / "table.json").read_text())[part]
        points = np.array([row["points"] for row in found], np.float64)
        return Rows(np.array([row["file"] for row in found]), points)
'''
NOISE = '''
"""Noise with three landmarks."""
from kpbench import Dataset, EvaluatorSpec, RealProtocol

from .reader import Noise

DATASET = Dataset(
    "noise", "Noise", "noise", "none", "here", layout="train/ test/ table.json",
    needs=("table.json",),
    evaluators=(
        EvaluatorSpec(
            name="noise/strict", paper="none", formula="mean L2", metric="normalised L2",
            unit="%", scale=100.0, bias=True,
        ),
    ),
)
PLUGIN = RealProtocol(
    name="noise", description="noise", paper="none", role="noise", dataset=DATASET, n_keypoints=3,
    landmarks=("a", "b", "c"), evaluator="noise/strict", source=Noise(),
    published={"discovery": 40, "regression": 40, "test": 12}, pixels=16,
)
'''
INHERITED = '''
"""As `spots`, said again."""
from .spots import Method


class Again(Method):
    name = "again"


PLUGIN = Again()
'''


@pytest.fixture
def ideas(tmp_path: Path) -> Path:
    """A folder of somebody who tries things: two methods, a protocol, a helper, a script."""
    folder = tmp_path / "my ideas"
    folder.mkdir()
    (folder / "spots.py").write_text(bright("spots"))
    (folder / "again.py").write_text(INHERITED)
    (folder / "toy_discs.py").write_text(TOY_PROTOCOL)
    (folder / "plot.py").write_text("raise SystemExit('a script that nobody asked for')")
    (folder / "reader.py").write_text(READER)
    (folder / "noise.py").write_text(NOISE)
    return folder


def use(monkeypatch: pytest.MonkeyPatch, *places: Path) -> None:
    monkeypatch.setenv("KPBENCH_PLUGINS", os.pathsep.join(map(str, places)))


def test_a_method_and_a_protocol_from_one_folder(
    ideas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(available("methods")), set(available("protocols"))
    use(monkeypatch, ideas)
    assert set(available("methods")) - before[0] == {"spots", "again"}
    assert set(available("protocols")) - before[1] == {"toy_discs", "noise"}
    assert faults("methods") == faults("protocols") == []
    assert load_method("again").name == "again"
    words = ["evaluate", "-m", "spots", "-p", "toy_discs", "--recipe", "smoke"]
    assert main([*words, "--results", str(ideas / "results")]) == 0
    assert main(["check", "spots", "again", "toy_discs"]) == 0


def test_a_file_alone_brings_nothing_but_itself(
    ideas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, ideas / "again.py")
    assert "again" in available("methods")
    assert {"spots"} & set(available("methods")) == set()
    assert load_method("again").name == "again"  # which imports its neighbour
    use(monkeypatch, ideas / "again.py", ideas, ideas / "spots.py")
    assert {"again", "spots"} <= set(available("methods"))
    assert faults("methods") == []


def test_a_folder_that_is_a_data_set(ideas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ideas / "noise_set"
    folder.mkdir()
    (ideas / "reader.py").rename(folder / "reader.py")
    (ideas / "noise.py").unlink()
    (folder / "__init__.py").write_text(
        NOISE.partition("PLUGIN")[0].replace("RealProtocol", "Rows")
    )
    (folder / "noise.py").write_text(
        '"""Noise."""\nfrom kpbench import RealProtocol\nfrom . import DATASET\n'
        "from .reader import Noise\nPLUGIN" + NOISE.partition("PLUGIN")[2]
    )
    for place in (folder, ideas):
        use(monkeypatch, place)
        assert "noise_set" in datasets()
        assert load_protocol("noise").evaluator == "noise/strict"


def test_two_files_of_one_name_are_told_by_their_paths(
    ideas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "spots.py"
    other.write_text(bright("spots"))
    use(monkeypatch, ideas, other)
    assert "spots" not in available("methods")
    assert main(["list", "methods"]) == 0
    said = capsys.readouterr().out
    assert str(other) in said and str(ideas / "spots.py") in said


def test_a_script_that_is_named_is_no_plugin(ideas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ideas / "plot.py", ideas / "spots.py", ideas / "notes.txt")
    (ideas / "notes.txt").write_text("PLUGIN = one day")
    said = {fault.name: str(fault.error) for fault in faults("methods")}
    assert set(said) == {"plot.py", "notes.txt"}
    assert "holds no module that sets PLUGIN or DATASET" in said["plot.py"]
    assert "spots" in available("methods")


def test_worker_processes_know_what_lies_there(ideas: Path, tmp_path: Path) -> None:
    """Packing pickles the reader by its name to processes that import it anew."""
    write(tmp_path / "noise", n_train=40, n_test=12)
    environment = {
        **os.environ,
        "KPBENCH_PLUGINS": str(ideas),
        "KPBENCH_DATA_NOISE": str(tmp_path / "noise"),
        "KPBENCH_CACHE": str(tmp_path / "cache"),
        "LOKY_MAX_CPU_COUNT": "2",
    }
    program = (
        "import sys\n"
        "from kpbench.cli.main import main\n"
        "from kpbench.data.packing import packing\n"
        "packing.CHUNK = 4\n"  # more of them than are worth processes
        "assert main(['data', 'verify', 'noise']) == 0\n"
        "assert main(['data', 'prepare', 'noise']) == 0\n"
        "words = ['evaluate', '-p', 'noise', '-m', 'mean_shape', '-m', 'spots']\n"
        "sys.exit(main([*words, '--recipe', 'smoke', '--jobs', '2']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "noise discovery, regression: 40 images" in done.stdout
