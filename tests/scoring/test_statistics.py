"""Intervals and paired tests against scipy and theory; saved scores."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import scipy.stats

from kpbench.api import Array
from kpbench.errors import InvalidInputError, RecordError, UndefinedScoreError
from kpbench.scoring.evaluators import Detections, Evaluation, evaluate
from kpbench.scoring.metrics import Aggregation, aggregate
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.per_image import load_scores, reduced, save_scores
from kpbench.scoring.statistics.compare import mean_interval, paired_bootstrap, paired_difference
from kpbench.scoring.statistics.resampling import bootstrap_interval, clusters_of, resample


def column(values: Array) -> tuple[Array, Array]:
    errors = np.asarray(values, float)[:, None]
    return errors, np.ones_like(errors, bool)


def test_interval_of_a_mean_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=150)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    found = bootstrap_interval(*column(values), "image_mean", n_resamples=20_000)
    # the Monte Carlo error of a 2.5 % quantile of 20,000 normal draws is 0.02 standard errors
    tolerance = 0.08 * values.std() / np.sqrt(150)
    assert found == pytest.approx(tuple(expected), abs=tolerance)


def test_interval_of_a_ratio_is_scipys() -> None:
    """The pooled mean resamples its denominator too."""
    rng = np.random.default_rng(2)
    errors, valid = rng.random((80, 5)), rng.random((80, 5)) < 0.5

    def pooled(index: Array) -> float:
        rows = index.astype(int)
        return float(errors[rows][valid[rows]].mean())

    expected = scipy.stats.bootstrap(
        (np.arange(80),),
        pooled,
        method="percentile",
        n_resamples=5000,
        vectorized=False,
        rng=np.random.default_rng(3),
    )
    found = bootstrap_interval(errors, valid, "pooled_mean", n_resamples=20_000)
    tolerance = 0.12 * float(expected.standard_error)
    assert found == pytest.approx(tuple(expected.confidence_interval), abs=tolerance)


def test_coverage_of_a_normal_mean() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        low, high = bootstrap_interval(*column(rng.normal(size=100)), "image_mean", n_resamples=400)
        covered += low < 0 < high
    # 95 % of 400 = 380, binomial sd 4.4; the percentile interval is a little narrow at n = 100
    assert 364 <= covered <= 394


def test_interval_is_reproducible_and_depends_on_the_seed() -> None:
    arrays = column(np.random.default_rng(5).random(60))
    first = bootstrap_interval(*arrays, "image_mean")
    assert first == bootstrap_interval(*arrays, "image_mean")
    assert first != bootstrap_interval(*arrays, "image_mean", seed=1)


def test_chunks_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = column(np.random.default_rng(5).random(60))
    whole = bootstrap_interval(*arrays, "image_mean", n_resamples=100)
    monkeypatch.setattr("kpbench.scoring.statistics.resampling.CHUNK", 7 * 60)
    assert bootstrap_interval(*arrays, "image_mean", n_resamples=100) == pytest.approx(whole)


def test_a_rare_landmark_leaves_some_resamples_undefined() -> None:
    rng = np.random.default_rng(6)
    errors, valid = rng.random((40, 2)), np.ones((40, 2), bool)
    valid[2:, 1] = False  # absent from 13 % of the resamples
    low, high = bootstrap_interval(errors, valid, "component_sum")
    assert low < aggregate(errors, valid, "component_sum") < high
    valid[:, 1] = False
    with pytest.raises(UndefinedScoreError, match=r"columns \[1\] have no visible landmark"):
        bootstrap_interval(errors, valid, "component_sum")
    sparse = np.zeros((40, 6), bool)
    sparse[np.arange(6), np.arange(6)] = True  # one label each: 94 % of the resamples lack one
    with pytest.raises(UndefinedScoreError, match="of 2000 resamples"):
        bootstrap_interval(rng.random((40, 6)), sparse, "component_sum")


def test_one_image_has_no_interval() -> None:
    with pytest.raises(UndefinedScoreError, match="at least two test images, got 1"):
        bootstrap_interval(*column(np.ones(1)), "image_mean")


def test_a_method_against_itself() -> None:
    run = column(np.random.default_rng(7).random(50))
    found = paired_bootstrap([run], [run], "image_mean")
    assert (found.difference, found.ci95, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_pairing_removes_what_the_images_share() -> None:
    """Hard images are hard for both: the paired interval is scipy's of the differences."""
    rng = np.random.default_rng(8)
    hard = rng.gamma(1.0, 5.0, 200)
    a, b = hard + rng.normal(0.2, 0.5, 200), hard + rng.normal(0, 0.5, 200)
    found = paired_bootstrap([column(a)], [column(b)], "image_mean", n_resamples=20_000)
    expected = scipy.stats.bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.difference == pytest.approx(float((a - b).mean()))
    assert found.ci95 == pytest.approx(tuple(expected), abs=0.08 * (a - b).std() / np.sqrt(200))
    assert found.ci95[0] > 0 and found.p_value < 0.01
    low, high = bootstrap_interval(*column(a), "image_mean")
    assert high - low > 5 * (found.ci95[1] - found.ci95[0])
    swapped = paired_bootstrap([column(b)], [column(a)], "image_mean", n_resamples=20_000)
    assert swapped.difference == -found.difference
    assert swapped.ci95 == pytest.approx((-found.ci95[1], -found.ci95[0]), rel=1e-12)
    assert swapped.p_value == found.p_value


