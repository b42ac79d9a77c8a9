"""Human3.6M, cropped and as whole frames, against what lies on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy.io import loadmat, savemat

from kpbench.api import Array
from kpbench.data.sample import Sample, read_sample
from kpbench.data.source import Box, Rows, Source
from kpbench.errors import DataError, UnknownNameError
from kpbench.scoring.flips import mirrored_pairs
from kpbench_protocols.human36m.evaluators import PAIRS as HUMAN36M_PAIRS
from kpbench_protocols.human36m.reader import ACTIVITIES, JOINTS, Human36m, activity_of
from kpbench_protocols.human36m_raw.reader import Human36mUnaligned, jitter_of
from tests.protocols.trees import TREES
from tests.protocols.trees.human36m import human36m_joints
from tests.protocols.trees.people import people

h5py: Any = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("human36m")
    TREES["human36m"](folder, n_train=24, n_test=10)
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("human36m_raw")
    TREES["human36m_raw"](folder, n_train=24, n_test=10)
    return folder


def samples(root: Path, source: Source, part: str, pixels: int = 128) -> Iterator[Sample]:
    rows = source.rows(root, part)
    for i in range(len(rows)):
        yield read_sample(root, source, rows, i, pixels)


def column(values: Array | None) -> list[str]:
    assert values is not None
    return [str(value) for value in values]


def test_the_parts_are_the_published_subjects(root: Path) -> None:
    assert Human36m().parts == {"discovery": "train", "regression": "train", "test": "test"}
    wanted = {
        "train": ["S1", "S5", "S6", "S7", "S8", "S9"],
        "test": ["S11"],
        "train_fold": ["S1", "S5", "S6", "S7", "S8"],
        "validation": ["S9"],
        "bkind": ["S9", "S11"],
    }
    for part, subjects in wanted.items():
        rows = Human36m().rows(root, part)
        assert list(dict.fromkeys(column(rows.groups))) == subjects
        assert [file.partition("/")[0] for file in column(rows.files)] == column(rows.groups)
    for split in ("validation", "bkind"):
        parts = Human36m(split=split).parts
        assert parts == {"discovery": "train_fold", "regression": "train_fold", "test": split}


def test_rows_are_all_frames_of_the_six_activities(root: Path) -> None:
    train, test = Human36m().rows(root, "train"), Human36m().rows(root, "test")
    assert (len(train), len(test)) == (24, 10)
    assert set(column(test.activities)) == set(column(train.activities)) == set(ACTIVITIES)
    for file, activity in zip(column(train.files), column(train.activities), strict=True):
        assert file.split("/")[2].startswith(activity)
    on_disk = {str(p.relative_to(root)) for p in root.glob("S11/WithBackground/*/*.jpg")}
    assert set(column(test.files)) == on_disk
    for name, folder, suffix in (("masks", "BackgroudMask", "png"), ("labels", "Landmarks", "mat")):
        others = column(getattr(train, name))
        assert all((root / other).is_file() for other in others)
        renamed = [o.replace(folder, "WithBackground").replace(suffix, "jpg") for o in others]
        assert renamed == column(train.files)


def test_frames_are_in_the_order_of_their_numbers(root: Path) -> None:
    files = column(Human36m().rows(root, "test").files)
    folders = [file.rpartition("/")[0] for file in files]
    assert folders == sorted(folders)
    numbers = [int(Path(file).stem) for file in files]
    assert numbers[:2] == [9, 10] and folders[0] == folders[1]


def test_rows_do_not_depend_on_the_order_of_the_file_system(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Human36m().rows(root, "train")
    scandir = os.scandir

    class Reversed:
        def __init__(self, path: Path) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Reversed)
    found = Human36m().rows(root, "train")
    assert column(found.files) == column(wanted.files)
    assert column(found.labels) == column(wanted.labels)


def test_listing_asks_the_file_system_nothing_about_single_files(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    stat = os.stat

    def counting(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        asked.append(str(path))
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", counting)
    assert len(Human36m().rows(root, "train")) == 24
    assert not [path for path in asked if Path(path).suffix in (".jpg", ".png", ".mat")]
    assert len(asked) < 24


def test_joints_are_the_columns_and_rows_of_the_annotation(root: Path) -> None:
    source = Human36m()
    rows = source.rows(root, "train")
    for i, sample in enumerate(samples(root, source, "train")):
        stored = loadmat(root / column(rows.labels)[i])["keypoints_2d"]
        assert sample.landmarks is not None and sample.visible is not None
        np.testing.assert_allclose(sample.landmarks[:, 0], stored[:, 1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(sample.landmarks[:, 1], stored[:, 0], rtol=0, atol=1e-12)
        assert sample.visible.all() and sample.aspect == 1
    train, _, _ = people(24, 10, seed=0)
    shown = {joints.tobytes() for joints in np.round(human36m_joints(train), 5)}
    found = [s.landmarks for s in samples(root, source, "train") if s.landmarks is not None]
    assert {np.round(points.astype(np.float32), 5).tobytes() for points in found} == shown


def test_joints_in_pixels_of_an_image_of_any_size(root: Path) -> None:
    source = Human36m()
    rows = source.rows(root, "test")
    stored = loadmat(root / column(rows.labels)[3])["keypoints_2d"]
    points, _ = source.labels(root, rows, 3, (200, 100))
    np.testing.assert_allclose(points, stored[:, ::-1] * [200, 100])


def test_joints_lie_on_the_person(root: Path) -> None:
    on, swapped = [], []
    for sample in samples(root, Human36m(), "train"):
        assert sample.landmarks is not None and sample.mask is not None
        x, y = np.clip((sample.landmarks * 128).astype(int), 0, 127).T
        on.append(sample.mask[y, x].mean())
        swapped.append(sample.mask[x, y].mean())
    assert np.mean(on) > 0.8 > 0.6 > np.mean(swapped)


def test_the_names_of_the_joints_and_their_sides() -> None:
    assert len(JOINTS) == len(set(JOINTS)) == 32
    assert set(mirrored_pairs(JOINTS)) == set(HUMAN36M_PAIRS)
    assert [JOINTS[i] for i in (0, 1, 6, 11, 17, 21, 29)] == [
        *("hip", "r_hip", "l_hip", "pelvis", "l_shoulder", "l_thumb", "r_thumb")
    ]


@pytest.mark.parametrize(
    ("background", "wanted"), [("image", None), ("gray", 128), ("black", 0), ("black_unscaled", 0)]
)
def test_backgrounds_pixel_by_pixel(root: Path, background: str, wanted: int | None) -> None:
    source = Human36m(background=background)
    rows = source.rows(root, "train")
    for i in (0, 5):  # masks of 8 bits, and of one
        sample = read_sample(root, source, rows, i, 128)
        file = root / column(rows.files)[i]
        assert Image.open(root / column(rows.masks)[i]).mode == "L1"[i // 5]
        image = np.asarray(Image.open(file))
        mask = np.asarray(Image.open(root / column(rows.masks)[i])).astype(int) > 0
        assert sample.mask is not None and (sample.mask == mask).all() and mask.any()
        for y, x in np.ndindex(128, 128):
            if background == "image":
                expected = image[y, x]
            elif not mask[y, x]:
                expected = np.full(3, wanted)
            else:
                expected = image[y, x]
                if background == "black_unscaled":  # p / 255 x 255 in [0, 1], cut off at 1
                    expected = np.where(image[y, x] / 255 * 255 >= 1, 255, 0)
            if not (sample.image[y, x] == expected).all():
                pytest.fail(f"{file} at {x}, {y}: {sample.image[y, x]}, not {expected}")


def test_an_unscaled_mask_saturates_all_but_black() -> None:
    image = np.array([[[0, 1, 2], [254, 255, 0]]], np.uint8)
    source = Human36m(background="black_unscaled")
    found = source.finish(image, np.array([[True, True]]))
    assert found.tolist() == [[[0, 255, 255], [255, 255, 0]]] and found.dtype == np.uint8
    assert (source.finish(image, np.array([[False, False]])) == 0).all()


def test_masks_and_images_shrink_together(root: Path) -> None:
    for sample in samples(root, Human36m(background="black"), "test", pixels=32):
        assert sample.mask is not None and sample.image.shape == (32, 32, 3)
        assert (sample.image[~sample.mask] == 0).all()
        assert (sample.image[sample.mask].max(-1) > 0).mean() > 0.9


def test_the_correct_spelling_of_the_masks_folder_is_read_too(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "S11", tmp_path / "S11")
    (tmp_path / "S11/BackgroudMask").rename(tmp_path / "S11/BackgroundMask")
    rows = Human36m().rows(tmp_path, "test")
    assert all("/BackgroundMask/" in name for name in column(rows.masks))
    read_sample(tmp_path, Human36m(), rows, 0, 32)


def test_prefix_takes_the_dog_for_walking(root: Path) -> None:
    six, prefix = Human36m().rows(root, "train"), Human36m(activities="prefix").rows(root, "train")
    extra = set(column(prefix.files)) - set(column(six.files))
    assert len(extra) == 1 and "WalkingDog" in extra.pop()
    assert activity_of("walkingTogether 2.55011271", "prefix") == "Walking"
    assert activity_of("WALKING", "six") == "Walking"
    assert activity_of("Eating 2.54138969", "prefix") is None
    assert activity_of("", "prefix") is None


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(UnknownNameError, match=r"value of background.*did you mean gray"):
        Human36m(background="grey")
    with pytest.raises(UnknownNameError, match="argument"):
        Human36m().configured({"backgrund": "gray"})
    with pytest.raises(UnknownNameError, match="value of jitter"):
        Human36mUnaligned(jitter="random")


def break_labels(path: Path, value: dict[str, Any] | bytes) -> None:
    path.write_bytes(value) if isinstance(value, bytes) else savemat(path, value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"keypoints_2d": np.zeros((17, 2))}, "32"),
        ({"keypoints_2d": np.zeros((2, 32))}, "32"),
        ({"keypoints_2d": "here"}, "32"),
        ({"keypoints": np.zeros((32, 2))}, "no variable 'keypoints_2d'"),
        ({"keypoints_2d": np.full((32, 2), np.nan)}, "NaN"),
        (b"MATLAB", "not a MAT-file"),
    ],
)
def test_unusable_labels_are_named(
    root: Path, tmp_path: Path, value: dict[str, Any] | bytes, words: str
) -> None:
    shutil.copytree(root / "S11", tmp_path / "S11")
    rows = Human36m().rows(tmp_path, "test")
    break_labels(tmp_path / column(rows.labels)[0], value)
    name = Path(column(rows.files)[0]).parts[2]
    with pytest.raises(DataError, match=words) as caught:
        read_sample(tmp_path, Human36m(), rows, 0, 32)
    assert name in str(caught.value)


def test_missing_files_are_listed_and_then_named(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "S11", tmp_path / "S11")
    rows = Human36m().rows(tmp_path, "test")
    (tmp_path / column(rows.masks)[0]).unlink()
    again = Human36m().rows(tmp_path, "test")
    assert column(again.masks) == column(rows.masks)
    with pytest.raises(DataError, match="BackgroudMask"):
        read_sample(tmp_path, Human36m(), again, 0, 32)
    (tmp_path / column(rows.labels)[1]).unlink()
    with pytest.raises(DataError, match="Landmarks"):
        read_sample(tmp_path, Human36m(), again, 1, 32)


def test_a_folder_of_other_things_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="S11/WithBackground"):
        Human36m().rows(tmp_path, "test")
    folder = tmp_path / "S11/WithBackground/Posing.58860488"
    folder.mkdir(parents=True)
    (folder / "._9.jpg").touch()
    (folder / "Thumbs.db").touch()
    assert len(Human36m().rows(tmp_path, "test")) == 0
    (folder / "img_9.jpg").touch()
    with pytest.raises(DataError, match=r"img_9\.jpg.*number"):
        Human36m().rows(tmp_path, "test")


# --- whole frames ---------------------------------------------------------------------------------


def annotation(root: Path, file: str) -> Array:
    """Return the joints (32, 2) in pixels of a frame, found as the paper's loader does."""
    subject, folder, _, camera, frame = Path(file).parts
    with h5py.File(root / subject / folder / "annot.h5") as h5:
        rows = (h5["camera"][()] == int(camera)) & (h5["frame"][()] == int(Path(frame).stem[4:]))
        assert rows.sum() == 1
        return np.asarray(h5["pose/2d"][()][rows][0])


