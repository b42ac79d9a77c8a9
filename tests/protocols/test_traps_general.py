"""Traps of the papers' code that concern no data set: arithmetic, and what fails after training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import lstsq

from kpbench.api import Array
from kpbench.errors import CheckpointError
from kpbench.registry import load_method
from kpbench.running.execute import Settings
from kpbench.running.execute import evaluate as run
from kpbench.running.plan import Cell
from kpbench.scoring.evaluators import Detections, evaluate
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.regression import fit_regressor
from kpbench.testing import toy_labelled
from tests.conftest import Install, bright
from tests.protocols.trees.deepfashion import write


def collapsed(gap: float, n: int = 400, seed: int = 0) -> tuple[Array, Array]:
    """Return keypoints of which two differ by `gap` alone, and landmarks that this gap decides."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0.2, 0.8, (n, 4, 2))
    difference = rng.normal(0, 1, (n, 2))
    points[:, 3] = points[:, 2] + gap * difference
    return points, 0.5 + 0.1 * difference[:, None]


def test_trap_16_nearly_equal_keypoints_are_neither_ridged_nor_lost() -> None:
    points, landmarks = collapsed(1e-5)
    visible = np.ones(landmarks.shape[:2], bool)
    fitted = fit_regressor(points, landmarks, visible, bias=True)
    error = np.abs(fitted.predict(points) - landmarks).max()
    x = np.hstack([points.reshape(len(points), -1), np.ones((len(points), 1))])
    y = landmarks.reshape(len(points), -1)
    exact = np.abs(x @ lstsq(x, y)[0] - y).max()
    assert exact < 1e-9 and error < 1e-9
    assert (fitted.rank, fitted.n_features) == (9, 9)
    # what the released code does: the inverse of a float32 Gram matrix, which does not throw
    single = x.astype(np.float32)
    naive = np.linalg.inv(single.T @ single) @ single.T @ y.astype(np.float32)
    assert np.abs(single @ naive - y).max() > 1e-3
    # and what its fallback would do: a ridge, under which the gap says nothing any more
    ridge = np.linalg.solve(x.T @ x + np.eye(9), x.T @ y)
    assert np.abs(x @ ridge - y).max() > 0.1


def test_trap_16_equal_keypoints_are_reported() -> None:
    points, landmarks = collapsed(0.0)
    data = Detections(points, landmarks, np.ones(landmarks.shape[:2], bool))
    found = evaluate(
        replace(get_evaluator("people_background/strict"), n_landmarks=None), data, data
    )
    assert (found.rank, found.n_features) == (7, 9)
    assert any("linearly dependent" in note for note in found.notes)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_trap_17_detections_of_low_precision_are_fitted_in_float64(kind: type) -> None:
    rng = np.random.default_rng(1)
    exact = rng.uniform(0.2, 0.8, (300, 4, 2))
    landmarks = np.clip(exact[:, :2] * 0.7 + 0.1 + rng.normal(0, 0.02, (300, 2, 2)), 0, 1)
    visible = np.ones((300, 2), bool)

    def score(points: Array) -> float:
        train, test = (Detections(points[i::2], landmarks[i::2], visible[i::2]) for i in (0, 1))
        return evaluate(get_evaluator("celeba/strict"), train, test).value

    def score_of(kind: type) -> float:
        return score(exact.astype(kind))

    assert score_of(kind) == score(exact.astype(kind).astype(np.float64))
    assert score_of(kind) == pytest.approx(score(exact), rel=5e-3)


def test_trap_35_what_cannot_be_tested_is_not_trained(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data")
    [first, *_] = sorted((tmp_path / "data" / "img").rglob("*.jpg"))[::-1]
    first.unlink()  # the last file is an image of the test set
    monkeypatch.setenv("KPBENCH_DATA_DEEPFASHION", str(tmp_path / "data"))
    marker = tmp_path / "trained"
    source = bright("eager", fit=f"open({str(marker)!r}, 'w').close()")
    install("methods", {"eager": source})
    [outcome] = run([Cell("eager", "deepfashion", 0)], Settings(tmp_path / "results", "smoke"))
    assert outcome.status == "failed"
    assert first.name in outcome.reason
    assert not marker.exists()


def test_trap_35_settings_come_from_the_checkpoint_or_not_at_all(
    tmp_path: Path, install: Install
) -> None:
    install("methods", {"stated": bright("stated")})
    method = load_method("stated").configured(role="", recipe="smoke", overrides={"gain": 2.0})
    images = toy_labelled().images
    from kpbench.api import FitContext

    method.fit(images, n_keypoints=3, seed=0, context=FitContext(recipe="smoke"))
    method.save(tmp_path)
    other = load_method("stated").configured(role="", recipe="smoke", overrides={"gain": 4.0})
    with pytest.raises(CheckpointError, match="gain"):
        other.load(tmp_path)
