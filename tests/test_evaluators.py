"""Every named evaluator: what it promises, against independent code, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from kpbench.api import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError, UnknownNameError
from kpbench.evaluators import (
    EVALUATORS,
    Detections,
    EvaluatorSpec,
    evaluate,
    evaluators_of,
    get_evaluator,
)
from kpbench.flips import permutation
from kpbench.metrics import aggregate
from kpbench.presets import BKIND_JOINTS, HUMAN36M_PAIRS, PEOPLE_PAIRS

NAMES = list(EVALUATORS)
ALL_LABELS = [name for name, spec in EVALUATORS.items() if spec.rows == "all"]
MISSING_LABELS = [name for name in NAMES if name not in ALL_LABELS]
FLIPS = [name for name, spec in EVALUATORS.items() if spec.pairs]
LANDMARKS = {"human36m": 32, "deepfashion": 17, "taichi": 18, "celeba": 5, "cub": 15} | {
    "people_background": 32, "people_plain": 32, "people_fashion": 17, "people_taichi": 18,
}  # fmt: skip


def shapes(spec: EvaluatorSpec, n: int, seed: int) -> tuple[Array, Array]:
    """A random shape that varies in a few directions: landmarks, and which of them are visible."""
    n_landmarks = LANDMARKS[spec.dataset]
    body = np.random.default_rng(7).uniform(0.25, 0.75, (n_landmarks, 2))
    if spec.n_landmarks:
        # facing the camera: BKinD's oracle is not perfect on people seen from behind, whose labels
        # it exchanges for the fit but not in test
        left, right = np.array(spec.pairs).T
        body[left, 0] = 0.5 + np.abs(body[left, 0] - 0.5) / 2 + 0.1
        body[right, 0] = 0.5 - np.abs(body[right, 0] - 0.5) / 2 - 0.1
    modes = np.random.default_rng(8).normal(0, 0.03, (4, n_landmarks, 2))
    rng = np.random.default_rng(seed)
    landmarks = body + np.tensordot(rng.normal(size=(n, 4)), modes, 1)
    landmarks += rng.normal(0, 0.01, landmarks.shape)
    visible = np.ones(landmarks.shape[:2], bool)
    if spec.rows != "all":
        visible = rng.random(visible.shape) < 0.85
        visible[:, 0] = True
    return landmarks, visible


def toy(
    name: str, n: tuple[int, int] = (200, 90), noise: float = 0.02, seed: int = 0
) -> tuple[Detections, Detections]:
    """Keypoints that follow six of the landmarks."""
    parts = []
    for part, size in enumerate(n):
        landmarks, visible = shapes(get_evaluator(name), size, seed + part)
        rng = np.random.default_rng(100 + seed + part)
        chosen = np.linspace(0, landmarks.shape[1] - 1, 6).astype(int)
        keypoints = landmarks[:, chosen] + rng.normal(0, noise, (size, 6, 2))
        parts.append(Detections(keypoints, landmarks, visible))
    return parts[0], parts[1]


def with_keypoints(detections: Detections, keypoints: Array) -> Detections:
    return replace(detections, keypoints=keypoints)


def test_every_evaluator_of_the_issue_is_there_in_order() -> None:
    papers = {
        "human36m": ["autolink", "stablekeypoints", "bkind"],
        "deepfashion": ["autolink", "stablekeypoints"],
        "taichi": ["siarohin", "autolink", "stablekeypoints"],
        "celeba": ["autolink", "stablekeypoints", "zhang", "imm", "scops"],
        "cub": ["autolink", "stablekeypoints", "scops"],
        "people_background": ["autolink", "stablekeypoints"],
        "people_plain": ["autolink", "stablekeypoints"],
        "people_fashion": ["autolink", "stablekeypoints"],
        "people_taichi": ["siarohin", "autolink", "stablekeypoints"],
    }
    for dataset, names in papers.items():
        found = [spec.name for spec in evaluators_of(dataset)]
        assert found == [f"{dataset}/{name}" for name in [*names, "strict"]]
    assert len(NAMES) == sum(len(names) + 1 for names in papers.values())


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean taichi/siarohin"):
        get_evaluator("taichi/siarohn")
    with pytest.raises(UnknownNameError, match="did you mean human36m"):
        evaluators_of("human3.6m")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("/strict")])
def test_strict_has_a_bias_and_never_looks_at_test_labels(name: str) -> None:
    strict = get_evaluator(name)
    assert strict.bias
    assert not strict.oracle_used
    assert strict.train_flip == "none"
    assert strict.trim is None
    first = evaluators_of(strict.dataset)[0]
    assert (strict.metric, strict.unit) == (first.metric, first.unit)


def test_exactly_the_left_right_symmetric_ones_look_at_test_labels() -> None:
    looking = {name for name in NAMES if get_evaluator(name).oracle_used}
    datasets = ("human36m", "people_background", "people_plain")
    assert looking == {f"{d}/{p}" for d in datasets for p in ("autolink", "stablekeypoints")}


@pytest.mark.parametrize("name", NAMES)
def test_specs_are_complete(name: str) -> None:
    spec = get_evaluator(name)
    assert len(spec.paper) > 20 and len(spec.formula) > 40
    assert spec.unit in ("%", "px at 128", "px at 256")
    assert spec.scale == {"%": 100, "px at 128": 128, "px at 256": 256}[spec.unit]


def test_incomplete_specs_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="threshold go together"):
        replace(get_evaluator("deepfashion/strict"), threshold=None)
    with pytest.raises(InvalidInputError, match="needs pairs and n_landmarks"):
        replace(get_evaluator("human36m/strict"), train_flip="em")


@pytest.mark.parametrize("name", NAMES)
def test_oracle_is_perfect(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    seen = [shapes(spec, n, seed)[0] for n, seed in ((200, 0), (90, 1))]
    train, test = with_keypoints(train, seen[0]), with_keypoints(test, seen[1])
    found = evaluate(spec, train, test)
    assert found.value == pytest.approx(100.0 if spec.higher_is_better else 0.0, abs=1e-8)
    assert found.ci95 == pytest.approx((found.value, found.value), abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_constant_is_not_better_than_the_mean_shape(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    ring = np.array([[0.3, 0.4], [0.6, 0.7], [0.5, 0.2]])
    floor = evaluate(
        spec,
        *(with_keypoints(d, np.tile(ring, (len(d), 1, 1))) for d in (train, test)),
    )
    assert floor.notes[0].startswith("the keypoints are linearly dependent (rank 1 of ")
    sign = -1 if spec.higher_is_better else 1
    for constant in (0.0, 0.1, 0.5, 0.9):
        points = [with_keypoints(d, np.full((len(d), 3, 2), constant)) for d in (train, test)]
        assert sign * evaluate(spec, *points).value >= sign * floor.value - 1e-9
    informed = evaluate(spec, train, test)
    assert sign * informed.value < sign * floor.value


@pytest.mark.parametrize("name", [n for n in NAMES if n not in FLIPS])
def test_constant_keypoints_score_as_the_mean_shape_computed_directly(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    points = [with_keypoints(d, np.full((len(d), 3, 2), 0.7)) for d in (train, test)]
    found = evaluate(spec, *points)
    weight = train.visible[..., None].astype(float)
    mean = (train.landmarks * weight).sum(0) / weight.sum(0)
    assert found.predicted == pytest.approx(np.broadcast_to(mean, test.landmarks.shape))
    distance = np.linalg.norm(mean - test.landmarks, axis=-1)
    if spec.aggregation == "component_sum":
        absolute = np.abs(mean - test.landmarks) * test.visible[..., None] * 256
        expected = (absolute.sum(0) / test.visible.sum(0)[:, None]).sum()
    elif spec.error == "hit":
        expected = 100 * (distance * 256 < 6).mean()
    elif spec.eyes:
        eyes = np.linalg.norm(test.landmarks[:, 0] - test.landmarks[:, 1], axis=-1)
        expected = 100 * (distance / eyes[:, None]).mean()
    elif spec.aggregation == "image_sum":
        expected = 256 * (distance * test.visible).sum(1).mean()
    elif spec.aggregation == "pooled_mean":
        expected = 100 * distance[test.visible].mean()
    else:
        expected = 100 * ((distance * test.visible).sum(1) / test.visible.sum(1)).mean()
    assert found.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_holds_what_resampling_needs(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    found = evaluate(spec, train, test)
    again = aggregate(found.errors, found.valid, found.aggregation, found.groups)
    assert again == found.value
    assert found.ci95[0] < found.value < found.ci95[1]
    n_landmarks = len(spec.joints or range(test.landmarks.shape[1]))
    assert found.predicted.shape == (90, n_landmarks, 2)
    assert found.landmark_values.shape == (n_landmarks,)
    combined = found.landmark_values
    if spec.aggregation in ("component_sum", "image_sum"):
        assert combined.sum() == pytest.approx(found.value)
    elif spec.rows == "all":
        assert combined.mean() == pytest.approx(found.value)
    assert (found.rank, found.n_features) == (12 + spec.bias, 12 + spec.bias)
    assert (found.n_images, found.unit, found.oracle_used) == (90, spec.unit, spec.oracle_used)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_handed_in_is_written_to_and_a_second_call_agrees(name: str) -> None:
    """Published code exchanges labels in place, so that its second call sees other labels."""
    spec = get_evaluator(name)
    arrays = [
        [np.array(getattr(d, key)) for key in ("keypoints", "landmarks", "visible")]
        for d in toy(name, noise=0.1)
    ]
    before = [[a.copy() for a in part] for part in arrays]
    values = [evaluate(spec, *(Detections(*part) for part in arrays)).value for _ in range(2)]
    assert values[0] == values[1]
    for part, old in zip(arrays, before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(part, old, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_order_of_images_and_keypoints_does_not_matter(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    value = evaluate(spec, train, test).value
    rng = np.random.default_rng(3)
    keypoints = rng.permutation(6)
    shuffled = []
    for part in (train, test):
        rows = rng.permutation(len(part))
        shuffled.append(
            Detections(part.keypoints[rows][:, keypoints], part.landmarks[rows], part.visible[rows])
        )
    assert evaluate(spec, *shuffled).value == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", [n for n in NAMES if get_evaluator(n).bias])
def test_with_bias_an_affine_map_of_the_keypoints_does_not_matter(name: str) -> None:
    train, test = toy(name)
    mix = np.array([[0.5, 0.2], [-0.1, 0.7]])
    moved = [with_keypoints(d, d.keypoints @ mix + 0.1) for d in (train, test)]
    expected = evaluate(get_evaluator(name), train, test).value
    assert evaluate(get_evaluator(name), *moved).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", MISSING_LABELS)
def test_what_is_written_where_nothing_is_visible_does_not_matter(name: str) -> None:
    spec = get_evaluator(name)
    parts = toy(name)
    value = evaluate(spec, *parts).value
    garbage = []
    for part in parts:
        landmarks = np.where(part.visible[..., None], part.landmarks, np.nan)
        garbage.append(Detections(part.keypoints, landmarks, part.visible))
    assert evaluate(spec, *garbage).value == value


@pytest.mark.parametrize("name", ALL_LABELS)
@pytest.mark.parametrize("part", [0, 1])
def test_without_a_rule_for_missing_labels_they_are_an_error(name: str, part: int) -> None:
    parts = list(toy(name))
    visible = parts[part].visible.copy()
    visible[[3, 5], 1] = False
    parts[part] = replace(parts[part], visible=visible)
    with pytest.raises(InvalidInputError, match="no rule for missing labels, and 2 of"):
        evaluate(get_evaluator(name), *parts)


@pytest.mark.parametrize("name", MISSING_LABELS)
def test_all_landmarks_invisible_is_an_error(name: str) -> None:
    spec = get_evaluator(name)
    train, test = toy(name)
    nothing = np.zeros_like(test.visible)
    with pytest.raises(UndefinedScoreError, match="90"):
        evaluate(spec, train, replace(test, visible=nothing))
    with pytest.raises(UndefinedScoreError, match="visible in no training image"):
        evaluate(spec, replace(train, visible=np.zeros_like(train.visible)), test)


def test_an_image_without_visible_landmark_where_its_mean_is_taken() -> None:
    train, test = toy("cub/stablekeypoints")
    visible = test.visible.copy()
    visible[[4, 8]] = False
    test = replace(test, visible=visible)
    with pytest.raises(UndefinedScoreError, match="2 of 90 test images"):
        evaluate(get_evaluator("cub/stablekeypoints"), train, test)
    assert evaluate(get_evaluator("cub/autolink"), train, test).value > 0


@pytest.mark.parametrize("name", ["taichi/siarohin", "taichi/strict"])
def test_a_landmark_never_visible_in_test_leaves_cumulative_mae_undefined(name: str) -> None:
    train, test = toy(name)
    visible = test.visible.copy()
    visible[:, 4] = False
    with pytest.raises(UndefinedScoreError, match=r"columns \[8, 9\]"):
        evaluate(get_evaluator(name), train, replace(test, visible=visible))


def test_a_landmark_never_visible_in_test_is_nan_in_the_breakdown_alone() -> None:
    train, test = toy("cub/strict")
    visible = test.visible.copy()
    visible[:, 4] = False
    found = evaluate(get_evaluator("cub/strict"), train, replace(test, visible=visible))
    assert np.flatnonzero(np.isnan(found.landmark_values)).tolist() == [4]


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("celeba/")])
def test_faces_without_eye_distance(name: str) -> None:
    train, test = toy(name)
    landmarks = test.landmarks.copy()
    landmarks[[2, 7, 30], 1] = landmarks[[2, 7, 30], 0]
    broken = replace(test, landmarks=landmarks)
    if name != "celeba/zhang":
        with pytest.raises(UndefinedScoreError, match="coincide in 3 of 90 test images"):
            evaluate(get_evaluator(name), train, broken)
        return
    keep = np.setdiff1d(np.arange(90), [2, 7, 30])
    rest = Detections(test.keypoints[keep], test.landmarks[keep], test.visible[keep])
    found = evaluate(get_evaluator(name), train, broken)
    assert found.value == pytest.approx(evaluate(get_evaluator(name), train, rest).value)
    assert found.notes == ("3 of 90 test images left out: the eyes coincide",)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_rows_than_features(name: str) -> None:
    """Single-class CUB has ~30 images; StableKeypoints' pseudo-inverse is defined there."""
    spec = get_evaluator(name)
    train, test = toy(name, n=(11, 30))
    if spec.rows != "all":
        train = replace(train, visible=np.ones_like(train.visible))
    if name != "cub/stablekeypoints":
        with pytest.raises(InvalidInputError, match=r"rows for 1[23] features"):
            evaluate(spec, train, test)
        return
    found = evaluate(spec, train, test)
    x = [d.keypoints.reshape(len(d), -1) - 0.5 for d in (train, test)]
    predicted = x[1] @ np.linalg.pinv(x[0]) @ (train.landmarks.reshape(11, -1) - 0.5) + 0.5
    assert found.predicted.reshape(30, -1) == pytest.approx(predicted, abs=1e-8)
    assert found.notes == (
        "the keypoints are linearly dependent (rank 11 of 12): minimum-norm solution",
    )


