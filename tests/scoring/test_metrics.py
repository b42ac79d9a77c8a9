"""Errors and aggregations against loops written out, and everything undefined."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpbench.api import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.scoring.metrics import (
    Aggregation,
    absolute_errors,
    aggregate,
    combine,
    hits,
    interocular_distances,
    l2_errors,
    terms,
)

AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
Case = tuple[Array, Array, Array]


def case(seed: int = 0, n: int = 12, c: int = 4) -> Case:
    """Errors, valid with at least one a row and column, and groups."""
    rng = np.random.default_rng(seed)
    valid = rng.random((n, c)) < 0.7
    valid[np.arange(n), np.arange(n) % c] = True
    return rng.random((n, c)), valid, np.array(["walk", "pose", "wait"])[np.arange(n) % 3]


def by_hand(errors: Array, valid: Array, aggregation: Aggregation, groups: Array) -> float:
    rows = [[e for e, v in zip(*row, strict=True) if v] for row in zip(errors, valid, strict=True)]
    means = [sum(row) / len(row) for row in rows]
    if aggregation == "image_mean":
        return float(sum(means) / len(means))
    if aggregation == "pooled_mean":
        return float(sum(map(sum, rows)) / sum(map(len, rows)))
    if aggregation == "image_sum":
        return float(sum(map(sum, rows)) / len(rows))
    if aggregation == "component_sum":
        return float(
            sum(errors[valid[:, c], c].sum() / valid[:, c].sum() for c in range(errors.shape[1]))
        )
    of = {g: [m for m, h in zip(means, groups, strict=True) if h == g] for g in set(groups)}
    return float(sum(sum(v) / len(v) for v in of.values()) / len(of))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(seed=st.integers(0, 1000))
def test_aggregate_against_a_loop(aggregation: Aggregation, seed: int) -> None:
    errors, valid, groups = case(seed)
    expected = by_hand(errors, valid, aggregation, groups)
    assert aggregate(errors, valid, aggregation, groups) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(seed=st.integers(0, 1000))
def test_counts_equal_repeated_images(aggregation: Aggregation, seed: int) -> None:
    errors, valid, groups = case(seed)
    counts = np.random.default_rng(seed).integers(1, 4, len(errors))
    rows = np.repeat(np.arange(len(errors)), counts)
    expected = aggregate(errors[rows], valid[rows], aggregation, groups[rows])
    assert aggregate(errors, valid, aggregation, groups, counts) == pytest.approx(expected)
    numerator, denominator = terms(errors, valid, aggregation, groups)
    both = np.stack([counts, np.ones_like(counts)])
    assert combine(both @ numerator, both @ denominator, aggregation) == pytest.approx(
        [expected, aggregate(errors, valid, aggregation, groups)]
    )


def test_aggregations_differ_with_missing_labels_and_agree_without() -> None:
    errors, valid, _ = case()
    image = aggregate(errors, valid, "image_mean")
    assert image != aggregate(errors, valid, "pooled_mean")
    valid = np.ones_like(valid)
    assert aggregate(errors, valid, "image_mean") == pytest.approx(
        aggregate(errors, valid, "pooled_mean")
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_nothing_to_average_raises(aggregation: Aggregation) -> None:
    errors, valid, groups = case()
    with pytest.raises(UndefinedScoreError, match="none of the 12 images"):
        aggregate(errors, np.zeros_like(valid), aggregation, groups)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_error_that_is_not_finite_raises(aggregation: Aggregation, bad: float) -> None:
    errors, valid, groups = case()
    errors[[2, 5], [2, 1]] = bad
    assert valid[2, 2] and valid[5, 1]
    with pytest.raises(UndefinedScoreError, match="2 of 12 images"):
        aggregate(errors, valid, aggregation, groups)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_invalid_error_may_be_anything(aggregation: Aggregation) -> None:
    errors, valid, groups = case()
    assert not valid.all()
    expected = aggregate(errors, valid, aggregation, groups)
    assert aggregate(np.where(valid, errors, np.nan), valid, aggregation, groups) == expected


def test_a_column_without_labels_is_named() -> None:
    errors, valid, _ = case()
    valid[:, 2] = False
    with pytest.raises(UndefinedScoreError, match=r"columns \[2\]"):
        aggregate(errors, valid, "component_sum")


def test_a_group_without_labels_raises() -> None:
    errors, valid, groups = case()
    valid[groups == "pose"] = False
    with pytest.raises(UndefinedScoreError, match="group"):
        aggregate(errors, valid, "group_mean", groups)


def test_wrong_arguments_raise() -> None:
    errors, valid, groups = case()
    with pytest.raises(InvalidInputError, match="needs the group"):
        aggregate(errors, valid, "group_mean")
    with pytest.raises(InvalidInputError, match="needs the group"):
        aggregate(errors, valid, "group_mean", groups[:3])
    with pytest.raises(InvalidInputError, match="no aggregation 'mean'"):
        aggregate(errors, valid, "mean")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="bool"):
        aggregate(errors, valid.astype(float), "image_mean")
    with pytest.raises(InvalidInputError, match="weights"):
        aggregate(errors, valid, "image_mean", weights=np.ones(3))
    with pytest.raises(InvalidInputError, match=r"\(N, L, 2\)"):
        l2_errors(np.zeros((2, 3, 2)), np.zeros((2, 4, 2)))


def test_errors_against_loops() -> None:
    rng = np.random.default_rng(1)
    p, y = rng.random((2, 5, 3, 2))
    for n in range(5):
        for k in range(3):
            dx, dy = p[n, k] - y[n, k]
            assert l2_errors(p, y)[n, k] == pytest.approx((dx**2 + dy**2) ** 0.5)
            assert absolute_errors(p, y)[n, 2 * k : 2 * k + 2] == pytest.approx([abs(dx), abs(dy)])
            assert hits(p, y, 0.5)[n, k] == ((dx**2 + dy**2) ** 0.5 < 0.5)
        assert interocular_distances(y, (2, 0))[n] == pytest.approx(np.hypot(*(y[n, 2] - y[n, 0])))


def test_a_hit_is_strictly_closer_than_the_threshold() -> None:
    predicted = np.array([[[6 / 256, 0.0], [np.nextafter(6 / 256, 0), 0.0]]])
    assert hits(predicted, np.zeros((1, 2, 2)), 6 / 256).tolist() == [[0.0, 1.0]]


def test_no_argument_is_written_to() -> None:
    rng = np.random.default_rng(2)
    p, y = rng.random((2, 6, 3, 2))
    errors, valid, groups = case(n=6, c=3)
    counts = np.ones(6)
    arrays = [p, y, errors, valid, groups, counts]
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.setflags(write=False)
    l2_errors(p, y), absolute_errors(p, y), hits(p, y, 0.1), interocular_distances(y, (0, 1))
    for aggregation in AGGREGATIONS:
        aggregate(errors, valid, aggregation, groups, counts)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
