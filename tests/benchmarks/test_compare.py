"""Comparing runs of the benchmarks: a slower machine is no slower code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.benchmarks.compare import HERE, STORED, SUITES, machine_ratio, ratios, show, trimmed


def run(**milliseconds: float) -> dict[str, dict[str, float]]:
    names = {"a": "test_calibration.py::test_a", "m": "test_calibration.py::test_m"}
    return {
        names.get(name, f"test_layers.py::{name}"): {"median_ms": value, "iqr_ms": 0.0}
        for name, value in milliseconds.items()
    }


def test_a_slower_machine_is_divided_out() -> None:
    stored, new = run(a=1, m=2, part=10), run(a=2, m=16, part=40)
    assert machine_ratio(stored, new) == pytest.approx(4)  # the geometric mean of 2 and 8
    found = ratios(stored, new)
    assert found["test_layers.py::part"] == pytest.approx(1)
    assert ratios(stored, run(a=1, m=2, part=5))["test_layers.py::part"] == pytest.approx(0.5)


def test_benchmarks_of_one_run_alone_are_left_out_of_the_ratios() -> None:
    found = ratios(run(a=1, gone=1), run(a=1, new=1))
    assert list(found) == ["test_calibration.py::test_a"]


def test_without_calibration_nothing_is_compared() -> None:
    with pytest.raises(SystemExit, match="calibration"):
        ratios(run(a=1, part=1), run(part=1))


def test_of_a_run_only_names_and_times_are_kept() -> None:
    raw: dict[str, Any] = {
        "machine_info": {"node": "a host"},
        "benchmarks": [
            {
                "fullname": "tests/benchmarks/test_layers.py::test_x[quick]",
                "stats": {"median": 0.002, "iqr": 0.0001, "data": [1]},
            }
        ],
    }
    assert trimmed(raw) == {
        "test_layers.py::test_x[quick]": {"median_ms": 2.0, "iqr_ms": pytest.approx(0.1)}
    }


def test_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"finished": "2026-11-21T00:00:00Z", "machine": {"cpu": "A CPU"}}
    stored, new = run(a=1, part=10, gone=1), run(a=1, part=25, fresh=1)
    show({**about, "benchmarks": stored}, {**about, "benchmarks": new})
    shown = capsys.readouterr().out
    for text in ("2.50", "1.00", "A CPU", "new: test_layers.py::fresh", "gone: test_layers.py::g"):
        assert text in shown, text


def test_the_stored_run_has_every_suite_and_no_host() -> None:
    assert all((HERE / f"test_{name}.py").is_file() for name in SUITES)
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert set(stored) == {"finished", "machine", "benchmarks"}
    assert "node" not in stored["machine"]
    suites = {name.partition(".py::")[0].removeprefix("test_") for name in stored["benchmarks"]}
    assert suites == set(SUITES)
    assert all(times["median_ms"] > 0 for times in stored["benchmarks"].values())


COLLECTS = """
import sys
import pytest

class Layers:
    def pytest_collection_modifyitems(self, items):
        print("", *(f"collected:{item.nodeid}" for item in items), sep="\\n")
        items[:] = [item for item in items if "test_layers.py" in item.nodeid]

sys.exit(pytest.main(sys.argv[1:], plugins=[Layers()]))
"""


def test_the_benchmarks_are_those_of_the_stored_run_and_the_layers_still_run() -> None:
    files = [str(HERE / f"test_{name}.py") for name in SUITES]
    options = ["-q", "-s", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    command = [sys.executable, "-c", COLLECTS, *options, "--benchmark-disable", *files]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("collected:")]
    stored = json.loads(STORED.read_text(encoding="utf-8"))["benchmarks"]
    assert {line.rpartition("/")[2] for line in lines} == set(stored)