def test_one_test_image_has_no_interval() -> None:
    train, test = toy("celeba/strict", n=(200, 1))
    with pytest.raises(UndefinedScoreError, match="at least two test images"):
        evaluate(get_evaluator("celeba/strict"), train, test)


@pytest.mark.parametrize("name", FLIPS)
def test_evaluators_with_a_joint_list_refuse_another_number_of_joints(name: str) -> None:
    train, test = toy(name)
    fewer = [
        replace(d, landmarks=d.landmarks[:, :17], visible=d.visible[:, :17]) for d in (train, test)
    ]
    with pytest.raises(InvalidInputError, match="is defined on 32 landmarks, got 17"):
        evaluate(get_evaluator(name), *fewer)


def test_train_and_test_must_match() -> None:
    spec = get_evaluator("cub/strict")
    train, test = toy("cub/strict")
    with pytest.raises(InvalidInputError, match="train has 6 keypoints an image, but test 5"):
        evaluate(spec, train, with_keypoints(test, test.keypoints[:, :5]))
    one = replace(test, landmarks=test.landmarks[:, :1], visible=test.visible[:, :1])
    with pytest.raises(InvalidInputError, match="train has 15 landmarks an image, but test 1"):
        evaluate(spec, train, one)
    with pytest.raises(InvalidInputError, match="at least 2 landmarks, got 1"):
        evaluate(get_evaluator("celeba/strict"), one, one)


