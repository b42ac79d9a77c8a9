"""Named evaluators against their papers' rules written out, and what follows from the rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from kpbench.api import Array
from kpbench.scoring.evaluators import Detections, evaluate
from kpbench.scoring.flips import permutation
from kpbench.scoring.named import get_evaluator
from kpbench_protocols.human36m.evaluators import BKIND_JOINTS
from kpbench_protocols.human36m.evaluators import PAIRS as HUMAN36M_PAIRS
from kpbench_protocols.people.evaluators import PAIRS as PEOPLE_PAIRS
from tests.scoring.evaluator_toys import toy


def test_bkind_against_its_rules_written_out() -> None:
    """Ridge(alpha=0) without intercept in [-1, 1]; labels of the 16 joints; mean of activities."""
    name = "human36m/bkind"
    train, test = toy(name, noise=0.05)
    rng = np.random.default_rng(5)
    activities = np.array(["Walking", "Posing", "Waiting"])[rng.integers(0, 3, 90)]
    test = replace(test, activities=activities)
    behind = train.landmarks.copy()
    behind[:50] = behind[:50, permutation(HUMAN36M_PAIRS, 32)]
    train = replace(train, landmarks=behind)
    left, right = (np.array(side) for side in zip(*HUMAN36M_PAIRS, strict=True))
    assert sorted([*left, *right]) == [*range(1, 11), *range(16, 32)]
    labels = train.landmarks.copy()
    flipped = 0
    for n in range(len(labels)):
        if sum(labels[n, left, 0] > labels[n, right, 0]) < 9:
            labels[n, left], labels[n, right] = labels[n, right].copy(), labels[n, left].copy()
            flipped += 1
    assert flipped == 50
    model = Ridge(alpha=0, fit_intercept=False)
    model.fit(
        train.keypoints.reshape(200, -1) * 2 - 1, labels[:, BKIND_JOINTS].reshape(200, -1) * 2 - 1
    )
    predicted = (model.predict(test.keypoints.reshape(90, -1) * 2 - 1) + 1) / 2
    gap = predicted.reshape(90, 16, 2) - test.landmarks[:, BKIND_JOINTS]
    distance = np.linalg.norm(gap, axis=-1).mean(1)
    expected = 100 * np.mean([distance[activities == a].mean() for a in set(activities.tolist())])
    found = evaluate(get_evaluator(name), train, test)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.notes == ()
    plain = evaluate(get_evaluator(name), train, replace(test, activities=None))
    assert plain.value == pytest.approx(100 * distance.mean(), rel=1e-9)
    assert plain.notes == ("no activities given: all test images count as one activity",)


@pytest.mark.parametrize("name", ["celeba/scops", "cub/scops"])
def test_scops_is_a_standardised_fit_without_intercept(name: str) -> None:
    train, test = toy(name, noise=0.05)
    distance = np.empty(test.visible.shape)
    for index in range(test.landmarks.shape[1]):
        rows = train.visible[:, index]
        x = StandardScaler().fit(train.keypoints[rows].reshape(rows.sum(), -1))
        y = StandardScaler().fit(train.landmarks[rows, index])
        model = LinearRegression(fit_intercept=False)
        model.fit(
            x.transform(train.keypoints[rows].reshape(rows.sum(), -1)),
            y.transform(train.landmarks[rows, index]),
        )
        predicted = y.inverse_transform(model.predict(x.transform(test.keypoints.reshape(90, -1))))
        distance[:, index] = np.linalg.norm(predicted - test.landmarks[:, index], axis=-1)
    if name == "celeba/scops":
        eyes = np.linalg.norm(test.landmarks[:, 0] - test.landmarks[:, 1], axis=-1)
        expected = (distance / eyes[:, None]).mean()
    else:
        expected = distance[test.visible].mean()
    found = evaluate(get_evaluator(name), train, test)
    assert found.value == pytest.approx(100 * expected, rel=1e-9)


def test_stablekeypoints_drops_labels_on_the_border_but_siarohin_keeps_them() -> None:
    train, test = toy("taichi/strict")
    landmarks = test.landmarks.copy()
    landmarks[:5, 0, 0] = 0.0  # visible, at the left border
    test = replace(test, landmarks=landmarks)
    stable = evaluate(get_evaluator("taichi/stablekeypoints"), train, test)
    assert not stable.valid[:5, 0].any() and test.visible[:5, 0].all()
    siarohin = evaluate(get_evaluator("taichi/siarohin"), train, test)
    assert siarohin.valid[:5, :2].all()


def test_autolink_trims_outliers_before_its_last_fit() -> None:
    spec = get_evaluator("people_plain/autolink")
    train, test = toy(spec.name, noise=0.0)
    clean = evaluate(spec, train, test).value
    landmarks = train.landmarks.copy()
    landmarks[:3] = 1 - landmarks[:3]
    outliers = replace(train, landmarks=landmarks)
    assert evaluate(spec, outliers, test).value < clean * 1.05
    assert evaluate(replace(spec, trim=None), outliers, test).value > clean * 1.05


@pytest.mark.parametrize("paper", ["autolink", "stablekeypoints"])
def test_left_right_symmetric_scores_forgive_exchanged_people_and_strict_does_not(
    paper: str,
) -> None:
    train, test = toy("people_background/autolink")
    landmarks = test.landmarks.copy()
    landmarks[:40] = landmarks[:40, permutation(PEOPLE_PAIRS, 32)]
    exchanged = replace(test, landmarks=landmarks)
    spec, strict = (get_evaluator(f"people_background/{e}") for e in (paper, "strict"))
    straight = evaluate(spec, train, test)
    found = evaluate(spec, train, exchanged)
    assert found.value == pytest.approx(straight.value, rel=1e-9)
    assert np.array_equal(found.predicted, straight.predicted)
    values = [evaluate(strict, train, d).value for d in (test, exchanged)]
    assert values[1] > 1.5 * values[0]


def test_em_recovers_exchanged_training_labels() -> None:
    spec = get_evaluator("people_background/autolink")
    train, test = toy(spec.name)
    landmarks = train.landmarks.copy()
    landmarks[:60] = landmarks[:60, permutation(PEOPLE_PAIRS, 32)]
    exchanged = replace(train, landmarks=landmarks)
    found = evaluate(spec, exchanged, test).value
    # up to ten labels may stay exchanged, and are then trimmed as outliers
    assert found == pytest.approx(evaluate(spec, train, test).value, rel=0.02)
    no_em = replace(spec, train_flip="none")
    assert evaluate(no_em, exchanged, test).value > 1.5 * found


def test_the_faulty_list_gives_another_number_than_the_correct_one() -> None:
    spec = get_evaluator("human36m/autolink")
    train, test = toy(spec.name)
    landmarks = test.landmarks.copy()
    landmarks[:40] = landmarks[:40, permutation(HUMAN36M_PAIRS, 32)]
    exchanged = replace(test, landmarks=landmarks)
    correct = evaluate(replace(spec, pairs=HUMAN36M_PAIRS), train, exchanged).value
    assert evaluate(spec, train, exchanged).value > correct * 1.01


def standardised(train_x: Array, train_y: Array, test_x: Array) -> Array:
    """SCOPS's and Huang and Li's fit: standardised on both sides, without intercept."""
    x, y = StandardScaler().fit(train_x), StandardScaler().fit(train_y)
    model = LinearRegression(fit_intercept=False).fit(x.transform(train_x), y.transform(train_y))
    return np.asarray(y.inverse_transform(model.predict(x.transform(test_x))))


@pytest.mark.parametrize("name", ["cub/huang", "cub/choudhury"])
def test_birds_in_units_of_their_boxes(name: str) -> None:
    """Each image's coordinates are divided by its box, x by the width and y by the height."""
    train, test = toy(name, noise=0.05)

    def in_box(data: Detections, points: Array) -> Array:
        assert data.boxes is not None
        found = points.copy()
        for n, (left, top, width, height) in enumerate(data.boxes):
            found[n, :, 0] = (points[n, :, 0] - left) / width
            found[n, :, 1] = (points[n, :, 1] - top) / height
        return found

    x, x_test = (in_box(d, d.keypoints).reshape(len(d), -1) for d in (train, test))
    y, y_test = (in_box(d, d.landmarks) for d in (train, test))
    total, count = 0.0, 0
    for landmark in range(15):
        rows, seen = train.visible[:, landmark], test.visible[:, landmark]
        predicted = standardised(x[rows], y[rows, landmark], x_test[seen])
        total += np.linalg.norm(predicted - y_test[seen, landmark], axis=-1).sum()
        count += seen.sum()
    found = evaluate(get_evaluator(name), train, test)
    assert found.value == pytest.approx(100 * total / count, rel=1e-9)
    assert found.value != pytest.approx(evaluate(get_evaluator("cub/scops"), train, test).value)
    assert found.predicted == pytest.approx(test.landmarks, abs=0.6)  # back in the image


