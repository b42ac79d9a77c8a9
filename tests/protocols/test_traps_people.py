"""The traps of the published protocols that concern people, one test a trap.

Numbers are those of the list of traps in the reference notes of the project: what papers' code gets
wrong, or does differently without saying so. Ours is right by default, and a published mistake is
a named variant.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from sklearn.linear_model import LinearRegression

from kpbench.api import Array
from kpbench.data.packing.packed import PackedSet
from kpbench.data.protocol import RealProtocol
from kpbench.data.sample import Sample, read_sample
from kpbench.data.source import Rows, Source
from kpbench.registry import available, load_protocol
from kpbench.scoring import metrics
from kpbench.scoring.evaluators import Detections, Evaluation, evaluate
from kpbench.scoring.flips import permutation
from kpbench.scoring.named import get_evaluator
from kpbench.testing import check_protocol
from kpbench_protocols.deepfashion.reader import DeepFashion
from kpbench_protocols.human36m.evaluators import PAIRS as HUMAN36M_PAIRS
from kpbench_protocols.human36m.evaluators import PUBLISHED_PAIRS as HUMAN36M_PUBLISHED_PAIRS
from kpbench_protocols.human36m.reader import Human36m
from kpbench_protocols.human36m_raw.reader import Human36mUnaligned
from kpbench_protocols.taichi.reader import Taichi
from tests.protocols.trees import TREES

PROTOCOLS = {
    "human36m_background": "human36m",
    "human36m": "human36m",
    "human36m_unaligned": "human36m_raw",
    "deepfashion": "deepfashion",
    "taichi": "taichi",
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one tree a data set, large enough for regression from 36 landmarks."""
    roots = {}
    for dataset in sorted(set(PROTOCOLS.values())):
        roots[dataset] = tmp_path_factory.mktemp(dataset)
        TREES[dataset](roots[dataset], n_train=95, n_test=23)
    return roots


@pytest.fixture(autouse=True)
def located(trees: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for dataset, root in trees.items():
        monkeypatch.setenv(f"KPBENCH_DATA_{dataset.upper()}", str(root))


def real(name: str) -> RealProtocol:
    protocol = load_protocol(name)
    assert isinstance(protocol, RealProtocol)
    return protocol


def read_all(root: Path, source: Source, part: str, pixels: int = 64) -> tuple[Rows, list[Sample]]:
    rows = source.rows(root, part)
    return rows, [read_sample(root, source, rows, i, pixels) for i in range(len(rows))]


def detections(n: int, seed: int, landmarks: int = 17, noise: float = 0.02) -> Detections:
    """Return keypoints at random and landmarks that are nearly linear in them, all visible."""
    fixed = np.random.default_rng(7)
    mixing = fixed.dirichlet(np.ones(6), landmarks).T
    offset = fixed.uniform(-0.05, 0.05, (landmarks, 2))
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0.2, 0.8, (n, 6, 2))
    exact = np.einsum("nkc,kl->nlc", keypoints, mixing) + offset
    points = exact + rng.normal(0, noise, exact.shape)
    activities = np.array(["Posing", "Waiting", "Walking"])[np.arange(n) % 3]
    return Detections(keypoints, points, np.ones(points.shape[:2], bool), activities)


def score(name: str, train: Detections, test: Detections) -> Evaluation:
    return evaluate(get_evaluator(name), train, test)


# --- coordinates and grids ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROTOCOLS)
def test_trap_1_x_comes_first_whatever_the_file_says(name: str, trees: dict[str, Path]) -> None:
    protocol = real(name)
    root = trees[protocol.dataset.name]
    _, samples = read_all(root, protocol.source, protocol.source.parts["regression"])
    points = np.array([s.landmarks for s in samples])
    seen = np.array([s.visible for s in samples])
    for upper, lower in protocol.source.upright:
        both = seen[:, upper] & seen[:, lower]
        above = points[both, upper, 1] < points[both, lower, 1]
        assert above.mean() > 0.8, (upper, lower)
    train, test = detections(60, 1), detections(30, 2)
    swapped = [replace(d, landmarks=d.landmarks[..., ::-1]) for d in (train, test)]
    joint = score("deepfashion/strict", train, test).value
    assert score("deepfashion/strict", *swapped).value == pytest.approx(joint)