def test_whole_frames_have_the_joints_of_their_camera_and_number(raw: Path) -> None:
    rows = Human36mUnaligned().rows(raw, "train")
    on_disk = {str(p.relative_to(raw)) for p in raw.glob("S*/*/imageSequence/*/*.jpg")}
    listed = set(column(rows.files)) | set(column(Human36mUnaligned().rows(raw, "test").files))
    assert on_disk - listed == {f for f in on_disk if "Dog" in f or "Together" in f}
    assert listed <= on_disk and len(listed) == 34
    assert rows.landmarks is not None and rows.landmarks.shape == (24, 32, 2)
    for file, found in zip(column(rows.files), rows.landmarks, strict=True):
        np.testing.assert_array_equal(found, annotation(raw, file))
    prefix = Human36mUnaligned(activities="prefix").rows(raw, "train")
    assert len(prefix) == 26 and column(prefix.activities).count("Walking") == 6


def test_the_parts_of_whole_frames_are_those_of_the_crops(raw: Path, root: Path) -> None:
    assert Human36mUnaligned().parts == Human36m().parts
    assert Human36mUnaligned(split="validation").parts == Human36m(split="validation").parts
    for part in ("train", "test", "train_fold", "validation"):
        groups = column(Human36mUnaligned().rows(raw, part).groups)
        assert set(groups) == set(column(Human36m().rows(root, part).groups))


