"""Speed of the regression to landmarks and of whole evaluators, on 20,000 + 2,000 images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.scoring.regression import fit_regressor
from kpbench.scoring.scorefile import score_file
from tests.scoring.large_detections import JOINTS, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("detections"), 20_000, 2_000)


def test_regression(folder: Path, benchmark: BenchmarkFixture) -> None:
    keypoints, landmarks = (np.load(folder / f"train_{n}.npy") for n in ("keypoints", "landmarks"))
    visible = np.ones((len(keypoints), JOINTS), bool)
    benchmark(fit_regressor, keypoints, landmarks, visible, bias=True)


@pytest.mark.parametrize("evaluator", ["strict", "autolink"])
def test_evaluator(evaluator: str, folder: Path, benchmark: BenchmarkFixture) -> None:
    benchmark(score_file, folder, f"human36m/{evaluator}")