def test_seeds_add_their_variance() -> None:
    rng = np.random.default_rng(9)
    base = rng.random(300)
    spread = [column(base + shift) for shift in (-1.0, 0.0, 1.0)]
    tight = [column(base + shift) for shift in (-0.01, 0.0, 0.01)]
    other = [column(base)] * 3
    # the images are shared, so what is left are three seeds with a deviation of 1 or 0.01
    half = scipy.stats.t.ppf(0.975, 2) / np.sqrt(3)
    wide = paired_bootstrap(spread, other, "image_mean")
    assert wide.ci95 == pytest.approx((-half, half), rel=1e-6)
    assert wide.p_value == pytest.approx(1.0)
    narrow = paired_bootstrap(tight, other, "image_mean").ci95
    assert narrow == pytest.approx((-0.01 * half, 0.01 * half), rel=1e-6)


def test_seeds_alone_are_welchs_test() -> None:
    rng = np.random.default_rng(21)
    a, b = rng.normal(1.0, 0.2, 4), rng.normal(0.7, 0.5, 3)
    runs = [[column(np.full(40, value)) for value in seeds] for seeds in (a, b)]
    found = paired_bootstrap(runs[0], runs[1], "image_mean")
    welch = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert found.p_value == pytest.approx(welch.pvalue, rel=1e-6)
    assert found.ci95 == pytest.approx(tuple(welch.confidence_interval(0.95)), rel=1e-6)


def test_exchanging_the_methods_changes_the_signs_alone() -> None:
    rng = np.random.default_rng(22)
    runs = [[column(rng.random(30) + rng.normal(0, 0.1)) for _ in range(n)] for n in (3, 5)]
    one = paired_bootstrap(runs[0], runs[1], "image_mean")
    other = paired_bootstrap(runs[1], runs[0], "image_mean", seed=0)
    assert other.difference == -one.difference
    # the same resamples in another order of the runs: equal up to the order of sums
    assert other.ci95 == pytest.approx((-one.ci95[1], -one.ci95[0]), rel=1e-9)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert 0 < one.p_value < 1