def test_trap_2_pixel_centres_and_what_absorbs_another_convention(tmp_path: Path) -> None:
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[40:48, 200:208] = 255  # its middle is 204, 44 when the image begins at 0
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    landmark = np.tile([204.0, 44.0], (1, 17, 1))
    rows = Rows(files=np.array(["a.png"]), landmarks=landmark)
    sample = read_sample(tmp_path, DeepFashion(), rows, 0, 128)
    light = sample.image.astype(float).sum(-1)
    grid = (np.arange(128) + 0.5) / 128
    centre = [light.sum(0) @ grid, light.sum(1) @ grid] / light.sum()
    assert sample.landmarks is not None
    np.testing.assert_allclose(sample.landmarks[0], centre, atol=1e-3)

    train, test = detections(60, 1), detections(30, 2)
    n = 32  # of 32 cells, i at i / 31 (corner-aligned), or at i / 32, not at (i + 0.5) / 32
    corners = [replace(d, keypoints=(d.keypoints * n - 0.5) / (n - 1)) for d in (train, test)]
    edges = [replace(d, keypoints=d.keypoints - 0.5 / n) for d in (train, test)]
    centred = get_evaluator("deepfashion/stablekeypoints_l2")
    for spec, absorbs_corners, absorbs_edges in (
        (replace(centred, centre=0.0), False, False),
        (centred, True, False),  # corner-aligned is a scaling around the middle
        (replace(centred, bias=True), True, True),
    ):
        wanted = pytest.approx(evaluate(spec, train, test).value, rel=1e-9)
        assert (evaluate(spec, *corners).value == wanted) == absorbs_corners
        assert (evaluate(spec, *edges).value == wanted) == absorbs_edges
    assert 0.003 < np.abs(corners[0].keypoints - train.keypoints).max() < 0.5 / n


def test_trap_3_a_factor_changes_no_fit_unless_something_is_subtracted() -> None:
    train, test = detections(60, 1), detections(30, 2)
    scaled = [replace(d, keypoints=d.keypoints * 255 / 256) for d in (train, test)]
    for name in ("human36m/zhang", "deepfashion/autolink", "taichi/siarohin", "taichi/autolink"):
        spec = replace(get_evaluator(name), n_landmarks=None)
        plain = evaluate(spec, train, test).value
        changed = evaluate(spec, *scaled).value
        if spec.centre:
            assert changed != pytest.approx(plain, rel=1e-9), name
        else:
            assert changed == pytest.approx(plain, rel=1e-9), name


