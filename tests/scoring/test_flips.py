"""Swap lists and the rules that exchange left and right."""

from __future__ import annotations

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.people.body.skeleton import JOINTS
from kpbench.scoring.flips import (
    MAX_ROUNDS,
    Exchanged,
    Pairs,
    exchange_back_facing,
    exchange_is_closer,
    mirrored_pairs,
    nearer_estimate,
    permutation,
    settle,
)
from kpbench_protocols.human36m.evaluators import PAIRS as HUMAN36M_PAIRS
from kpbench_protocols.human36m.evaluators import PUBLISHED_PAIRS as HUMAN36M_PUBLISHED_PAIRS
from kpbench_protocols.people.evaluators import PAIRS as PEOPLE_PAIRS


@pytest.mark.parametrize("pairs", [HUMAN36M_PAIRS, PEOPLE_PAIRS])
def test_left_right_swap_is_an_involution(pairs: Pairs) -> None:
    order = permutation(pairs, 32)
    assert np.array_equal(order[order], np.arange(32))
    assert (order != np.arange(32)).sum() == 2 * len(pairs)


def test_the_published_list_is_no_permutation() -> None:
    order = permutation(HUMAN36M_PUBLISHED_PAIRS, 32)
    assert len(set(order.tolist())) < 32
    # what AutoLink h36m.py:111 gives: 20 and 21 are filled from 28, 28 from 21, 29 from itself
    assert order[[16, 20, 21, 24, 28, 29]].tolist() == [16, 28, 28, 24, 21, 29]


def test_pairs_of_the_rendered_people_are_those_of_their_names() -> None:
    order = permutation(PEOPLE_PAIRS, 32)
    for name, other in zip(JOINTS, order, strict=True):
        mirror = {"l_": "r_", "r_": "l_"}.get(name[:2])
        assert JOINTS[other] == (mirror + name[2:] if mirror else name)
    assert len(PEOPLE_PAIRS) == 13


def test_mirrored_pairs_are_left_first() -> None:
    assert mirrored_pairs(["r_hip", "l_hip", "spine_low"]) == ((1, 0),)


def people(n: int, facing: Array) -> Array:
    """Labels of 32 joints whose left ones lie right in the image where `facing`."""
    landmarks = np.full((n, 32, 2), 0.5)
    for left, right in HUMAN36M_PAIRS:
        landmarks[:, left, 0] = np.where(facing, 0.7, 0.3)
        landmarks[:, right, 0] = np.where(facing, 0.3, 0.7)
        landmarks[:, [left, right], 1] = np.random.default_rng(left).random((n, 2))
    return landmarks


def test_back_facing_people_alone_are_exchanged() -> None:
    facing = np.array([True, False, True])
    landmarks = people(3, facing)
    found = exchange_back_facing(landmarks, HUMAN36M_PAIRS)
    assert np.array_equal(found[facing], landmarks[facing])
    assert np.array_equal(found[1], landmarks[1, permutation(HUMAN36M_PAIRS, 32)])


@pytest.mark.parametrize(("right_of", "exchanged"), [(9, False), (8, True)])
def test_nine_of_thirteen_pairs_decide_the_facing(right_of: int, exchanged: bool) -> None:
    landmarks = people(1, np.array([False]))
    for left, right in HUMAN36M_PAIRS[:right_of]:
        landmarks[0, [left, right], 0] = [0.7, 0.3]
    found = exchange_back_facing(landmarks, HUMAN36M_PAIRS)
    assert (not np.array_equal(found, landmarks)) == exchanged


@pytest.mark.parametrize("flipped", [10, 11])
def test_at_most_ten_samples_stay_as_they_are(flipped: int) -> None:
    order = permutation(HUMAN36M_PAIRS, 32)
    truth = people(30, np.ones(30, bool))
    annotated = truth.copy()
    annotated[:flipped] = truth[:flipped, order]
    before = annotated.copy()
    exchanged = Exchanged(30, order)

    def closer() -> Array:
        return exchange_is_closer(truth, exchanged.labels(annotated, slice(0, 30)), order)

    assert closer().tolist() == [True] * flipped + [False] * (30 - flipped)
    assert settle(exchanged, closer) == 0
    found = exchanged.labels(annotated, slice(0, 30))
    assert np.array_equal(found, truth if flipped > 10 else before)
    assert np.array_equal(annotated, before)


def test_settling_stops_and_says_when_it_does_not_converge() -> None:
    exchanged = Exchanged(20, permutation(HUMAN36M_PAIRS, 32))
    calls = []

    def always() -> Array:
        calls.append(1)
        return np.ones(20, bool)

    assert settle(exchanged, always) == 20
    assert len(calls) == MAX_ROUNDS
    landmarks = people(20, np.ones(20, bool))
    assert np.array_equal(exchanged.labels(landmarks, slice(0, 20)), landmarks)  # 100 times is even


@pytest.mark.parametrize("pairs", [HUMAN36M_PAIRS, HUMAN36M_PUBLISHED_PAIRS])
def test_labels_are_those_of_exchanging_again_and_again(pairs: Pairs) -> None:
    """Twice is not never under the published list."""
    order = permutation(pairs, 32)
    landmarks = np.random.default_rng(0).random((12, 32, 2))
    exchanged, labels = Exchanged(12, order), landmarks
    rng = np.random.default_rng(1)
    for _ in range(5):
        marked = rng.random(12) < 0.6
        exchanged.accept(marked)
        labels = np.where(marked[:, None, None], labels[:, order], labels)
        assert np.array_equal(exchanged.labels(landmarks, slice(0, 12)), labels)
        assert np.array_equal(exchanged.labels(landmarks[3:7], slice(3, 7)), labels[3:7])


def test_nearer_estimate_is_an_exact_minimum() -> None:
    order = permutation(HUMAN36M_PAIRS, 32)
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((2, 5, 32, 2))
    found = nearer_estimate(predicted, truth, order)
    for n in range(5):
        both = [
            np.linalg.norm(p - truth[n], axis=1).mean() for p in (predicted[n], predicted[n, order])
        ]
        assert np.linalg.norm(found[n] - truth[n], axis=1).mean() == pytest.approx(min(both))