def test_huang_divides_by_the_annotated_eyes_in_test_as_well() -> None:
    train, test = toy("celeba/huang", noise=0.05)

    def divided(data: Detections, points: Array) -> Array:
        eyes = np.linalg.norm(data.landmarks[:, 1] - data.landmarks[:, 0], axis=1)
        return np.asarray(points / eyes[:, None, None]).reshape(len(data), -1)

    predicted = standardised(
        divided(train, train.keypoints),
        divided(train, train.landmarks),
        divided(test, test.keypoints),
    )
    gap = (predicted - divided(test, test.landmarks)).reshape(90, 5, 2)
    found = evaluate(get_evaluator("celeba/huang"), train, test)
    assert found.value == pytest.approx(100 * np.linalg.norm(gap, axis=-1).mean(), rel=1e-9)
    assert found.oracle_used
    # unlike every other rule, the prediction depends on the labels of the test image
    moved = test.landmarks.copy()
    moved[:, 0] += 0.05
    other = evaluate(get_evaluator("celeba/huang"), train, replace(test, landmarks=moved))
    assert np.abs(other.predicted - found.predicted).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "eyes"), [("celeba/dve", (0, 1)), ("aflw/dve", (0, 1)), ("300w/dve", (36, 45))]
)
def test_dve_measures_where_a_pixel_is_as_wide_as_high(name: str, eyes: tuple[int, int]) -> None:
    train, test = toy(name, noise=0.05)

    def unsquashed(data: Detections, points: Array) -> Array:
        assert data.aspect is not None
        return np.stack([points[..., 0] * data.aspect[:, None], points[..., 1]], -1)

    model = LinearRegression().fit(
        unsquashed(train, train.keypoints).reshape(200, -1),
        unsquashed(train, train.landmarks).reshape(200, -1),
    )
    y = unsquashed(test, test.landmarks)
    predicted = model.predict(unsquashed(test, test.keypoints).reshape(90, -1)).reshape(y.shape)
    between = np.linalg.norm(y[:, eyes[0]] - y[:, eyes[1]], axis=-1)
    expected = 100 * (np.linalg.norm(predicted - y, axis=-1) / between[:, None]).mean()
    assert evaluate(get_evaluator(name), train, test).value == pytest.approx(expected, rel=1e-9)
    one = np.ones(200), np.ones(90)
    square = [replace(d, aspect=a) for d, a in zip((train, test), one, strict=True)]
    strict = get_evaluator(name.replace("dve", "strict"))
    assert evaluate(get_evaluator(name), *square).value == pytest.approx(
        evaluate(strict, *square).value
    )