def test_methods_that_differ_by_a_constant_on_every_image_are_told_apart() -> None:
    """Rounding alone varies: no degree of freedom is left over from it."""
    errors = np.random.default_rng(23).random(30)
    runs = [[column(errors + shift) for shift in shifts] for shifts in ((0.5, 0.5 + 1e-9), (0, 0))]
    found = paired_bootstrap(runs[0], runs[1], "image_mean")
    assert found.ci95 == pytest.approx((0.5, 0.5), abs=1e-6)
    assert found.p_value < 1e-6


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0], ids=["images", "both", "seeds"])
def test_coverage_over_images_and_seeds(seeds: int, ratio: float) -> None:
    """Of 95 % intervals of a difference that is 0: deviation of a seed over that of the images.

    In 2,500 simulations each: 93.4 to 96.4 %.
    """
    rng = np.random.default_rng(seeds)
    n, trials, covered = 40, 300, 0
    for _ in range(trials):
        shared = rng.normal(size=n)
        runs = [
            [
                column(shared + rng.normal(size=n) / 2 + rng.normal(0, ratio / np.sqrt(n)))
                for _ in range(seeds)
            ]
            for _ in range(2)
        ]
        low, high = paired_bootstrap(runs[0], runs[1], "image_mean", n_resamples=200).ci95
        covered += low < 0 < high
    # binomial: 95 % of 300 = 285, sd 3.8
    assert 0.91 * trials <= covered <= 0.995 * trials


def test_interval_of_a_mean_over_seeds() -> None:
    rng = np.random.default_rng(13)
    one = column(rng.random(200))
    assert mean_interval(resample([one], "image_mean")) == bootstrap_interval(*one, "image_mean")
    constant = [column(np.full(200, value)) for value in (1.0, 2.0, 3.0)]
    wanted = scipy.stats.t.interval(0.95, 2, loc=2.0, scale=1 / np.sqrt(3))
    assert mean_interval(resample(constant, "image_mean")) == pytest.approx(wanted)
    equal = [column(rng.random(200))] * 3  # seeds that agree: the images alone, 199 degrees
    low, high = mean_interval(resample(equal, "image_mean"))
    errors = equal[0][0]
    half = scipy.stats.t.ppf(0.975, 199) * errors.std(ddof=1) / np.sqrt(200)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)
    assert (low + high) / 2 == pytest.approx(errors.mean())


def test_rate_of_false_alarms() -> None:
    rng = np.random.default_rng(10)
    alarms = 0
    for _ in range(300):
        a, b = (column(rng.normal(size=60)) for _ in range(2))
        alarms += paired_bootstrap([a], [b], "image_mean", n_resamples=300).p_value < 0.05
    assert alarms <= 30  # 5 % of 300 = 15, binomial sd 3.8


def test_other_images_cannot_be_paired() -> None:
    rng = np.random.default_rng(11)
    a, b = column(rng.random(50)), column(rng.random(49))
    with pytest.raises(InvalidInputError, match="not scored on the same labels"):
        paired_bootstrap([a], [b], "image_mean")
    other = (a[0], a[1].copy())
    other[1][3] = False
    with pytest.raises(InvalidInputError, match="not scored on the same labels"):
        paired_bootstrap([a], [other], "image_mean")
    with pytest.raises(InvalidInputError, match="at least one seed"):
        paired_bootstrap([a], [], "image_mean")
    with pytest.raises(InvalidInputError, match="clusters must have shape"):
        bootstrap_interval(*a, "image_mean", clusters=np.arange(49))


def test_images_of_one_person_are_one_observation() -> None:
    """Copies of each image say nothing new: the interval is that of the images without copies."""
    rng = np.random.default_rng(14)
    errors, valid = rng.random((60, 3)), rng.random((60, 3)) < 0.8
    copied = np.repeat(errors, 4, axis=0), np.repeat(valid, 4, axis=0)
    people = np.repeat(np.arange(60), 4)
    aggregations: tuple[Aggregation, ...] = ("pooled_mean", "component_sum", "image_mean")
    for aggregation in aggregations:
        once = bootstrap_interval(errors, valid, aggregation)
        assert bootstrap_interval(*copied, aggregation, clusters=people) == pytest.approx(once)
        naive = bootstrap_interval(*copied, aggregation)
        assert once[1] - once[0] > 1.7 * (naive[1] - naive[0])  # sqrt(4) = 2 times