def test_trap_8_an_image_that_is_not_square_is_squashed_with_its_labels(
    trees: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(trees["human36m"] / "S11", tmp_path / "S11")
    rows = Human36m().rows(tmp_path, "test")
    pixels = np.zeros((128, 256, 3), np.uint8)
    pixels[96:104, 48:56] = 255  # middle at x = 52 of 256, y = 100 of 128
    Image.fromarray(pixels).save(tmp_path / str(rows.files[0]), quality=95)
    assert rows.labels is not None
    savemat(
        tmp_path / str(rows.labels[0]), {"keypoints_2d": np.tile([100 / 128, 52 / 256], (32, 1))}
    )
    sample = read_sample(tmp_path, Human36m(), rows, 0, 128)
    assert sample.image.shape == (128, 128, 3) and sample.aspect == 2
    light = np.clip(sample.image.astype(float).mean(-1) - 30, 0, None)
    grid = (np.arange(128) + 0.5) / 128
    centre = [light.sum(0) @ grid, light.sum(1) @ grid] / light.sum()
    assert sample.landmarks is not None
    np.testing.assert_allclose(sample.landmarks[0], centre, atol=2e-3)


# --- labels and masks -----------------------------------------------------------------------------


def test_trap_9_missing_is_minus_one_and_zero_is_a_label(trees: dict[str, Path]) -> None:
    rows, samples = read_all(trees["taichi"], Taichi(), "train")
    assert rows.visible is not None and 0.85 < rows.visible.mean() < 1
    first = samples[0]
    assert first.landmarks is not None and first.visible is not None
    assert first.visible[0] and first.landmarks[0].tolist() == [0, 61 / 256]
    points = np.array([s.landmarks for s in samples])
    visible = np.array([s.visible for s in samples])
    assert (points[~visible] == 0).all()
    keypoints = np.random.default_rng(0).uniform(0, 1, (len(rows), 5, 2))
    data = Detections(keypoints, points, visible)
    counted = score("taichi/siarohin", data, data).valid.sum() / 2
    positive = score("taichi/stablekeypoints", data, data).valid.sum()
    assert counted == visible.sum() and positive == visible.sum() - 1
    assert "0 for a missing one" in get_evaluator("taichi/stablekeypoints").known_fault


def test_trap_10_every_landmark_has_its_own_rows() -> None:
    train, test = detections(80, 1, landmarks=18), detections(40, 2, landmarks=18)
    rng = np.random.default_rng(3)
    train, test = (replace(d, visible=rng.random(d.visible.shape) > 0.2) for d in (train, test))
    total = 0.0
    for landmark in range(18):
        seen, shown = train.visible[:, landmark], test.visible[:, landmark]
        for axis in range(2):
            fit = LinearRegression().fit(
                train.keypoints[seen].reshape(seen.sum(), -1),
                train.landmarks[seen, landmark, axis],
            )
            found = fit.predict(test.keypoints[shown].reshape(shown.sum(), -1))
            total += np.abs(found - test.landmarks[shown, landmark, axis]).mean() * 256
    assert score("taichi/siarohin", train, test).value == pytest.approx(total, rel=1e-9)


def test_trap_11_swap_list_is_a_permutation() -> None:
    right = permutation(HUMAN36M_PAIRS, 32)
    assert sorted(right) == list(range(32)) and (right[right] == np.arange(32)).all()
    wrong = permutation(HUMAN36M_PUBLISHED_PAIRS, 32)
    assert sorted(wrong) != list(range(32)) and (wrong[wrong] != np.arange(32)).any()
    assert (wrong[[20, 21, 28, 29]] == [28, 28, 21, 29]).all() and wrong[16] == 16
    for name in ("human36m_background", "human36m", "human36m_unaligned"):
        default = get_evaluator(real(name).evaluator)
        assert default.pairs == HUMAN36M_PAIRS and not default.known_fault
    published = get_evaluator("human36m/autolink")
    assert published.pairs == HUMAN36M_PUBLISHED_PAIRS and "no permutation" in published.known_fault


def test_trap_11_the_faulty_list_costs_where_people_are_exchanged() -> None:
    train, test = detections(90, 1, landmarks=32, noise=0), detections(40, 2, landmarks=32, noise=0)
    order = permutation(HUMAN36M_PAIRS, 32)
    half = np.arange(40) < 20
    mixed = np.where(half[:, None, None], test.landmarks[:, order], test.landmarks)
    test = replace(test, landmarks=mixed)
    spec = replace(
        get_evaluator("human36m/autolink_fixed"), train_flip="none", trim=None, bias=True
    )
    faulty = replace(spec, pairs=HUMAN36M_PUBLISHED_PAIRS)
    assert evaluate(spec, train, test).value == pytest.approx(0, abs=1e-9)
    assert evaluate(faulty, train, test).value > 0.1


def test_trap_12_folder_of_masks_and_what_replaces_the_background(trees: dict[str, Path]) -> None:
    root = trees["human36m"]
    assert (root / "S1/BackgroudMask").is_dir() and not (root / "S1/BackgroundMask").exists()
    assert real("human36m").arguments["background"] == "gray"
    assert real("human36m_background").arguments["background"] == "image"
    shown = {}
    for background in ("image", "gray", "black", "black_unscaled"):
        _, samples = read_all(root, Human36m(background=background), "test", 128)
        shown[background] = np.array([s.image for s in samples])
        mask = np.array([s.mask for s in samples])
    assert (shown["gray"][~mask] == 128).all() and (shown["black"][~mask] == 0).all()
    for background in ("gray", "black"):
        assert (shown[background][mask] == shown["image"][mask]).all()
    assert set(np.unique(shown["black_unscaled"])) == {0, 255}
    prints = {
        background: real("human36m").configured({"background": background}).fingerprint("smoke")
        for background in ("gray", "black")
    }
    assert prints["gray"] != prints["black"]


def test_trap_13_masks_are_compared_with_one_half(trees: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(trees["taichi"], tmp_path / "t")
    rows = Taichi().rows(tmp_path / "t", "test")
    values = np.repeat(np.array([0, 100, 127, 128, 200, 254, 255, 0], np.uint8), 32)
    assert rows.masks is not None
    Image.fromarray(np.tile(values, (256, 1))).save(tmp_path / "t" / str(rows.masks[0]))
    mask = read_sample(tmp_path / "t", Taichi(), rows, 0, 256).mask
    assert mask is not None and (mask[7] == (values >= 128)).all()
    # truncation to integers, as published, keeps pixels of exactly 255 alone
    truncated = (values / 255).astype(int) == 1
    assert truncated.sum() == 32 and mask[7].sum() == 4 * 32


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_trap_14_labels_of_any_number_type_become_float64(
    trees: dict[str, Path], tmp_path: Path, kind: type
) -> None:
    shutil.copytree(trees["human36m"] / "S11", tmp_path / "S11")
    rows = Human36m().rows(tmp_path, "test")
    assert rows.labels is not None
    path = tmp_path / str(rows.labels[0])
    stored = loadmat(path)["keypoints_2d"]
    savemat(path, {"keypoints_2d": stored.astype(kind).astype(np.float32)})
    points, _ = Human36m().labels(tmp_path, rows, 0, (128, 128))
    assert points.dtype == np.float64
    np.testing.assert_allclose(points, stored[:, ::-1] * 128, atol=0.1)
    savemat(path, {"keypoints_2d": np.tile(np.array([[0, 1]], np.uint8), (32, 1))})
    points, _ = Human36m().labels(tmp_path, rows, 0, (128, 128))
    assert points.dtype == np.float64 and (points == [128, 0]).all()


def test_trap_15_labels_that_are_predictions_are_called_so() -> None:
    found = available("protocols")
    assert "AlphaPose" in found["deepfashion"].summary
    assert "OpenPose" in found["taichi"].summary


# --- regression -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("human36m/autolink_fixed", "human36m/stablekeypoints_fixed", "human36m/bkind"),
        *("deepfashion/autolink", "taichi/siarohin", "taichi/stablekeypoints"),
    ],
)
def test_trap_20_test_labels_do_not_touch_the_fit(name: str) -> None:
    landmarks = get_evaluator(name).n_landmarks or 18
    train, test = detections(90, 1, landmarks), detections(40, 2, landmarks)
    other = replace(test, landmarks=np.random.default_rng(0).uniform(0, 1, test.landmarks.shape))
    found, changed = score(name, train, test), score(name, train, other)
    assert (found.predicted == changed.predicted).all() and found.value != changed.value