def test_detections_refuse_bad_arrays() -> None:
    keypoints, landmarks = np.full((4, 3, 2), 0.5), np.full((4, 5, 2), 0.5)
    visible = np.ones((4, 5), bool)
    nan = keypoints.copy()
    nan[[0, 2], 1] = np.nan
    for arrays, words in [
        ((keypoints[0], landmarks, visible), "keypoints must have shape"),
        ((keypoints[:0], landmarks, visible), "keypoints must have shape"),
        ((keypoints, landmarks[..., :1], visible), "landmarks must have shape"),
        ((keypoints[:3], landmarks, visible), "keypoints of 3 images but landmarks of 4"),
        ((nan, landmarks, visible), "keypoints are NaN or infinite in 2 of 4 images"),
        ((keypoints * 256, landmarks, visible), "divide pixels by the image size"),
        ((keypoints, landmarks * 256, visible), "landmarks must be .* divide pixels"),
        ((keypoints, landmarks, visible.astype(int)), "visible must be bool"),
        ((keypoints, landmarks, visible[:, :3]), "visible must be bool of shape"),
        ((keypoints.astype(object), landmarks, visible), "floats, got object"),
        ((keypoints.astype(str), landmarks, visible), "floats, got <U"),
    ]:
        with pytest.raises(InvalidInputError, match=words):
            Detections(*arrays)
    with pytest.raises(InvalidInputError, match="activities must have shape"):
        Detections(keypoints, landmarks, visible, np.array(["a"]))


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