def test_cluster_interval_is_scipys_over_clusters_of_any_size() -> None:
    rng = np.random.default_rng(15)
    people = rng.integers(0, 50, 400)
    errors = rng.random((400, 1)) + rng.random(50)[people][:, None]

    def of_clusters(index: Array) -> float:
        return float(np.concatenate([errors[people == person] for person in index]).mean())

    expected = scipy.stats.bootstrap(
        (np.arange(50),),
        of_clusters,
        method="percentile",
        n_resamples=4000,
        vectorized=False,
        rng=np.random.default_rng(3),
    )
    found = bootstrap_interval(
        errors, errors >= 0, "image_mean", clusters=people, n_resamples=20_000
    )
    tolerance = 0.12 * float(expected.standard_error)
    assert found == pytest.approx(tuple(expected.confidence_interval), abs=tolerance)
    shuffled = rng.permutation(400)
    again = bootstrap_interval(
        errors[shuffled], errors >= 0, "image_mean", clusters=people[shuffled], n_resamples=20_000
    )
    assert again == pytest.approx(found)


def test_coverage_when_images_share_a_person() -> None:
    rng = np.random.default_rng(16)
    people = np.repeat(np.arange(40), 4)
    covered = {"people": 0, "images": 0}
    for _ in range(300):
        run = column(rng.normal(size=40)[people] + 0.5 * rng.normal(size=160))
        for kind, clusters in (("people", people), ("images", None)):
            low, high = bootstrap_interval(*run, "image_mean", clusters=clusters, n_resamples=300)
            covered[kind] += low < 0 < high
    # 95 % of 300 = 285, sd 3.8, less a little at 40 clusters; images alone cover about 70 %
    assert covered["people"] >= 268
    assert covered["images"] <= 240


def test_identities_are_resampled_where_there_are_enough_of_them() -> None:
    people = np.repeat(np.arange(10), 4)
    assert clusters_of(people) is people
    assert clusters_of(None) is None
    assert clusters_of(np.repeat(np.arange(9), 4)) is None  # too few to speak of others
    assert clusters_of(np.arange(40)) is None  # no two images share one


def test_many_runs_are_compared_from_one_resampling() -> None:
    rng = np.random.default_rng(17)
    a, b, c = ([column(rng.random(80)) for _ in range(3)] for _ in range(3))
    together = resample([*a, *b, *c], "image_mean")
    assert paired_difference(together[:3], together[6:]) == paired_bootstrap(a, c, "image_mean")
    assert mean_interval(together[3:6]) == mean_interval(resample(b, "image_mean"))