@pytest.mark.parametrize("name", ["human36m/autolink", "human36m/autolink_fixed", "human36m/bkind"])
def test_trap_22_labels_are_not_exchanged_in_place(name: str) -> None:
    train, test = detections(120, 1, landmarks=32), detections(60, 2, landmarks=32)
    order = permutation(HUMAN36M_PAIRS, 32)
    mirrored = train.landmarks[:, order]
    labels = np.where((np.arange(120) % 3 == 0)[:, None, None], mirrored, train.landmarks)
    train = replace(train, landmarks=labels)
    before = train.landmarks.copy(), test.landmarks.copy()
    first = score(name, train, test).value
    assert (train.landmarks == before[0]).all() and (test.landmarks == before[1]).all()
    assert score(name, train, test).value == first


# --- aggregation ----------------------------------------------------------------------------------


def test_trap_23_means_of_activities_weigh_each_alike() -> None:
    train, test = detections(120, 1, landmarks=32), detections(40, 2, landmarks=32)
    activities = np.array(["Walking"] * 30 + ["Posing"] * 10)
    moved = test.landmarks + np.where(activities == "Posing", 0.1, 0)[:, None, None]
    test = replace(test, landmarks=moved, activities=activities)
    found = score("human36m/bkind", train, test)
    images = found.errors.mean(1)
    each = [images[activities == name].mean() for name in ("Walking", "Posing")]
    assert found.value == pytest.approx(np.mean(each))
    assert found.value > images.mean() + 1