def region(source: Human36mUnaligned, points: Array, size: tuple[int, int], file: str) -> Box:
    found: Box = source.region(Rows(files=np.array([file])), 0, size, points)
    return found


CENTRAL = np.array([[400.0, 300.0], [500.0, 640.0]])


def test_the_crop_has_a_margin_of_100_pixels() -> None:
    found = region(Human36mUnaligned(jitter="none"), CENTRAL, (1000, 1002), "a")
    assert found == (450 - 270, 200.0, 450 + 270, 740.0)


def test_the_crop_is_shifted_by_the_jitter() -> None:
    dx, dy = jitter_of("a")
    assert (dx, dy) != (0, 0)
    found = region(Human36mUnaligned(), CENTRAL, (1000, 1002), "a")
    assert found == (180 + dx, 200 + dy, 720 + dx, 740 + dy)


def test_jitter_is_uniform_and_belongs_to_the_frame() -> None:
    draws = np.array([jitter_of(f"S1/Walking-1/imageSequence/54138969/{i}") for i in range(4000)])
    assert draws.min() == -100 and draws.max() == 99
    np.testing.assert_allclose(draws.mean(0), -0.5, atol=4)
    np.testing.assert_allclose(draws.std(0), 200 / np.sqrt(12), atol=2)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.06
    again = np.array([jitter_of(f"S1/Walking-1/imageSequence/54138969/{i}") for i in range(50)])
    assert (again == draws[:50]).all()
    digest = hashlib.sha256(b"S9/Posing-1/imageSequence/54138969/img_000001.jpg").digest()
    drawn = [int.from_bytes(digest[at : at + 8], "little") % 200 - 100 for at in (0, 8)]
    found = jitter_of("S9/Posing-1/imageSequence/54138969/img_000001.jpg").tolist()
    assert found == drawn == [-88, -36]