def test_memory_does_not_grow_with_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """90,000 images, the size of Human3.6M's test: chunks of counts, never (resamples, images)."""
    monkeypatch.setattr("kpbench.scoring.statistics.resampling.CHUNK", 1_000_000)
    run = column(np.random.default_rng(18).random(90_000))
    tracemalloc.start()
    low, high = bootstrap_interval(*run, "image_mean", n_resamples=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6  # 200 resamples at once would be 144 MB of counts
    wanted = 1.96 * run[0].std() / np.sqrt(90_000)
    assert high - low == pytest.approx(2 * wanted, rel=0.2)


@pytest.fixture(scope="module")
def evaluations() -> list[Evaluation]:
    rng = np.random.default_rng(12)
    parts = []
    for n in (150, 70):
        landmarks = rng.uniform(0.1, 0.9, (n, 32, 2))
        keypoints = np.clip(landmarks[:, :8] + rng.normal(0, 0.1, (n, 8, 2)), 0, 1)
        activities = np.array(["Posing", "Walking"])[np.arange(n) % 2]
        parts.append(Detections(keypoints, landmarks, np.ones((n, 32), bool), activities))
    names = ("human36m/autolink", "human36m/bkind", "deepfashion/strict", "taichi/siarohin")
    return [evaluate(get_evaluator(name), *parts) for name in names]


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
@pytest.mark.parametrize("seen", [1.0, 0.9, 0.2])
def test_few_numbers_an_image_score_as_all_errors_do(aggregation: Aggregation, seen: float) -> None:
    rng = np.random.default_rng(24)
    n = 60
    errors, valid = rng.gamma(1.0, size=(n, 12)), np.repeat(rng.random((n, 6)) < seen, 2, axis=1)
    errors[~valid] = np.nan
    groups = np.array(["sit", "walk", "wait"])[np.arange(n) % 3]
    few = reduced(errors, valid, aggregation)
    for counts in (np.ones(n), rng.integers(0, 5, n)):
        whole = aggregate(errors, valid, aggregation, groups, counts)
        assert aggregate(*few, aggregation, groups, counts) == pytest.approx(whole, rel=1e-12)
    for clusters in (None, np.arange(n) // 3):
        one = bootstrap_interval(errors, valid, aggregation, groups, clusters=clusters)
        other = bootstrap_interval(*few, aggregation, groups, clusters=clusters)
        assert other == pytest.approx(one, rel=1e-9)
    columns = {"component_sum": 1 if seen == 1 else 6, "pooled_mean": valid.sum(1).max()}
    assert few[0].shape == few[1].shape == (n, columns.get(aggregation, 1))


def test_what_is_reduced_by_hand() -> None:
    errors = np.array([[1.0, 3.0, 8.0], [5.0, 7.0, 9.0], [2.0, 4.0, 6.0]])
    valid = np.array([[True, True, False], [True, True, True], [False, False, False]])
    wanted = {
        "image_mean": ([[2], [7], [0]], [[1], [1], [0]]),
        "image_sum": ([[4], [21], [0]], [[1], [1], [1]]),  # an empty image still counts
        "pooled_mean": ([[2, 2, 0], [7, 7, 7], [0, 0, 0]], [[1, 1, 0], [1, 1, 1], [0, 0, 0]]),
        "group_mean": ([[2], [7], [0]], [[1], [1], [0]]),
        "component_sum": ([[0, 4], [9, 12], [0, 0]], [[0, 1], [1, 1], [0, 0]]),
    }
    for aggregation in get_args(Aggregation):
        found, counted = reduced(errors, valid, aggregation)
        assert (found.tolist(), counted.tolist()) == wanted[aggregation], aggregation


def test_evaluators_of_the_same_errors_share_them(
    tmp_path: Path, evaluations: list[Evaluation]
) -> None:
    taichi = evaluations[3]
    names = ("taichi/siarohin", "taichi/autolink", "taichi/strict")
    same = [replace(taichi, evaluator=name) for name in names]
    path = tmp_path / "scores.npz"
    path.write_bytes(save_scores(same))
    with np.load(path) as arrays:
        assert [name for name in arrays if name.endswith(":errors")] == [f"{names[0]}:errors"]
    for name, scores in load_scores(path).items():
        assert name in names
        pair = scores.errors, scores.valid
        assert aggregate(*pair, scores.aggregation) == pytest.approx(taichi.value, rel=1e-6)
    better = replace(taichi, evaluator="taichi/strict", errors=np.asarray(taichi.errors) / 2)
    path.write_bytes(save_scores([taichi, better]))
    kept = load_scores(path)["taichi/strict"]
    assert aggregate(kept.errors, kept.valid, kept.aggregation) == pytest.approx(taichi.value / 2)


def test_saved_scores_give_the_values_back(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    path = tmp_path / "scores.npz"
    path.write_bytes(save_scores(evaluations))
    loaded = load_scores(path)
    assert list(loaded) == [e.evaluator for e in evaluations]
    for e in evaluations:
        s = loaded[e.evaluator]
        assert aggregate(s.errors, s.valid, s.aggregation, s.groups) == pytest.approx(
            e.value, rel=1e-6
        )
        assert bootstrap_interval(s.errors, s.valid, s.aggregation, s.groups) == pytest.approx(
            e.ci95, rel=1e-6
        )
    assert save_scores(evaluations) == path.read_bytes()
    with pytest.raises(InvalidInputError, match="two evaluations under human36m/autolink"):
        save_scores([evaluations[0], evaluations[0]])


def test_a_corrupt_file_is_a_record_error(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    path = tmp_path / "scores.npz"
    good = save_scores(evaluations)
    with pytest.raises(RecordError, match=r"scores\.npz are missing"):
        load_scores(path)
    middle = len(good) // 2
    npy = io.BytesIO()
    np.save(npy, np.ones(3))
    broken = [
        good[:-40],
        good[:middle],
        b"",
        b"not an npz",
        good[:middle] + b"xx" + good[middle + 2 :],
    ]
    for data in broken:
        path.write_bytes(data)
        with pytest.raises(RecordError, match="corrupt"):
            load_scores(path)


@pytest.mark.parametrize(
    "change",
    [
        {"e:errors": np.ones((3, 2), object)},
        {"e:errors": np.ones((3, 2))},
        {"e:errors": np.ones((3, 1), np.float32)},
        {"e:valid": np.ones((3, 2))},
        {"e:aggregation": np.array("median")},
        {"e:groups": np.array(["a"])},
        {"e:valid": None},
        {"e:errors_of": np.array("f")},
        {"e:landmark_values": np.ones(3, np.float32)},
        {"e:landmark_values": np.array(["a", "b"])},
        {"e:landmark_values": None},
    ],
)
def test_altered_arrays_are_a_record_error(tmp_path: Path, change: dict[str, Array | None]) -> None:
    arrays: dict[str, Array | None] = {
        "e:errors": np.ones((3, 2), np.float32),
        "e:valid": np.ones((3, 2), bool),
        "e:aggregation": np.array("image_mean"),
        "e:landmarks": np.array(["top", "left"]),
        "e:landmark_values": np.ones(2, np.float32),
        "format": np.array(2),
    }
    path = tmp_path / "scores.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    assert load_scores(path)["e"].by_landmark() == [1.0, 1.0]
    arrays |= change
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v for k, v in arrays.items() if v is not None})  # type: ignore[arg-type]
    path.write_bytes(buffer.getvalue())
    with pytest.raises(RecordError, match="corrupt"):
        load_scores(path)


@pytest.mark.parametrize("told", [{}, {"format": np.array(3)}, {"format": np.array([2, 2])}])
def test_a_file_of_another_format_is_a_record_error(tmp_path: Path, told: dict[str, Array]) -> None:
    """The first had the errors of every landmark, and said nothing of its format."""
    path = tmp_path / "scores.npz"
    arrays = {
        "e:errors": np.ones((3, 2), np.float32),
        "e:valid": np.ones((3, 2), bool),
        "e:aggregation": np.array("image_mean"),
        **told,
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(RecordError, match=r"of format .* delete the record beside them and run"):
        load_scores(path)


def test_identities_and_names_are_kept(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    path = tmp_path / "scores.npz"
    people = np.arange(70) // 4
    names = {"taichi/siarohin": [f"joint {i}" for i in range(32)]}
    path.write_bytes(save_scores(evaluations, people, names))
    loaded = load_scores(path)
    for scores in loaded.values():
        assert scores.identities is not None
        np.testing.assert_array_equal(scores.identities, people.astype(str))
    taichi, other = loaded["taichi/siarohin"], loaded["deepfashion/strict"]
    assert taichi.landmarks[31] == "joint 31" and other.landmarks == ()
    with pytest.raises(InvalidInputError, match="identities of 69"):
        save_scores(evaluations, people[:69])


def test_each_landmark_alone(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    """Two columns a landmark for coordinates, one for distances: x and y of one, not of two."""
    path = tmp_path / "scores.npz"
    names = [f"joint {i}" for i in range(32)]
    by_name = {e.evaluator: names[: len(e.landmark_values)] for e in evaluations}
    path.write_bytes(save_scores(evaluations, None, by_name))
    for e in evaluations:
        found = load_scores(path)[e.evaluator].by_landmark()
        assert found == pytest.approx(e.landmark_values.tolist(), rel=1e-5)
    example = replace(evaluations[0], landmark_values=np.zeros(2), groups=None)
    shown = np.array([[True, False], [False, False], [False, False]])
    alone = replace(example, errors=np.full((3, 2), 2.0), valid=shown)
    both = {alone.evaluator: ["rare", "never"]}
    for aggregation in (a for a in get_args(Aggregation) if a != "group_mean"):
        changed = replace(alone, aggregation=aggregation)
        path.write_bytes(save_scores([changed], None, both))
        [kept] = load_scores(path).values()
        assert kept.by_landmark() == [2.0, None], aggregation  # of a sum not 2 / 3
    [kept] = load_scores(path).values()
    assert kept.landmarks == ("rare", "never")
