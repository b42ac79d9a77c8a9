"""Holm's adjustment by its definition, and how often a whole table errs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.scoring.statistics.compare import PairedDifference, holm, paired_difference
from kpbench.scoring.statistics.resampling import Resampled, resample


def rejected(p_values: list[float], level: float) -> set[int]:
    """Step down as Holm writes it: the smallest p against level / m, the next / (m - 1), ..."""
    left, found = list(range(len(p_values))), set()
    while left:
        smallest = min(left, key=lambda i: p_values[i])
        if p_values[smallest] > level / len(left):
            break
        found.add(smallest)
        left.remove(smallest)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_adjusted_p_values_reject_what_the_procedure_rejects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_values = (rng.random(rng.integers(1, 12)) ** 3).tolist()
    p_values += p_values[:2]  # ties
    adjusted = holm(p_values)
    for level in (0.001, 0.01, 0.05, 0.2, 0.9):
        assert {i for i, p in enumerate(adjusted) if p <= level} == rejected(p_values, level)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))


def test_by_hand() -> None:
    assert holm([]) == [] and holm([0.2]) == [0.2]
    # 3 x 0.01, 2 x 0.02, 1 x 0.9; the order of what was given stays
    assert holm([0.9, 0.01, 0.02]) == pytest.approx([0.9, 0.03, 0.04])
    # 2 x 0.03 = 0.06 is at least the 3 x 0.025 before it
    assert holm([0.025, 0.03, 0.9]) == pytest.approx([0.075, 0.075, 0.9])
    assert holm([0.5, 0.5]) == [1.0, 1.0]


def scored(rng: np.random.Generator, methods: int, seeds: int, images: int = 40) -> Resampled:
    """Return runs of methods that do not differ: hard images are hard for all of them."""
    hard = rng.normal(0, 1, (images, 1))
    trained = rng.normal(0, 0.15, methods * seeds)
    own = rng.normal(0, 0.5, (methods, images, 1))
    runs: list[tuple[Array, Array]] = []
    for at in range(methods * seeds):
        errors = 5 + hard + own[at // seeds] + trained[at]
        errors = errors + rng.normal(0, 0.3, (images, 1))
        runs.append((errors, np.ones_like(errors, bool)))
    return resample(runs, "image_mean", n_resamples=200)


def table(found: Resampled, seeds: int) -> list[PairedDifference]:
    parts = [found[at : at + seeds] for at in range(0, len(found.values), seeds)]
    return [paired_difference(a, b) for a, b in combinations(parts, 2)]


def test_a_table_in_which_nothing_differs_decides_something_in_one_of_twenty() -> None:
    rng = np.random.default_rng(20)
    tables, by_holm, alone = 500, 0, 0
    for _ in range(tables):
        p_values = [pair.p_value for pair in table(scored(rng, methods=5, seeds=3), 3)]
        by_holm += min(holm(p_values)) < 0.05
        alone += min(p_values) < 0.05
    # 5 % of 500 = 25, binomial sd 4.9; ten intervals of 95 % each would err in far more tables
    assert by_holm <= 25 + 3 * 4.9
    assert alone >= 80


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_interval_and_p_value_are_one_statistic_in_both_directions(seeds: int) -> None:
    rng = np.random.default_rng(21)
    below = 0
    for _ in range(40):
        found = scored(rng, methods=2, seeds=seeds)
        a, b = found[:seeds], found[seeds:]
        there, back = paired_difference(a, b), paired_difference(b, a)
        assert there.difference == -back.difference
        assert there.ci95 == (-back.ci95[1], -back.ci95[0])
        assert there.p_value == back.p_value
        low, high = there.ci95
        assert (there.p_value < 0.05) == (low > 0 or high < 0)
        below += there.p_value < 0.3
    assert 0 < below < 40