@settings(max_examples=200, deadline=None)
@given(
    points=hnp.arrays(np.float64, (5, 2), elements=st.floats(0, 1000)),
    name=st.text(min_size=1, max_size=8),
)
def test_a_square_crop_lies_in_the_frame_and_shows_all_joints(points: Array, name: str) -> None:
    left, top, right, bottom = region(Human36mUnaligned(), points, (1000, 1002), name)
    assert left >= -1e-9 and top >= -1e-9 and right <= 1000 + 1e-9 and bottom <= 1002 + 1e-9
    assert abs((right - left) - (bottom - top)) < 1e-9
    extent = (points.max(0) - points.min(0)).max()
    assert right - left == pytest.approx(min(extent + 200, 1000))
    assert (points >= [left - 1e-6, top - 1e-6]).all()
    assert (points <= [right + 1e-6, bottom + 1e-6]).all()


def published_crop(points: Array, size: tuple[int, int], shift: Array) -> Box:
    """Return the paper's crop, coordinate by coordinate, without truncation to whole pixels."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    side = max(x1 - x0, y1 - y0)
    margin_x, margin_y = min(100, size[0] - side), min(100, size[1] - side)
    left = max(0, x0 - (side - (x1 - x0)) / 2 - margin_x + shift[0])
    top = max(0, y0 - (side - (y1 - y0)) / 2 - margin_y + shift[1])
    right = min(size[0], left + side + 2 * margin_x)
    return (left, top, right, min(size[1], top + side + 2 * margin_y))


def test_the_published_crop_squashes_at_two_edges() -> None:
    source = Human36mUnaligned(crop="clipped")
    for x, y in ((20, 30), (450, 400), (880, 30), (20, 700), (880, 700)):
        points = np.array([[x, y], [x + 100, y + 290.0]])
        found = region(source, points, (1000, 1002), "frame")
        assert found == pytest.approx(published_crop(points, (1000, 1002), jitter_of("frame")))
        width, height = found[2] - found[0], found[3] - found[1]
        assert (width < 489) == (x == 880) and (height < 489) == (y == 700)
    near = np.array([[880.0, 300.0], [980.0, 590.0]])
    square = region(Human36mUnaligned(), near, (1000, 1002), "frame")
    assert square[2] - square[0] == square[3] - square[1] == 490


def test_joints_follow_their_crop(raw: Path) -> None:
    for source in (Human36mUnaligned(), Human36mUnaligned(crop="clipped", jitter="none")):
        rows = source.rows(raw, "test")
        for i in range(len(rows)):
            sample = read_sample(raw, source, rows, i, 64)
            file = column(rows.files)[i]
            joints = annotation(raw, file).astype(np.float64)
            size = Image.open(raw / file).size
            left, top, right, bottom = source.region(rows, i, size, joints)
            assert sample.landmarks is not None
            np.testing.assert_allclose(
                sample.landmarks, (joints - [left, top]) / [right - left, bottom - top]
            )
            assert sample.aspect == pytest.approx((right - left) / (bottom - top))
            assert sample.landmarks.min() >= 0 and sample.landmarks.max() <= 1


def write_spot(root: Path, at: Array) -> None:
    """Write one black frame with a white square of 9 pixels, and joints 0 and 1 around it."""
    pixels = np.zeros((1002, 1000, 3), np.uint8)
    x, y = at
    pixels[y - 4 : y + 5, x - 4 : x + 5] = 255
    path = root / "S11/Posing-1/imageSequence/54138969/img_000001.jpg"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path, quality=95)
    joints = np.full((1, 32, 2), at + 0.5, np.float32)  # the middle of the pixel
    joints[0, 1] += [60, 250]
    joints[0, 2] -= [30, 20]
    with h5py.File(root / "S11/Posing-1/annot.h5", "w") as h5:
        h5["pose/2d"] = joints
        h5["camera"], h5["frame"] = np.array([54138969]), np.array([1])


@pytest.mark.parametrize("at", [(500, 400), (60, 80), (920, 700)])
@pytest.mark.parametrize("crop", ["square", "clipped"])
def test_a_spot_is_seen_where_its_label_says(
    tmp_path: Path, at: tuple[int, int], crop: str
) -> None:
    write_spot(tmp_path, np.array(at))
    source = Human36mUnaligned(crop=crop)
    sample = read_sample(tmp_path, source, source.rows(tmp_path, "test"), 0, 128)
    light = sample.image.astype(float).mean(-1)
    light[light < 20] = 0
    centre = np.array([light.sum(0), light.sum(1)]) @ (np.arange(128) + 0.5) / light.sum()
    assert sample.landmarks is not None
    np.testing.assert_allclose(centre, sample.landmarks[0] * 128, atol=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pose/2d": np.zeros((2, 17, 2))}, "should be"),
        ({"frame": np.array([1])}, "should be"),
        ({"camera": np.array([5.4, 5.5])}, "should be"),
        ({"frame": np.array([1, 1]), "camera": np.array([5, 5])}, "twice"),
        ({"pose/2d": None}, "no data set 'pose/2d'"),
    ],
)
def test_unusable_annotation_of_whole_frames(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    content = {
        "pose/2d": np.zeros((2, 32, 2)),
        "frame": np.array([1, 2]),
        "camera": np.array([54138969, 54138969]),
        **change,
    }
    path = tmp_path / "S11/Walking-1/annot.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as h5:
        for name, value in content.items():
            if value is not None:
                h5[name] = value
    with pytest.raises(DataError, match=words) as caught:
        Human36mUnaligned().rows(tmp_path, "test")
    assert str(path) in str(caught.value)


def test_frames_are_by_camera_and_number_however_annotated(tmp_path: Path) -> None:
    path = tmp_path / "S11/Walking-1/annot.h5"
    path.parent.mkdir(parents=True)
    cameras, frames = np.array([60457274, 54138969, 54138969]), np.array([1, 65, 2])
    poses = np.arange(3.0)[:, None, None] + np.zeros((3, 32, 2))
    with h5py.File(path, "w") as h5:
        h5["pose/2d"], h5["camera"], h5["frame"] = poses, cameras, frames
    rows = Human36mUnaligned().rows(tmp_path, "test")
    assert [file.removeprefix("S11/Walking-1/imageSequence/") for file in column(rows.files)] == [
        *("54138969/img_000002.jpg", "54138969/img_000065.jpg", "60457274/img_000001.jpg")
    ]
    assert rows.landmarks is not None and rows.landmarks[:, 5, 1].tolist() == [2, 1, 0]


def test_folders_without_frames_are_named(tmp_path: Path) -> None:
    (tmp_path / "S11/Eating-1").mkdir(parents=True)
    with pytest.raises(DataError, match="no folders of the six activities"):
        Human36mUnaligned().rows(tmp_path, "test")
    (tmp_path / "S11/Walking-1").mkdir()
    with pytest.raises(DataError, match=r"annot\.h5"):
        Human36mUnaligned().rows(tmp_path, "test")


@pytest.mark.parametrize("mode, high", [("1", 1), ("L", 1), ("L", 255)])
def test_a_mask_of_any_kind_is_the_same_mask(tmp_path: Path, mode: str, high: int) -> None:
    shape = np.zeros((16, 16), np.uint8)
    shape[4:9, 2:7] = 1
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "image.png")
    values = Image.fromarray(shape * (255 if mode == "1" else high)).convert(mode)
    values.save(tmp_path / "mask.png")
    rows = Rows(np.array(["image.png"]), masks=np.array(["mask.png"]))
    found = read_sample(tmp_path, Human36m(background="black"), rows, 0, 16)
    assert found.mask is not None
    assert (found.mask == (shape == 1)).all()
    assert (found.image == np.where(shape == 1, 90, 0)[..., None]).all()