def test_bkind_min_takes_the_smaller_distance_in_each_image() -> None:
    train, test = toy("human36m/bkind_min", noise=0.05)
    swapped = test.landmarks.copy()
    swapped[:7] = swapped[:7, permutation(HUMAN36M_PAIRS, 32)]  # fewer than AutoLink's ten
    exchanged = replace(test, landmarks=swapped)
    plain = evaluate(get_evaluator("human36m/bkind"), train, test)
    found = evaluate(get_evaluator("human36m/bkind_min"), train, exchanged)
    assert found.value == pytest.approx(plain.value, rel=1e-9)
    assert evaluate(get_evaluator("human36m/bkind"), train, exchanged).value > plain.value * 1.1
    spec = replace(get_evaluator("human36m/bkind_min"), test_flip="labels")
    assert evaluate(spec, train, exchanged).value > found.value * 1.1


def test_keypointgan_averages_the_smaller_distance_over_activities() -> None:
    train, test = toy("human36m/keypointgan", noise=0.2)
    order = permutation(HUMAN36M_PAIRS, 32)
    model = LinearRegression().fit(
        train.keypoints.reshape(200, -1), train.landmarks.reshape(200, -1)
    )
    predicted = model.predict(test.keypoints.reshape(90, -1)).reshape(90, 32, 2)
    both = [
        np.linalg.norm(predicted - labels, axis=-1).mean(1)
        for labels in (test.landmarks, test.landmarks[:, order])
    ]
    distance = np.minimum(*both)
    assert test.activities is not None
    means = {a: 100 * distance[test.activities == a].mean() for a in ("walk", "pose", "wait")}
    found = evaluate(get_evaluator("human36m/keypointgan"), train, test)
    assert found.group_values == pytest.approx(means)
    assert found.value == pytest.approx(np.mean(list(means.values())), rel=1e-9)