def test_trap_24_a_sum_of_absolute_errors_is_no_sum_of_distances() -> None:
    train, test = detections(200, 1, landmarks=18), detections(100, 2, landmarks=18)
    cumulative = score("taichi/siarohin", train, test)
    spec = replace(get_evaluator("taichi/stablekeypoints"), bias=True)
    summed = evaluate(spec, train, test)
    residual = (cumulative.predicted - test.landmarks) * 256
    assert cumulative.value == pytest.approx(np.abs(residual).mean(0).sum())
    assert summed.value == pytest.approx(np.linalg.norm(residual, axis=2).sum(1).mean())
    # of isotropic errors, mean |e| = E |cos| . mean ||e||: 2 x 2 / pi in all
    assert summed.value / cumulative.value == pytest.approx(np.pi / 4, abs=0.02)


def test_trap_25_a_hit_is_nearer_than_six_pixels_of_256() -> None:
    train = detections(60, 1, noise=0)
    distances = np.array([5.99, 6.0, 6.01, 0.0])
    keypoints = np.tile(np.linspace(0.25, 0.75, 12).reshape(6, 2), (4, 1, 1))
    spec = replace(get_evaluator("deepfashion/autolink"), bias=True)
    predicted = evaluate(
        spec, train, Detections(keypoints, np.full((4, 17, 2), 0.5), np.ones((4, 17), bool))
    ).predicted
    labels = predicted + np.stack([distances / 256, np.zeros(4)], 1)[:, None]
    test = Detections(keypoints, labels, np.ones((4, 17), bool))
    hits = evaluate(spec, train, test).errors
    assert (hits[0] == 100).all() and (hits[2] == 0).all() and (hits[3] == 100).all()
    # 6 / 256 is exact in binary: what is not less than it is no hit
    exact = np.zeros((1, 1, 2))
    assert metrics.hits(exact, exact + np.array([6 / 256, 0]), 6 / 256).item() == 0
    assert metrics.hits(exact, exact + np.array([np.nextafter(6 / 256, 0), 0]), 6 / 256).item() == 1


def test_trap_26_units_are_not_those_of_the_other_paper() -> None:
    train, test = detections(150, 1, landmarks=32), detections(60, 2, landmarks=32)
    stable = get_evaluator("human36m/stablekeypoints_fixed")
    percent = replace(stable, scale=100.0, unit="%")
    ratio = evaluate(stable, train, test).value / evaluate(percent, train, test).value
    assert ratio == pytest.approx(1.28) and stable.unit == "px at 128"
    assert get_evaluator("human36m/autolink_fixed").unit == "%"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_trap_27_no_image_is_dropped(name: str) -> None:
    splits = real(name).splits("smoke")
    assert (len(splits.regression), len(splits.test)) == (95, 23)  # of no batch's size
    points = splits.test.landmarks
    found = evaluate(
        get_evaluator(real(name).evaluator),
        Detections(
            splits.regression.landmarks, splits.regression.landmarks, splits.regression.visible
        ),
        Detections(points, points, splits.test.visible),
    )
    assert found.n_images == len(found.errors) == 23


# --- determinism and selection --------------------------------------------------------------------


@pytest.mark.parametrize("name", PROTOCOLS)
def test_trap_29_and_31_test_images_are_the_same_every_time(
    name: str, trees: dict[str, Path]
) -> None:
    source = real(name).source
    root, part = trees[real(name).dataset.name], source.parts["test"]
    first, again = (read_all(root, source, part)[1] for _ in range(2))
    assert [s.digest for s in first] == [s.digest for s in again]
    assert all((a.image == b.image).all() for a, b in zip(first, again, strict=True))


def test_trap_31_jitter_moves_test_crops_and_can_be_left_out(trees: dict[str, Path]) -> None:
    root = trees["human36m_raw"]
    _, moved = read_all(root, Human36mUnaligned(), "test")
    _, centred = read_all(root, Human36mUnaligned(jitter="none"), "test")
    middles = [
        np.array(
            [[s.landmarks.min(0), s.landmarks.max(0)] for s in found if s.landmarks is not None]
        )
        for found in (moved, centred)
    ]
    off = [np.abs(box.mean(1) - 0.5).max(1) for box in middles]
    # a crop that was moved back into the frame is off its middle, too
    assert (off[1] < 1e-6).mean() > 0.3 and (off[0] > 0.02).mean() > 0.8


