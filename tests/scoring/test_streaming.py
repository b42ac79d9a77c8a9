"""Detections too large for memory: the same numbers as from arrays, in memory that stays small."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.scoring.detection_files import load_detections
from kpbench.scoring.evaluators import Evaluation, evaluate
from kpbench.scoring.fitting import Spread
from kpbench.scoring.flips import Pairs, permutation
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.scorefile import score_file
from kpbench.scoring.statistics import resampling as stats
from kpbench_protocols.human36m.evaluators import PAIRS as HUMAN36M_PAIRS
from kpbench_protocols.human36m.evaluators import PUBLISHED_PAIRS as HUMAN36M_PUBLISHED_PAIRS
from tests.scoring.large_detections import write

Solve = Callable[[Array, Array], Array]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("large"), 20_000, 1_000)


def arrays(folder: Path) -> list[Array]:
    """Train and test keypoints as (N, 2K) and landmarks as (N, L, 2), in float64."""
    found = []
    for split in ("train", "test"):
        for name in ("keypoints", "landmarks"):
            array = np.load(folder / f"{split}_{name}.npy").astype(np.float64)
            found.append(array.reshape(len(array), -1) if name == "keypoints" else array)
    return found


def lstsq(x: Array, y: Array) -> Array:
    return np.asarray(np.linalg.lstsq(x, y.reshape(len(y), -1), rcond=None)[0])


def distance(p: Array, y: Array) -> Array:
    return np.asarray(np.linalg.norm(p.reshape(y.shape) - y, axis=-1).mean(1))


def autolink(folder: Path, pairs: Pairs) -> float:
    """AutoLink's evaluation as its paper's code does it: whole arrays, labels changed in place."""
    x, y, x_test, y_test = arrays(folder)
    order = permutation(pairs, 32)
    while True:
        p = x @ lstsq(x, y)
        swap = distance(p, y) > distance(p, y[:, order])
        if swap.sum() <= 10:
            break
        y[swap] = y[swap][:, order]
    d = distance(p, y)
    keep = d <= d.mean() + 3 * d.std(ddof=1)
    assert 0 < (~keep).sum() < 0.1 * len(keep)
    p = x_test @ lstsq(x[keep], y[keep])
    while (swap := distance(p, y_test) > distance(p, y_test[:, order])).sum() > 10:
        y_test[swap] = y_test[swap][:, order]
    return float(100 * distance(p, y_test).mean())


@pytest.mark.parametrize(
    ("name", "pairs"),
    [("autolink", HUMAN36M_PUBLISHED_PAIRS), ("autolink_fixed", HUMAN36M_PAIRS)],
)
def test_autolink_as_written_out_on_whole_arrays(folder: Path, name: str, pairs: Pairs) -> None:
    found = score_file(folder, f"human36m/{name}")
    assert found.value == pytest.approx(autolink(folder, pairs), rel=1e-10)
    labels = evaluate(get_evaluator("human36m/zhang"), *load_detections(folder)).value
    assert found.value < 0.9 * labels  # the labels were worth exchanging


def test_one_pass_predicts_what_lstsq_does(folder: Path) -> None:
    x, y, x_test, y_test = arrays(folder)
    found = score_file(folder, "human36m/strict")
    ones = np.ones((len(x), 1)), np.ones((len(x_test), 1))
    expected = np.hstack([x_test, ones[1]]) @ lstsq(np.hstack([x, ones[0]]), y)
    gap = np.abs(found.predicted.reshape(expected.shape) - expected).max()
    assert gap / np.abs(expected).max() < 1e-10
    assert found.value == pytest.approx(100 * distance(expected, y_test).mean(), rel=1e-12)
    assert (found.rank, found.n_features) == (33, 33)


def peak(folder: Path, evaluator: str) -> tuple[Evaluation, int]:
    stats._counts.cache_clear()  # resamples that an earlier call has kept would not be counted
    tracemalloc.start()
    found = score_file(folder, evaluator)
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, largest


@pytest.mark.parametrize("evaluator", ["human36m/autolink_fixed", "human36m/bkind"])
def test_memory_does_not_grow_with_the_training_images(
    folder: Path, tmp_path: Path, evaluator: str
) -> None:
    """Eight times the images are 12 MB more in double precision, and 35 kB of state here."""
    few, small = peak(write(tmp_path / "few", 2_500, 1_000), evaluator)
    many, large = peak(folder, evaluator)
    assert few.n_images == many.n_images
    assert large < small + 500_000


def test_mean_and_deviation_in_parts() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=1000) + 100
    spread = Spread()
    for start in range(0, 1000, 137):
        spread.add(values[start : start + 137])
    assert spread.mean == pytest.approx(values.mean(), rel=1e-14)
    assert spread.deviation == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert spread.deviation != pytest.approx(values.std(), rel=1e-6)


def test_equal_distances_are_all_kept() -> None:
    """Trimming a perfect fit must leave samples, though the mean is off by rounding."""
    for value in (0.0, 0.1, 0.2, 1 / 3):
        spread = Spread()
        for size in (2048, 2048, 77):
            spread.add(np.full(size, value))
        assert value <= spread.mean + 3 * spread.deviation