def test_relative_l2_is_the_mean_distance_of_what_is_visible() -> None:
    """Table 3 divides every summed error by 33.46: twice the visible landmarks of an image."""
    train, test = toy("taichi/stablekeypoints", noise=0.05)
    summed = evaluate(get_evaluator("taichi/stablekeypoints"), train, test)
    relative = evaluate(get_evaluator("taichi/stablekeypoints_l2"), train, test)
    visible = (test.visible & (test.landmarks > 0).all(-1)).sum() / 90
    assert relative.value == pytest.approx(summed.value / (2 * visible), rel=1e-12)
    # the ratios of the printed numbers: SCOPS, Siarohin, GANSeg, AutoLink, StableKeypoints
    for printed, at_128 in [(411.38, 12.29), (389.78, 11.65), (417.17, 12.47), (234.89, 7.02)]:
        assert printed / at_128 == pytest.approx(33.46, abs=0.03)
    people, tested = toy("deepfashion/stablekeypoints_l2", noise=0.05)
    x, x_test = (d.keypoints.reshape(len(d), -1) - 0.5 for d in (people, tested))
    predicted = x_test @ np.linalg.pinv(x) @ (people.landmarks.reshape(200, -1) - 0.5) + 0.5
    gap = predicted.reshape(90, 17, 2) - tested.landmarks
    found = evaluate(get_evaluator("deepfashion/stablekeypoints_l2"), people, tested)
    assert found.value == pytest.approx(128 * np.linalg.norm(gap, axis=-1).mean(), rel=1e-9)


def test_lorenz_on_test_looks_at_test_alone() -> None:
    name = "deepfashion/lorenz_on_test"
    train, test = toy(name)
    model = Ridge(alpha=0, fit_intercept=False)
    x = test.keypoints.reshape(90, -1) * 2 - 1
    predicted = model.fit(x, test.landmarks.reshape(90, -1)).predict(x).reshape(90, 17, 2)
    close = np.linalg.norm(predicted - test.landmarks, axis=-1) < 6 / 256
    found = evaluate(get_evaluator(name), train, test)
    assert found.value == pytest.approx(100 * close.mean())
    other = replace(train, keypoints=train.keypoints[::-1])
    assert evaluate(get_evaluator(name), other, test).value == found.value
    assert found.value < evaluate(get_evaluator("deepfashion/strict"), train, test).value - 20


def test_siarohin_on_each_coordinate_alone() -> None:
    """36 regressions with intercept, each on the rows where its landmark is visible."""
    train, test = toy("taichi/siarohin", noise=0.05)
    x, x_test = (d.keypoints.reshape(len(d), -1) for d in (train, test))
    total = 0.0
    for landmark in range(18):
        for axis in range(2):
            rows, seen = train.visible[:, landmark], test.visible[:, landmark]
            model = LinearRegression().fit(x[rows], train.landmarks[rows, landmark, axis])
            gap = model.predict(x_test[seen]) - test.landmarks[seen, landmark, axis]
            total += 256 * np.abs(gap).mean()
    for paper in ("siarohin", "ganseg", "autolink"):
        found = evaluate(get_evaluator(f"taichi/{paper}"), train, test)
        assert found.value == pytest.approx(total, rel=1e-10)