@pytest.mark.parametrize("name", PROTOCOLS)
def test_trap_30_the_order_of_a_folder_changes_nothing(
    name: str, trees: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = real(name).source
    root = trees[real(name).dataset.name]
    parts = dict.fromkeys(source.parts.values())
    wanted = {part: source.rows(root, part) for part in parts}
    scandir, listdir = os.scandir, os.listdir

    class Shuffled:
        def __init__(self, path: Path) -> None:
            with scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            self.entries = [found[i] for i in np.random.default_rng(5).permutation(len(found))]

        def __enter__(self) -> Shuffled:
            return self

        def __iter__(self) -> object:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Shuffled)
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path), reverse=True))
    for part in parts:
        found = source.rows(root, part)
        assert found.files.tolist() == wanted[part].files.tolist()
        groups, known = found.groups, wanted[part].groups
        assert (groups is None) == (known is None)
        if groups is not None and known is not None:
            assert groups.tolist() == known.tolist()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_trap_34_images_are_bytes_and_not_normalised_twice(
    name: str, trees: dict[str, Path]
) -> None:
    source = real(name).source
    root, part = trees[real(name).dataset.name], source.parts["regression"]
    rows = source.rows(root, part)
    pixels = np.array([read_sample(root, source, rows, i, 64).image for i in range(len(rows))])
    assert pixels.dtype == np.uint8 and pixels.max() > 200 and pixels.std() > 10
    if name in ("deepfashion", "taichi", "human36m_background"):
        file = Image.open(root / str(rows.files[0])).convert("RGB")
        mean = np.asarray(file, float).mean((0, 1))
        np.testing.assert_allclose(pixels[0].mean((0, 1)), mean, atol=1.5)


def test_trap_36_few_test_images_say_so_by_their_interval() -> None:
    train = detections(500, 1, landmarks=18, noise=0.05)
    half_width = []
    for n in (300, 3000):
        found = score("taichi/siarohin", train, detections(n, 2, landmarks=18, noise=0.05))
        low, high = found.ci95
        assert low < found.value < high
        half_width.append((high - low) / 2)
    assert half_width[0] / half_width[1] == pytest.approx(np.sqrt(10), rel=0.35)
    with_few = score("taichi/siarohin", train, detections(300, 4, landmarks=18, noise=0.05))
    single = with_few.errors.sum(1)  # here all are visible, so that images are independent draws
    expected = 1.96 * single.std() / np.sqrt(300)
    low, high = with_few.ci95
    assert (high - low) / 2 == pytest.approx(expected, rel=0.2)


# --- the protocols as a whole ---------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "human36m"])
def test_protocols_keep_their_contract_in_validation(name: str) -> None:
    """That they do on the published split is tested along the whole path from files to a record."""
    protocol = real(name).configured({"split": "validation"})
    check_protocol(replace(protocol, shared_identities=""))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_validation_holds_no_test_image_and_training_none_of_it(
    name: str, trees: dict[str, Path]
) -> None:
    source = real(name).source
    held = source.configured({"split": "validation"})
    root = trees[real(name).dataset.name]

    def files(source: Source, split: str) -> set[str]:
        return set(source.rows(root, source.parts[split]).files.tolist())

    validation = files(held, "test")
    assert validation and not validation & files(source, "test")
    assert not validation & (files(held, "regression") | files(held, "discovery"))
    assert validation < files(source, "regression")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_packed_images_are_those_that_were_read(name: str, trees: dict[str, Path]) -> None:
    protocol = real(name)
    packed = protocol.packed("smoke", "test")
    assert isinstance(packed, PackedSet)
    packed.make()
    opened = packed.open()
    rows, samples = read_all(
        trees[protocol.dataset.name], protocol.source, protocol.source.parts["test"], 128
    )
    assert opened.names.tolist() == rows.files.tolist()
    assert (opened.images == np.array([s.image for s in samples])).all()
    assert opened.landmarks is not None
    assert (opened.landmarks == np.array([s.landmarks for s in samples])).all()
    for name_, column in (("groups", rows.groups), ("activities", rows.activities)):
        stored: Array | None = getattr(opened, name_)
        assert (stored is None) == (column is None)
        assert stored is None or column is None or stored.tolist() == column.tolist()
    if opened.mask is not None:
        assert (opened.mask == np.array([s.mask for s in samples])).all()
