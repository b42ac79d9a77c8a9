"""The traps of the published protocols that concern faces and birds, one test a trap.

Numbers are those of the list of traps in the reference notes of the project: what papers' code gets
wrong, or does differently without saying so. Ours is right by default, and a published mistake is
a named variant.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.data.sample import read_sample
from kpbench.data.source import Source
from kpbench.errors import CheckpointError, DataError, InvalidInputError
from kpbench.files.checkpoint import read_checkpoint
from kpbench.registry import load_method
from kpbench.scoring.evaluators import Detections, evaluate
from kpbench.scoring.named import evaluators_of, get_evaluator
from kpbench_protocols.celeba.reader import CelebaAligned, CelebaWild
from kpbench_protocols.cub.reader import Cub
from kpbench_protocols.cub_aligned.reader import CubAligned
from tests.protocols.trees import celeba, cub, cub_aligned
from tests.protocols.trees.cub import Bird

FACES = {face.name: face for face in celeba.faces()}
BIRDS = {bird.path: bird for bird in cub.birds()}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("celeba")
    celeba.write(root)
    return root


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cub")
    cub.write(root)
    return root


@pytest.fixture(scope="module")
def aligned_birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cub_aligned")
    cub_aligned.write(root)
    return root


def labels(source: Source, root: Path, split: str = "test") -> tuple[list[str], Array, Array]:
    """File names, landmarks in [0, 1] (N, L, 2) and visibility (N, L) as protocols see them."""
    rows = source.rows(root, source.parts[split])
    found = [read_sample(root, source, rows, i, 16) for i in range(len(rows))]
    points, seen = [s.landmarks for s in found], [s.visible for s in found]
    assert all(p is not None for p in points)
    return [str(f) for f in rows.files], np.array(points), np.array(seen)


def drawn_face(file: str) -> celeba.Face:
    return FACES[Path(file).name]


def drawn_bird(file: str) -> Bird:
    return BIRDS[file.removeprefix("CUB_200_2011/images/")]


def toy(n: int, landmarks: int, k: int = 4, seed: int = 0, noise: float = 0.02) -> Detections:
    """Landmarks that are nearly affine in k keypoints, the same map for every seed."""
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0.2, 0.8, (n, k, 2))
    weights = np.random.default_rng(99).normal(0, 0.3, (2 * k, 2 * landmarks))
    base = np.random.default_rng(98).uniform(0.3, 0.7, (landmarks, 2))
    points = base + ((keypoints.reshape(n, -1) - 0.5) @ weights).reshape(n, landmarks, 2)
    points += rng.normal(0, noise, points.shape)
    return Detections(keypoints, points, np.ones((n, landmarks), bool), **frame(n))


def frame(n: int) -> dict[str, Array]:
    return {"boxes": np.tile([0.1, 0.1, 0.8, 0.8], (n, 1)), "aspect": np.ones(n)}


def half_seen(data: Detections, seed: int = 5) -> Detections:
    visible = np.random.default_rng(seed).random(data.visible.shape) < 0.6
    return replace(data, visible=visible)


# --- coordinates -----------------------------------------------------------------------------


def test_trap_01_axes_are_x_then_y_whatever_the_file_has(
    faces: Path, birds: Path, aligned_birds: Path
) -> None:
    for source, root in (
        (CelebaAligned(), faces),
        (CelebaWild(), faces),
        (Cub(), birds),
        (CubAligned(), aligned_birds),
    ):
        _, points, seen = labels(source, root)
        for upper, lower in source.upright:
            both = seen[:, upper] & seen[:, lower]
            assert (points[both, upper, 1] < points[both, lower, 1]).mean() > 0.9
    # the left eye of the annotation is the one on the left of the picture, in CelebA
    _, points, _ = labels(CelebaAligned(), faces)
    assert (points[:, 0, 0] < points[:, 1, 0]).all()


def test_trap_04_without_bias_the_origin_matters_and_presets_say_which() -> None:
    train, test = toy(80, 5, seed=1), toy(40, 5, seed=2)

    def by_hand(centre: float) -> float:
        x, y = (a.reshape(80, -1) - centre for a in (train.keypoints, train.landmarks))
        weights = np.linalg.lstsq(x, y, rcond=None)[0]
        found = (test.keypoints.reshape(40, -1) - centre) @ weights + centre
        gap = np.linalg.norm(found.reshape(40, 5, 2) - test.landmarks, axis=2)
        eyes = np.linalg.norm(test.landmarks[:, 0] - test.landmarks[:, 1], axis=1)
        return float((gap / eyes[:, None]).mean() * 100)

    plain, centred = by_hand(0), by_hand(0.5)
    assert abs(plain / centred - 1) > 0.01, "the rules must differ for this test to mean anything"
    for name, wanted in (
        ("celeba/imm", plain),
        ("celeba/autolink", plain),
        ("celeba/zhang", centred),
        ("celeba/stablekeypoints", centred),
    ):
        assert evaluate(get_evaluator(name), train, test).value == pytest.approx(wanted, rel=1e-9)
    # keypoints in [-1, 1] against labels in [0, 1] is the mistake; [0, 1] is the contract
    with pytest.raises(InvalidInputError, match=r"they look like \[-1, 1\]"):
        replace(train, keypoints=2 * train.keypoints - 1)
    with pytest.raises(InvalidInputError):
        replace(train, keypoints=train.keypoints * 128)


def test_trap_05_squeezed_images_have_squeezed_distances(faces: Path) -> None:
    files, points, _ = labels(CelebaAligned(geometry="whole"), faces)
    isotropic, _, _ = labels(CelebaAligned(geometry="dve"), faces)
    assert files == isotropic
    rows = CelebaAligned().rows(faces, "test")
    aspect = [read_sample(faces, CelebaAligned(), rows, i, 16).aspect for i in range(len(rows))]
    np.testing.assert_allclose(aspect, 178 / 218)
    true = np.stack([drawn_face(file).aligned[1] - drawn_face(file).aligned[0] for file in files])
    squeezed = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    np.testing.assert_allclose(squeezed, np.hypot(true[:, 0] / 178, true[:, 1] / 218))
    # and an evaluator that measures without the squeezing is another one
    train, test = toy(80, 5, seed=1), toy(40, 5, seed=2)
    narrow = [replace(d, aspect=np.full(len(d), 178 / 218)) for d in (train, test)]
    dve, strict = get_evaluator("celeba/dve"), get_evaluator("celeba/strict")
    assert evaluate(dve, *narrow).value != pytest.approx(evaluate(strict, *narrow).value, rel=1e-3)
    assert evaluate(dve, train, test).value == pytest.approx(evaluate(strict, train, test).value)


def test_trap_06_width_and_height_of_photographs_are_not_mixed_up(faces: Path) -> None:
    files, points, _ = labels(CelebaWild(), faces)
    _, published, _ = labels(CelebaWild(preprocessing="autolink"), faces)
    right, wrong = [], []
    for file in files:
        width, height = drawn_face(file).size
        x, y = drawn_face(file).wild.T
        right.append(np.stack([x / width, y / height], 1))
        # as the released script: `h, w = img.size`, rows x 128 / h, columns x 128 / w, / 128
        h, w = drawn_face(file).size
        wrong.append(np.stack([x * 128 / w, y * 128 / h], 1) / 128)
    np.testing.assert_allclose(points, right)
    np.testing.assert_allclose(published, wrong)
    assert np.abs(points - published).max() > 0.1
    assert CelebaWild().preprocessing == "correct"
    # the product does not depend on the order, so the same faces are kept
    assert files == labels(CelebaWild(preprocessing="autolink"), faces)[0]


def test_trap_06_a_size_list_with_width_first_is_found_out(faces: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(faces, tmp_path / "celeba"))
    path = root / "Anno/list_imsize_celeba.txt"
    swapped = [line.split() for line in path.read_text().splitlines()]
    path.write_text("\n".join(f"{name} {w} {h}" for name, h, w in swapped) + "\n")
    with pytest.raises(DataError, match="HEIGHT, WIDTH"):
        labels(CelebaWild(), root)


def test_trap_07_parts_count_pixels_from_1(birds: Path) -> None:
    files, points, seen = labels(Cub(crop="whole"), birds)
    for file, found, visible in zip(files, points, seen, strict=True):
        bird = drawn_bird(file)
        np.testing.assert_allclose((found * bird.size)[visible], bird.points[visible], atol=1e-9)
    _, published, both = labels(Cub(crop="autolink"), birds)
    _, clipped, _ = labels(Cub(crop="clipped_square"), birds)
    assert (published[both] != clipped[both]).any()


# --- labels ----------------------------------------------------------------------------------


def test_trap_09_what_is_not_seen_does_not_count(aligned_birds: Path) -> None:
    _, points, seen = labels(CubAligned(), aligned_birds)
    raw = np.load(aligned_birds / "test_kp.npy")
    assert (raw[~seen][:, :2] == 0.5).all() and (~seen).any(), "the marker of the published file"
    assert (points[~seen] == 0).all()
    test = half_seen(toy(60, 15, seed=2))
    train = half_seen(toy(200, 15, seed=1))
    marked = np.where(test.visible[..., None], test.landmarks, 0.5)
    honest = evaluate(get_evaluator("cub/autolink"), train, replace(test, landmarks=marked))
    with pytest.raises(InvalidInputError, match=r"lie at one point, \(0\.5, 0\.5\)"):
        replace(test, landmarks=marked, visible=np.ones_like(test.visible))
    # what the file holds where nothing is seen has no influence
    other = np.where(test.visible[..., None], test.landmarks, 0.123)
    again = evaluate(get_evaluator("cub/autolink"), train, replace(test, landmarks=other))
    assert again.value == honest.value


def test_trap_10_each_part_is_fitted_on_its_own_rows_and_faces_on_all() -> None:
    train, test = half_seen(toy(200, 15, seed=1)), half_seen(toy(60, 15, seed=2))
    found = evaluate(get_evaluator("cub/autolink"), train, test)
    total, count = 0.0, 0
    for i in range(15):
        rows, scored = train.visible[:, i], test.visible[:, i]
        x = train.keypoints[rows].reshape(rows.sum(), -1)
        weights = np.linalg.lstsq(x, train.landmarks[rows, i], rcond=None)[0]
        gap = test.keypoints[scored].reshape(scored.sum(), -1) @ weights - test.landmarks[scored, i]
        total += float(np.linalg.norm(gap, axis=1).sum())
        count += int(scored.sum())
    assert found.value == pytest.approx(100 * total / count, rel=1e-9)
    for name in ("celeba/imm", "celeba/autolink", "celeba/strict"):
        train, test = half_seen(toy(80, 5, seed=1)), toy(40, 5, seed=2)
        with pytest.raises(InvalidInputError):
            evaluate(get_evaluator(name), train, test)


@dataclass
class Annotation:
    """An entry of a mat-file as scipy hands it out: an object whose arrays can be written to."""

    name: str
    parts: Array
    box: tuple[int, int, int, int]
    size: tuple[int, int]


def entries_of(part: str) -> list[Annotation]:
    names = {part} if part == "train" else {part, "both"}
    found = []
    for bird in BIRDS.values():
        if bird.part in names:
            parts = np.zeros((3, 15))
            parts[:2, bird.seen], parts[2] = bird.points[bird.seen].T + 1, bird.seen
            left, top, right, bottom = bird.box
            found.append(
                Annotation(bird.path, parts, (left + 1, top + 1, right, bottom), bird.size)
            )
    return found


def preprocessed(listed: list[Annotation]) -> dict[str, tuple[Array, Array]]:
    """What AutoLink's released script makes of its annotation; writes to it, as that does."""
    found = {}
    for entry in listed:
        w, h = entry.size
        rest_w, rest_h = w % 16, h % 16
        points, seen = entry.parts[:2].T, entry.parts[2]  # views
        for point, i in zip(points, range(15), strict=True):
            if seen[i] == 1:
                point -= (rest_w // 2, rest_h // 2)
                x, y = point
                if x < 0 or x >= w - rest_w or y < 0 or y >= h - rest_h:
                    point[:] = 0
                    seen[i] = 0
        x1, y1, x2, y2 = entry.box
        half = max(x2 - x1, y2 - y1) / 2
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        x_min, x_max = max(0, max(0, cx - half) - rest_w // 2), min(w - rest_w, min(w, cx + half))
        y_min, y_max = max(0, max(0, cy - half) - rest_h // 2), min(h - rest_h, min(h, cy + half))
        values = (points - (x_min, y_min)) / (x_max - x_min, y_max - y_min)
        found[entry.name] = (values, seen.copy() == 1)
    return found


def agree(found: tuple[list[str], Array, Array], wanted: dict[str, tuple[Array, Array]]) -> None:
    for file, points, seen in zip(*found, strict=True):
        values, visible = wanted[file.removeprefix("CUB_200_2011/images/")]
        np.testing.assert_array_equal(seen, visible)
        np.testing.assert_allclose(points[seen], values[visible], atol=1e-9)


def test_trap_14_only_the_named_variant_moves_parts_and_a_class_twice(birds: Path) -> None:
    entries = {part: entries_of(part) for part in ("train", "val", "test")}
    once = {part: preprocessed(listed) for part, listed in entries.items()}
    of_one = [e for part in ("val", "test") for e in entries[part] if e.name[:3] == "001"]
    twice = preprocessed(of_one)  # the same objects again
    variant = Cub(crop="autolink")
    agree(labels(variant, birds, "regression"), once["train"])
    agree(labels(variant, birds), once["test"])
    one = replace(variant, classes="001", split="official")
    agree(labels(one, birds), twice)
    agree(labels(one, birds, "regression"), once["train"])
    moved = [
        np.abs(twice[name][0] - {**once["val"], **once["test"]}[name][0]).max() for name in twice
    ]
    assert max(moved) > 0.01
    assert (~labels(variant, birds, "regression")[2]).sum() > sum(
        (~bird.seen).sum() for bird in BIRDS.values() if bird.part == "train"
    ), "some parts must lie in what is cut off"
    for crop in ("padded_square", "clipped_square", "whole"):
        several = labels(Cub(classes="001", crop=crop), birds)
        every = labels(Cub(crop=crop), birds)
        at = [every[0].index(file) for file in several[0]]
        np.testing.assert_array_equal(several[1], every[1][at])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.float32])
def test_trap_14_whole_numbers_of_any_type_are_read_alike(tmp_path: Path, kind: type) -> None:
    train = [bird for bird in BIRDS.values() if bird.part == "train"][:5]
    cub.write_mat(tmp_path / "a", "train", train)
    cub.write_mat(tmp_path / "b", "train", train, kind)
    a, b = (Cub().rows(tmp_path / name, "train") for name in "ab")
    assert a.landmarks is not None and b.landmarks is not None
    np.testing.assert_array_equal(a.landmarks, b.landmarks)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    assert a.landmarks[a.visible].min() >= 0
    assert b.landmarks.dtype == np.float64, "0 - 1 must not become 255"


# --- regression ------------------------------------------------------------------------------


def test_trap_18_rows_of_one_part_do_not_touch_another() -> None:
    train, test = half_seen(toy(200, 15, seed=1)), toy(60, 15, seed=2)
    before = evaluate(get_evaluator("cub/strict"), train, test).predicted
    visible, points = train.visible.copy(), train.landmarks.copy()
    visible[:120, 3] = False
    points[120:, 3] += 0.1
    after = evaluate(
        get_evaluator("cub/strict"), replace(train, visible=visible, landmarks=points), test
    ).predicted
    others = np.arange(15) != 3
    np.testing.assert_allclose(after[:, others], before[:, others], atol=1e-12)
    assert np.abs(after[:, 3] - before[:, 3]).max() > 0.01


def test_trap_19_standardised_without_intercept_is_with_bias() -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.preprocessing import StandardScaler

    train, test = toy(80, 5, seed=1), toy(40, 5, seed=2)
    x, y = StandardScaler(), StandardScaler()
    inputs = x.fit_transform(train.keypoints.reshape(80, -1))
    outputs = y.fit_transform(train.landmarks.reshape(80, -1))
    model = LinearRegression(fit_intercept=False).fit(inputs, outputs)
    predicted = y.inverse_transform(model.predict(x.transform(test.keypoints.reshape(40, -1))))
    found = evaluate(get_evaluator("celeba/scops"), train, test)
    np.testing.assert_allclose(found.predicted, predicted.reshape(40, 5, 2), atol=1e-10)
    without = evaluate(get_evaluator("celeba/autolink"), train, test)
    assert np.abs(without.predicted - found.predicted).max() > 1e-3


@pytest.mark.parametrize("name", [s.name for d in ("celeba", "cub") for s in evaluators_of(d)])
def test_trap_20_test_labels_do_not_enter_the_prediction_unless_marked(name: str) -> None:
    spec = get_evaluator(name)
    landmarks = 5 if spec.dataset == "celeba" else 15
    train, test = toy(200, landmarks, seed=1), toy(40, landmarks, seed=2)
    other = replace(test, landmarks=test.landmarks[::-1].copy())
    a, b = (evaluate(spec, train, data).predicted for data in (test, other))
    assert spec.oracle_used == (not np.array_equal(a, b))
    assert spec.oracle_used == (name == "celeba/huang"), "it divides by the eyes of the test labels"


@pytest.mark.parametrize("name", ["cub/autolink", "cub/strict", "cub/stablekeypoints"])
def test_trap_21_thirty_images_are_too_few_for_many_keypoints(name: str) -> None:
    spec = get_evaluator(name)
    few = half_seen(toy(30, 15, k=4, seed=1))
    assert np.isfinite(evaluate(spec, few, toy(20, 15, k=4, seed=2)).value)
    train, test = toy(30, 15, k=16, seed=1), toy(20, 15, k=16, seed=2)  # 32 features
    if not spec.min_norm:
        with pytest.raises(InvalidInputError, match="30"):
            evaluate(spec, train, test)
        return
    weights = np.linalg.pinv(train.keypoints.reshape(30, -1) - 0.5) @ (
        train.landmarks.reshape(30, -1) - 0.5
    )
    wanted = (test.keypoints.reshape(20, -1) - 0.5) @ weights + 0.5
    found = evaluate(spec, train, test)
    np.testing.assert_allclose(found.predicted.reshape(20, -1), wanted, atol=1e-8)


# --- aggregation -----------------------------------------------------------------------------


def test_trap_23_pooled_is_not_the_mean_of_images() -> None:
    train, test = toy(200, 15, seed=1), toy(40, 15, seed=2)
    visible = np.ones((40, 15), bool)
    visible[:20, 2:] = False  # these show two parts, and are hard
    points = test.landmarks.copy()
    points[:20] += 0.1
    test = replace(test, visible=visible, landmarks=points)
    pooled = get_evaluator("cub/autolink")
    mean = replace(pooled, aggregation="image_mean")
    errors = np.linalg.norm(evaluate(pooled, train, test).predicted - points, axis=2)
    by_image = [e[v].mean() for e, v in zip(errors, visible, strict=True)]
    assert evaluate(pooled, train, test).value == pytest.approx(100 * errors[visible].mean())
    assert evaluate(mean, train, test).value == pytest.approx(100 * np.mean(by_image))
    assert np.mean(by_image) > 1.2 * errors[visible].mean()
    assert get_evaluator("cub/stablekeypoints").aggregation == "image_mean"
    assert get_evaluator("cub/huang").aggregation == "pooled_mean"


def test_trap_28_mean_of_ratios_and_not_ratio_of_means() -> None:
    train, test = toy(80, 5, seed=1), toy(40, 5, seed=2)
    spec = get_evaluator("celeba/imm")
    found = evaluate(spec, train, test)
    gap = np.linalg.norm(found.predicted - test.landmarks, axis=2).mean(1)
    eyes = np.linalg.norm(test.landmarks[:, 0] - test.landmarks[:, 1], axis=1)
    assert found.value == pytest.approx(100 * (gap / eyes).mean())
    assert abs(found.value / (100 * gap.mean() / eyes.mean()) - 1) > 0.01


# --- determinism and selection ---------------------------------------------------------------


@pytest.mark.parametrize("crop", Cub.choices["crop"])
def test_trap_31_no_crop_depends_on_chance(birds: Path, crop: str) -> None:
    source = Cub(crop=crop)
    rows = source.rows(birds, "train")
    for i in (0, 7):
        once, again = (read_sample(birds, source, rows, i, 32) for _ in range(2))
        assert once.digest == again.digest and (once.image == again.image).all()
        assert once.landmarks is not None and again.landmarks is not None
        np.testing.assert_array_equal(once.landmarks, again.landmarks)


def test_trap_32_a_checkpoint_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "30", load_method("autolink"))


