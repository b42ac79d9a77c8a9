"""Scoring detections of Human3.6M's size: `pytest tests/benchmarks --benchmark-only`.

Each run is a process of its own, so that its peak of memory is that of the scoring.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.scoring.large_detections import write

SCORE = """
import sys
from pathlib import Path
from kpbench.cli.main import main
code = main(["score", *sys.argv[1:], "--json"])
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])  # ru_maxrss would count the process that started this one
sys.exit(code)
"""
SIZES = {"full": (800_000, 88_000), "fewer": (8_000, 88_000)}


@pytest.fixture(scope="module", params=SIZES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp(request.param), *SIZES[request.param])


@pytest.mark.parametrize("evaluator", ["strict", "autolink", "autolink_fixed"])
def test_score(evaluator: str, folder: Path, benchmark: BenchmarkFixture) -> None:
    command = [sys.executable, "-c", SCORE, str(folder), "--evaluator", f"human36m/{evaluator}"]

    def score() -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    row, kilobytes = benchmark.pedantic(score, rounds=1).splitlines()  # type: ignore[no-untyped-call]
    assert json.loads(row)["n"] == 88_000
    benchmark.extra_info["peak MB"] = round(int(kilobytes) / 1024)
    assert int(kilobytes) < 400_000  # the training arrays alone are 600 MB in double precision
