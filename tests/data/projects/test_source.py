"""A project as a source: which images train and test, what is shown, and when it has changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kpbench.data.projects.project import inner_path
from kpbench.data.projects.rules import evaluators, indexed, pairs_by_name
from kpbench.data.projects.source import ProjectSource
from kpbench.data.projects.splitting import chosen_to_test
from kpbench.data.sample import read_sample
from kpbench.data.source import Rows
from kpbench.errors import DataError, InvalidInputError, UndefinedScoreError, UnknownNameError
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import evaluate
from tests.data.projects import writers
from tests.data.projects.writers import HEIGHT, NAMES, WIDTH, Labels, labels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    writers.write_deeplabcut(tmp_path / "project", labels(40, videos=10))
    return tmp_path / "project"


def parts(root: Path, **arguments: Any) -> dict[str, Rows]:
    source = ProjectSource(**arguments)
    return {split: source.rows(root, part) for split, part in source.parts.items()}


def videos(rows: Rows) -> set[str]:
    assert rows.groups is not None
    return set(rows.groups.tolist())


def test_by_default_no_video_is_on_both_sides(root: Path) -> None:
    found = parts(root)
    assert not videos(found["regression"]) & videos(found["test"])
    assert not videos(found["discovery"]) & videos(found["test"])
    assert len(found["regression"]) + len(found["test"]) == 38
    assert 0.2 < len(found["test"]) / 38 < 0.45
    # an unlabelled image of a tested video is learnt from by nobody
    unlabelled = {f"labeled-data/vid {i % 10}" for i in (38, 39)}
    extra = len(found["discovery"]) - len(found["regression"])
    assert extra == len(unlabelled - videos(found["test"]))


def test_the_split_depends_on_the_names_of_videos_alone(root: Path, tmp_path: Path) -> None:
    tests = videos(parts(root)["test"])
    writers.write_deeplabcut(tmp_path / "other", labels(40, videos=10, seed=5))
    assert videos(parts(tmp_path / "other")["test"]) == tests


def test_by_frame_a_third_tests(root: Path) -> None:
    found = parts(root, split="frame")
    assert len(found["test"]) == 13 and len(found["regression"]) == 25
    assert len(found["discovery"]) == 27
    assert not set(found["test"].files) & set(found["discovery"].files)


def test_patterns_of_files_or_videos_test(root: Path) -> None:
    found = parts(root, test=["*/vid 3", "*img005*"])
    assert {str(f).split("/")[1] for f in found["test"].files} == {"vid 3", "vid 5"}
    assert len(found["test"]) == 5
    with pytest.raises(InvalidInputError, match=r"none of 38 labelled images match mouse\*"):
        parts(root, test=["mouse*"])
    with pytest.raises(InvalidInputError, match="all of 38"):
        parts(root, test=["*"])


def test_one_video_cannot_be_split_by_video(tmp_path: Path) -> None:
    writers.write_deeplabcut(tmp_path, labels(videos=1))
    with pytest.raises(InvalidInputError, match="of one video, 'labeled-data/vid 0'; choose"):
        parts(tmp_path)
    assert len(parts(tmp_path, split="frame")["test"]) == 3


def test_a_copy_of_a_test_image_is_not_learnt_from(root: Path) -> None:
    before = parts(root, split="frame")
    copied = root / str(before["test"].files[0])
    shutil.copy(copied, copied.with_name("again.png"))
    assert len(parts(root, split="frame")["discovery"]) == len(before["discovery"])


def test_a_project_that_has_changed_is_refused(root: Path) -> None:
    known = ProjectSource().project(root).fingerprint(root)
    source = ProjectSource(fingerprint=known)
    source.rows(root, "test")
    path = sorted(root.glob("labeled-data/*/*.csv"))[0]
    text = path.read_text()
    number = text.splitlines()[3].split(",")[1]
    path.write_text(text.replace(number, f"{float(number) + 0.01:.2f}", 1))
    with pytest.raises(DataError, match="labels or images have changed since"):
        source.rows(root, "test")
    path.write_text(text)
    source.rows(root, "test")
    image = path.parent / "img900.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(image)
    with pytest.raises(DataError, match=f"added with {known}"):
        source.rows(root, "test")


@pytest.mark.parametrize("crop", ["whole", "4,6,30,24"])
def test_labels_lie_where_the_image_shows_them(root: Path, crop: str) -> None:
    data = labels(40, videos=10)
    source = ProjectSource(crop=crop)
    rows = source.rows(root, "train")
    left, top, width, height = (0, 0, WIDTH, HEIGHT) if crop == "whole" else (4, 6, 30, 24)
    for i in range(len(rows)):
        number = int(str(rows.files[i])[-7:-4])
        sample = read_sample(root, source, rows, i, 16)
        expected = (data.points[number] + 0.5 - (left, top)) / (width, height)
        assert sample.landmarks is not None and sample.visible is not None
        np.testing.assert_allclose(sample.landmarks[sample.visible], expected[sample.visible])
        assert sample.aspect == pytest.approx(width / height)


def test_a_crop_by_labels_holds_them_all_and_is_square(root: Path) -> None:
    source = ProjectSource(crop="labels")
    found = parts(root, crop="labels")
    assert len(found["discovery"]) == len(found["regression"])  # nothing tells where others are
    for i in range(len(found["test"])):
        sample = read_sample(root, source, found["test"], i, 16)
        assert sample.landmarks is not None and sample.visible is not None
        seen = sample.landmarks[sample.visible]
        assert seen.min() > 0.1 and seen.max() < 0.9
        assert sample.aspect == pytest.approx(1)
        assert (seen.max(0) - seen.min(0)).max() == pytest.approx(1 / 1.6)


def test_without_boxes_there_is_no_crop_by_box(root: Path) -> None:
    with pytest.raises(InvalidInputError, match="have no boxes"):
        parts(root, crop="box")


@pytest.mark.parametrize("crop", ["wide", "1,2,3", "1,2,0,4", "1,2,nan,4", "a,b,c,d"])
def test_a_crop_that_cannot_be_is_refused(crop: str) -> None:
    with pytest.raises(InvalidInputError, match="X,Y,W,H in pixels"):
        ProjectSource(crop=crop)


def test_masks_of_coco_are_cropped_as_the_images(tmp_path: Path) -> None:
    data = labels()
    writers.write_coco(tmp_path, data)
    source = ProjectSource(crop="box", split="frame")
    rows = source.rows(tmp_path, "test")
    sample = read_sample(tmp_path, source, rows, 0, 60)
    # the box is 30 x 20 from (4, 4), the square around it 36 wide; the outline 20 x 16 from (4, 4)
    corner = np.array([4 + 15 - 18, 4 + 10 - 18])
    low, high = (np.array([4, 4]) - corner) / 36 * 60, (np.array([24, 20]) - corner) / 36 * 60
    assert sample.mask is not None
    y, x = np.nonzero(sample.mask)
    np.testing.assert_allclose((x.min(), y.min()), low, atol=2)
    np.testing.assert_allclose((x.max(), y.max()), high, atol=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a/b.png", "a/b.png"), (r"a\b c\d.png", "a/b c/d.png"), ("./a/b.png", "a/b.png")],
)
def test_paths_of_any_system(text: str, expected: str) -> None:
    assert inner_path(text) == expected


@pytest.mark.parametrize("text", ["/a.png", r"\a.png", "c:/a.png", "a/../../b.png", "..", "", "."])
def test_paths_that_lead_out(text: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        inner_path(text)


def test_sides_are_told_by_names() -> None:
    names = ("leftEye", "rightEye", "l_ear", "r_ear", "paw_L", "paw_R", "bright", "brleft", "eel")
    found = {("leftEye", "rightEye"), ("l_ear", "r_ear"), ("paw_L", "paw_R"), ("brleft", "bright")}
    assert set(pairs_by_name(names)) == found - {("brleft", "bright")}
    assert indexed([("paw_L", "paw_R")], names) == ((4, 5),)
    with pytest.raises(UnknownNameError, match="no landmark called 'paw_X'; did you mean paw_"):
        indexed([("paw_X", "paw_R")], names)
    with pytest.raises(InvalidInputError, match="pairs name paw_R twice"):
        indexed([("paw_L", "paw_R"), ("leftEye", "paw_R")], names)


def detected(data: Labels, noise: float, aspect: float) -> Detections:
    """Return keypoints that are the labels with noise, in [0, 1] of a squashed image."""
    draw = np.random.default_rng(3)
    size = np.array([aspect * 100, 100.0])
    visible = np.asarray(np.isfinite(data.points).all(-1))
    landmarks = np.where(visible[..., None], data.points / size, 0)
    keypoints = draw.uniform(0.2, 0.8, landmarks.shape)
    landmarks = keypoints + draw.normal(0, noise, landmarks.shape) / (aspect, 1)
    return Detections(keypoints, landmarks, visible, aspect=np.full(len(visible), aspect))


def test_errors_are_in_the_unit_that_was_asked_for() -> None:
    data = labels(400)
    data = Labels(data.images, np.nan_to_num(data.points), data.videos)
    train = test = detected(data, 0.01, 4 / 3)
    found = {}
    for key, options in {
        "image": {}, "px": {"pixels": 36.0}, "ear": {"normaliser": ("ear_L", "ear_R")},
    }.items():  # fmt: skip
        [spec] = evaluators("mice", NAMES, **options)  # type: ignore[arg-type]
        assert spec.name == "mice/strict" and not spec.oracle_used and spec.bias
        found[key] = evaluate(spec, train, test)
    # the mean length of noise with a deviation of 1 % of the height in x and y
    expected = 0.01 * np.sqrt(np.pi / 2)
    assert found["image"].value == pytest.approx(100 * expected, rel=0.06)
    assert found["px"].value == pytest.approx(36 * expected, rel=0.06)
    gap = (test.landmarks[:, 1] - test.landmarks[:, 2]) * (4 / 3, 1)
    errors = found["image"].errors.mean(1) / np.linalg.norm(gap, axis=-1)
    assert found["ear"].value == pytest.approx(errors.mean())


def test_images_that_lack_the_normaliser_are_left_out_and_told() -> None:
    whole = detected(labels(60), 0.01, 1.0)
    visible = np.ones((60, 4), bool)
    visible[:7, 1] = False
    [spec] = evaluators("mice", NAMES, normaliser=("ear_L", "ear_R"), gaps=True)
    train = Detections(whole.keypoints, whole.landmarks, np.ones((60, 4), bool), aspect=np.ones(60))
    test = Detections(whole.keypoints, whole.landmarks, visible, aspect=np.ones(60))
    found = evaluate(spec, train, test)
    assert not found.valid[:7].any() and found.valid[7:].all()
    assert any("7 of 60 test images left out" in note for note in found.notes)
    [spec] = evaluators("mice", NAMES, normaliser=("ear_L", "ear_R"))
    with pytest.raises(UndefinedScoreError, match="in 7 of 60 test images"):
        evaluate(spec, train, test)


@pytest.mark.parametrize("normaliser", [("nose",), ("nose", "nose"), ("nose", "tail", "ear_L")])
def test_a_normaliser_is_two_landmarks(normaliser: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError, match="two landmarks, as A,B"):
        evaluators("mice", NAMES, normaliser=normaliser)


def test_a_symmetric_score_forgives_an_exchange_of_sides() -> None:
    draw = np.random.default_rng(0)
    points = draw.uniform(0.2, 0.8, (200, 4, 2))
    swapped = points.copy()
    exchange = draw.random(200) < 0.5
    swapped[exchange] = swapped[exchange][:, [0, 2, 1, 3]]
    seen, aspect = np.ones((200, 4), bool), np.ones(200)
    found = Detections(points, swapped, seen, aspect=aspect)
    symmetric, strict = evaluators("mice", NAMES, pairs=((1, 2),))
    assert symmetric.oracle_used and symmetric.name == "mice/symmetric"
    assert evaluate(symmetric, found, found).value < 0.7 * evaluate(strict, found, found).value


def test_the_number_of_units_comes_nearest_to_a_third() -> None:
    for counts in ([30, 1, 1], [1, 1], [5, 5, 5, 5, 5, 5], [90, 10]):
        groups = np.repeat([f"v{i}" for i in range(len(counts))], counts)
        found = chosen_to_test(Rows(groups, groups=groups), "video")
        assert 0 < found.sum() < len(groups)
        assert all(len(set(found[groups == group])) == 1 for group in set(groups))


def test_fingerprints_tell_labels_and_not_places(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "elsewhere")
    first = ProjectSource().project(root).fingerprint(root)
    assert first == ProjectSource().project(tmp_path / "elsewhere").fingerprint(
        tmp_path / "elsewhere"
    )
    assert json.dumps(dict(ProjectSource(test=("a",)).arguments))