def test_trap_33_cub_h5_is_not_read_and_its_meanings_are_arguments(
    birds: Path, aligned_birds: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(birds, tmp_path / "cub"))
    before = labels(Cub(crop="autolink"), root)
    (root / "cub.h5").write_bytes(b"one of three things")
    (root / "CUB_200_2011/cub.h5").write_bytes(b"one of three things")
    after = labels(Cub(crop="autolink"), root)
    np.testing.assert_array_equal(before[1], after[1])
    agree(after, preprocessed(entries_of("test")))  # AutoLink's meaning: boxes of all birds
    # StableKeypoints' meaning, aligned birds, is another data set: all look to the left
    _, points, _ = labels(CubAligned(), aligned_birds)
    assert (points[:, 1, 0] < points[:, 13, 0]).all()
    _, points, seen = labels(Cub(), birds)
    both = seen[:, 1] & seen[:, 13]
    assert 0.1 < (points[both, 1, 0] < points[both, 13, 0]).mean() < 0.9


def test_trap_36_small_test_sets_have_wide_intervals() -> None:
    spec = get_evaluator("celeba/autolink")
    train = toy(400, 5, seed=1)
    widths = {}
    for n in (30, 283, 1000):
        found = evaluate(spec, train, toy(n, 5, seed=2))
        low, high = found.ci95
        assert low < found.value < high
        widths[n] = (high - low) / found.value
        by_image = found.errors.reshape(n, -1).mean(1)
        normal = 2 * 1.96 * by_image.std(ddof=1) / np.sqrt(n) / by_image.mean()
        assert widths[n] == pytest.approx(normal, rel=0.35)
    assert widths[30] > widths[283] > widths[1000]
