"""Tai-Chi-HD against what lies on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpbench.api import Array
from kpbench.data.sample import read_sample
from kpbench.errors import DataError
from kpbench.files.pickles import read_frame
from kpbench.people.body.skeleton import OPENPOSE_18
from kpbench_protocols.taichi.reader import JOINTS, Taichi
from tests.files.old_pandas import write_old_frame
from tests.protocols.trees import TREES


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taichi")
    TREES["taichi"](folder, n_train=24, n_test=10)
    return folder


def column(values: Array | None) -> list[str]:
    assert values is not None
    return [str(value) for value in values]


def annotation(root: Path, part: str) -> dict[str, Array]:
    """Return image name -> joints (18, 2) as stored."""
    frame = read_frame(root / "landmark" / f"taichi_{part}_gt.pkl")
    return dict(zip(frame["file_name"].tolist(), frame["value"], strict=True))


@pytest.mark.parametrize(("part", "count"), [("train", 24), ("test", 10)])
def test_rows_are_sorted_by_name(root: Path, part: str, count: int) -> None:
    frame = read_frame(root / "landmark" / f"taichi_{part}_gt.pkl")
    stored = frame["file_name"].tolist()
    assert stored != sorted(stored) and len(stored) == count
    rows = Taichi().rows(root, part)
    assert column(rows.files) == [f"eval_images/taichi-256/{part}/{n}" for n in sorted(stored)]
    assert rows.groups is None and rows.sizes is not None and (rows.sizes == 256).all()
    assert all((root / file).is_file() for file in column(rows.files))


@pytest.mark.parametrize("part", ["train", "test"])
def test_joints_are_fractions_of_256_where_they_are_not_minus_one(root: Path, part: str) -> None:
    source = Taichi()
    rows = source.rows(root, part)
    stored = annotation(root, part)
    missing = 0
    for i, file in enumerate(column(rows.files)):
        sample = read_sample(root, source, rows, i, 128)
        wanted = stored[Path(file).name]
        assert sample.landmarks is not None and sample.visible is not None
        for point, seen, pixels in zip(sample.landmarks, sample.visible, wanted, strict=True):
            assert seen == (pixels.tolist() != [-1, -1])
            expected = [pixels[0] / 256, pixels[1] / 256] if seen else [0, 0]
            assert point.tolist() == expected
            missing += not seen
    assert missing > 0


def test_zero_is_a_label(root: Path) -> None:
    assert annotation(root, "train")["00000.png"][0].tolist() == [0, 61]
    rows = Taichi().rows(root, "train")
    assert rows.visible is not None and rows.landmarks is not None
    assert rows.visible[0, 0] and rows.landmarks[0, 0, 0] == 0 < rows.landmarks[0, 0, 1]


def test_joints_lie_on_the_person(root: Path) -> None:
    on, swapped = [], []
    rows = Taichi().rows(root, "test")
    for i in range(1, len(rows)):
        sample = read_sample(root, Taichi(), rows, i, 128)
        assert sample.landmarks is not None and sample.mask is not None
        x, y = (sample.landmarks[sample.visible] * 128).astype(int).T
        on.append(sample.mask[y, x].mean())
        swapped.append(sample.mask[x, y].mean())
    assert np.mean(on) > 0.75 > 0.6 > np.mean(swapped)


def test_masks_are_those_of_the_test_images_alone(root: Path) -> None:
    rows = Taichi().rows(root, "test")
    assert column(rows.masks) == [f"taichi-test-masks/{Path(f).name}" for f in column(rows.files)]
    sample = read_sample(root, Taichi(), rows, 4, 256)
    stored = np.asarray(Image.open(root / column(rows.masks)[4]))
    assert sample.mask is not None and (sample.mask == (stored == 255)).all()
    for part in ("train", "videos", "train_fold", "validation"):
        assert Taichi().rows(root, part).masks is None


def test_discovery_is_the_frames_of_the_videos(root: Path) -> None:
    assert Taichi().parts == {"discovery": "videos", "regression": "train", "test": "test"}
    rows = Taichi().rows(root, "videos")
    files = column(rows.files)
    assert sorted(files) == [str(p.relative_to(root)) for p in sorted(root.glob("train/*/*.png"))]
    assert rows.landmarks is None and rows.labels is None
    assert set(column(rows.groups)) == {"-1x_Q3Kd", "u6rJiF-gPx8"}
    for file, group in zip(files, column(rows.groups), strict=True):
        assert file.split("/")[1].startswith(f"{group}#")
    sample = read_sample(root, Taichi(), rows, 0, 64)
    assert sample.landmarks is None and sample.image.shape == (64, 64, 3)


def test_frames_of_a_video_are_in_the_order_of_their_numbers(root: Path, tmp_path: Path) -> None:
    clip = tmp_path / "train" / "v#000000#000100.mp4"
    clip.mkdir(parents=True)
    for name in ("10.png", "9.png", "100.png", ".hidden.png", "notes.txt"):
        (clip / name).touch()
    (tmp_path / "train" / "readme.txt").touch()
    names = [Path(file).name for file in column(Taichi().rows(tmp_path, "videos").files)]
    assert names == ["9.png", "10.png", "100.png"]
    with pytest.raises(DataError, match="nowhere/train"):
        Taichi().rows(tmp_path / "nowhere", "videos")


def test_validation_is_taken_from_training(root: Path) -> None:
    source = Taichi(split="validation")
    assert source.parts == {
        "discovery": "videos",
        "regression": "train_fold",
        "test": "validation",
    }
    fold, validation = source.rows(root, "train_fold"), source.rows(root, "validation")
    assert (len(fold), len(validation)) == (21, 3)
    both = column(fold.files) + column(validation.files)
    assert sorted(both) == column(Taichi().rows(root, "train").files)
    assert validation.landmarks is not None and len(validation.landmarks) == 3


def test_the_names_of_the_joints() -> None:
    assert tuple(name.replace("neck", "thorax") for name in JOINTS) == OPENPOSE_18


def write_annotation(root: Path, names: list[str], values: Array) -> Path:
    path = root / "landmark" / "taichi_test_gt.pkl"
    frames = np.zeros(len(names), np.int64)
    columns = {"file_name": np.array(names), "frame_number": frames, "value": values}
    write_old_frame(path, columns)
    return path


@pytest.mark.parametrize(
    ("names", "values", "words"),
    [
        (["1.png", "0.png"], np.zeros((2, 17, 2)), "18 pairs"),
        (["1.png", "1.png"], np.zeros((2, 18, 2)), "twice"),
        (["1.png", "0.png"], np.tile([-1.0, 4], (2, 18, 1)), "one coordinate is -1"),
    ],
)
def test_unusable_annotation_is_named(
    tmp_path: Path, names: list[str], values: Array, words: str
) -> None:
    path = write_annotation(tmp_path, names, values)
    with pytest.raises(DataError, match=words) as caught:
        Taichi().rows(tmp_path, "test")
    assert str(path) in str(caught.value)


def test_missing_annotation_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"taichi_train_gt\.pkl"):
        Taichi().rows(tmp_path, "train")
    names = np.array(["0.png", "1.png"])
    write_old_frame(tmp_path / "landmark" / "taichi_test_gt.pkl", {"file_name": names})
    with pytest.raises(DataError, match="no column value; it has: file_name"):
        Taichi().rows(tmp_path, "test")


def test_images_of_another_resolution_are_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "landmark", tmp_path / "landmark")
    folder = tmp_path / "eval_images/taichi-256/test"
    folder.mkdir(parents=True)
    Image.new("RGB", (512, 512)).save(folder / "00000.png")
    rows = Taichi().rows(tmp_path, "test")
    with pytest.raises(DataError, match=r"512 x 512 .* 256 x 256"):
        read_sample(tmp_path, Taichi(), rows, 0, 64)
    with pytest.raises(DataError, match=r"00001\.png"):
        read_sample(tmp_path, Taichi(), rows, 1, 64)
