"""CUB's sources against what the trees' writers drew, computed without the loaders."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpbench.data.sample import Sample, read_sample
from kpbench.data.source import Source
from kpbench.errors import DataError, UnknownNameError
from kpbench.registry import load_protocol
from kpbench.testing import check_protocol
from kpbench_protocols.cub.reader import PARTS, Cub, clipped_square, padded_square
from kpbench_protocols.cub_aligned.reader import CubAligned
from tests.protocols.trees import cub, cub_aligned
from tests.protocols.trees.cub import Bird

BIRDS = cub.birds()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cub")
    cub.write(root)
    return root


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cub_aligned")
    cub_aligned.write(root)
    return root


@pytest.fixture
def aligned_copy(aligned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(aligned, tmp_path / "cub_aligned"))


def drawn(*parts: str, classes: str = "123") -> list[Bird]:
    """Birds of these parts and classes, class 4 included if asked for."""
    return [bird for bird in BIRDS if bird.part in parts and bird.path[2] in classes]


def paths(source: Source, root: Path, split: str) -> list[str]:
    rows = source.rows(root, source.parts[split])
    return [str(file).removeprefix("CUB_200_2011/images/") for file in rows.files]


def samples(source: Source, root: Path, split: str = "test", pixels: int = 128) -> list[Sample]:
    rows = source.rows(root, source.parts[split])
    return [read_sample(root, source, rows, i, pixels) for i in range(len(rows))]


def matched(source: Source, root: Path, split: str = "test") -> list[tuple[Sample, Bird]]:
    """Samples beside the birds that were drawn, by file name."""
    by_path = {bird.path: bird for bird in BIRDS}
    found = [by_path[path] for path in paths(source, root, split)]
    return list(zip(samples(source, root, split), found, strict=True))


def dark_eye(sample: Sample) -> bool:
    """Whether the eye that is seen is on black."""
    assert sample.landmarks is not None and sample.visible is not None
    eye = 6 if sample.visible[6] else 10
    column, line = (sample.landmarks[eye] * 128).astype(int).clip(0, 127)
    return bool(sample.image[line, column].max() < 80)


# --- parts and boxes -------------------------------------------------------------------------


def test_parts_are_x_and_y_from_0_and_boxes_hold_the_last_pixel(tree: Path) -> None:
    rows = Cub().rows(tree, "train")
    wanted = drawn("train", classes="1234")
    assert [str(f) for f in rows.files] == [f"CUB_200_2011/images/{b.path}" for b in wanted]
    assert rows.landmarks is not None and rows.visible is not None and rows.boxes is not None
    for i, bird in enumerate(wanted):
        np.testing.assert_array_equal(rows.visible[i], bird.seen)
        np.testing.assert_array_equal(rows.landmarks[i][bird.seen], bird.points[bird.seen])
        np.testing.assert_array_equal(rows.boxes[i], bird.box)
    assert rows.landmarks.dtype == np.float64


def test_left_and_right_parts_are_seen_from_their_side(tree: Path) -> None:
    """Catches a list of parts in another order, and swapped axes."""
    rows = Cub().rows(tree, "train")
    assert rows.landmarks is not None and rows.visible is not None
    at = {name: rows.landmarks[:, i] for i, name in enumerate(PARTS)}
    to_left = at["beak"][:, 0] < at["tail"][:, 0]
    assert 0.3 < to_left.mean() < 0.7
    for name in ("eye", "wing"):
        assert (rows.visible[:, PARTS.index(f"left_{name}")] == to_left).all()
        assert (rows.visible[:, PARTS.index(f"right_{name}")] == ~to_left).all()
    for upper, lower in Cub.upright:
        assert (rows.landmarks[:, upper, 1] < rows.landmarks[:, lower, 1]).mean() > 0.9


# --- crops -----------------------------------------------------------------------------------


def by_hand(box: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Left, top and side of CMR's square, from the first and last pixel of the box."""
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    width, height = right - left + 1, bottom - top + 1
    left, right = round(left - 0.05 * width), round(right + 0.05 * width)
    top, bottom = round(top - 0.05 * height), round(bottom + 0.05 * height)
    width, height = right - left + 1, bottom - top + 1
    side = max(width, height)
    return left - round((side - width) / 2), top - round((side - height) / 2), side


def test_padded_square(tree: Path) -> None:
    outside = 0
    for sample, bird in matched(Cub(), tree):
        assert sample.landmarks is not None and sample.visible is not None
        left, top, side = by_hand(bird.box)
        wanted = (bird.points - (left, top)) / side
        np.testing.assert_allclose(sample.landmarks[bird.seen], wanted[bird.seen], atol=1e-12)
        assert (sample.landmarks[~bird.seen] == 0).all()
        assert sample.aspect == 1
        assert dark_eye(sample)
        below = top + side - bird.size[1]
        outside += below > 2
        if below <= 0 or below > 2:  # a line in between mixes both
            assert (sample.image[-1].max() < 5) == (below > 2), "black outside of the image only"
    assert outside, "no bird of the tree is near the border"


@given(
    st.tuples(
        st.integers(-20, 300), st.integers(-20, 300), st.integers(1, 400), st.integers(1, 400)
    )
)
def test_padded_square_property(values: tuple[int, int, int, int]) -> None:
    left, top, width, height = values
    box = np.array([left, top, left + width, top + height], float)
    region = padded_square(box)
    assert region[2] - region[0] == region[3] - region[1]
    assert (region[0], region[1], region[2] - region[0]) == by_hand(tuple(box.astype(int)))
    pad = 0.05 * np.array([width, height])
    assert (np.array(region[:2]) <= box[:2] - pad + 1).all()
    assert (np.array(region[2:]) >= box[2:] + pad - 1).all()


def test_clipped_square_is_squeezed_where_it_was_clipped(tree: Path) -> None:
    squeezed = 0
    for sample, bird in matched(Cub(crop="clipped_square"), tree):
        left, top, right, bottom = bird.box
        half = max(right - left, bottom - top) / 2
        x0, x1 = max(0, (left + right) / 2 - half), min(bird.size[0], (left + right) / 2 + half)
        y0, y1 = max(0, (top + bottom) / 2 - half), min(bird.size[1], (top + bottom) / 2 + half)
        wanted = (bird.points - (x0, y0)) / (x1 - x0, y1 - y0)
        assert sample.landmarks is not None
        np.testing.assert_allclose(sample.landmarks[bird.seen], wanted[bird.seen], atol=1e-12)
        assert sample.aspect == pytest.approx((x1 - x0) / (y1 - y0))
        assert dark_eye(sample)
        squeezed += abs(sample.aspect - 1) > 0.01
    assert squeezed


@given(
    st.tuples(st.integers(0, 80), st.integers(0, 50), st.integers(1, 90), st.integers(1, 60)),
)
def test_clipped_square_property(values: tuple[int, int, int, int]) -> None:
    left, top, width, height = values
    size = left + width + 7, top + height + 3
    box = np.array([left, top, left + width, top + height], float)
    x0, y0, x1, y1 = clipped_square(box, size)
    assert 0 <= x0 <= left and 0 <= y0 <= top
    assert left + width <= x1 <= size[0] and top + height <= y1 <= size[1]


def test_the_whole_image_with_the_box_of_the_bird(tree: Path) -> None:
    for sample, bird in matched(Cub(crop="whole"), tree):
        assert sample.landmarks is not None and sample.box is not None
        np.testing.assert_allclose(
            sample.landmarks[bird.seen], (bird.points / bird.size)[bird.seen]
        )
        left, top, right, bottom = np.array(bird.box) / (*bird.size, *bird.size)
        np.testing.assert_allclose(sample.box, [left, top, right - left, bottom - top])
        assert sample.aspect == pytest.approx(bird.size[0] / bird.size[1])
        assert dark_eye(sample)


# --- classes and splits ----------------------------------------------------------------------


@pytest.mark.parametrize("number", "123")
def test_one_class_learns_from_its_own_images_or_from_three(tree: Path, number: str) -> None:
    own, three = Cub(classes=f"00{number}"), Cub(classes=f"00{number}_of_three")
    for source, classes in ((own, number), (three, "123")):
        for split in ("discovery", "regression"):
            wanted = [bird.path for bird in drawn("train", classes=classes)]
            assert paths(source, tree, split) == wanted
        wanted = [bird.path for bird in drawn("test", "both", classes=number)]
        assert paths(source, tree, "test") == wanted


def test_the_image_in_both_halves_is_a_test_image_and_counts_once(tree: Path) -> None:
    shared = drawn("both")
    assert len(shared) == 1
    validation = paths(Cub(split="validation"), tree, "test")
    official = paths(Cub(split="official"), tree, "test")
    test = paths(Cub(), tree, "test")
    assert shared[0].path in test and shared[0].path not in validation
    assert len(official) == len({*official}) == len(validation) + len(test)
    assert {*official} == {bird.path for bird in drawn("val", "test", "both", classes="1234")}
    assert not {*official} & {*paths(Cub(), tree, "regression")}


def test_published_numbers() -> None:
    found = {
        name: [load_protocol(name).sizes("paper")[key] for key in ("regression", "test")]
        for name in ("cub_all", "cub_001", "cub_002", "cub_003", "cub_aligned")
    }
    assert found == {
        "cub_all": [5_964, 2_874],
        "cub_001": [30, 30],
        "cub_002": [30, 30],
        "cub_003": [30, 28],
        "cub_aligned": [4_735, 4_630],
    }
    k = [load_protocol(name).n_keypoints for name in found]
    assert k == [4, 4, 4, 4, 10]  # StableKeypoints, table 2


# --- broken files ----------------------------------------------------------------------------


def test_a_class_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    cub.write_mat(tmp_path, "train", drawn("train", classes="2"))
    with pytest.raises(DataError, match="no bird of class 001"):
        Cub(classes="001").rows(tmp_path, "train")
    assert len(Cub(classes="002").rows(tmp_path, "train")) == 72


def test_one_bird_alone_is_read(tmp_path: Path) -> None:
    """A structure array of one is a structure, for MATLAB's readers."""
    cub.write_mat(tmp_path, "train", drawn("train")[:1])
    assert len(Cub().rows(tmp_path, "train")) == 1


def test_a_missing_or_damaged_mat_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_cub_cleaned\.mat"):
        Cub().rows(tmp_path, "train")
    cub.write_mat(tmp_path, "train", drawn("train")[:3])
    path = tmp_path / "CUB_200_2011/cachedir/cub/data/train_cub_cleaned.mat"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"train_cub_cleaned\.mat"):
        Cub().rows(tmp_path, "train")


@pytest.mark.parametrize(
    "bird",
    [
        replace(BIRDS[0], path="Black_Footed_Albatross.jpg"),
        replace(BIRDS[0], points=BIRDS[0].points[:14], seen=BIRDS[0].seen[:14]),
        replace(BIRDS[0], box=(50, 10, 20, 40)),
    ],
    ids=["no class in the path", "14 parts", "empty box"],
)
def test_an_entry_that_is_not_as_in_cmr_is_named(tmp_path: Path, bird: Bird) -> None:
    cub.write_mat(tmp_path, "train", [BIRDS[1], bird])
    with pytest.raises(DataError, match=r"train_cub_cleaned\.mat: entry 2"):
        Cub().rows(tmp_path, "train")


def test_unknown_arguments_suggest_the_known() -> None:
    with pytest.raises(UnknownNameError, match="001_of_three"):
        Cub(classes="001_of_thre")
    with pytest.raises(UnknownNameError, match="padded_square"):
        Cub(crop="paded_square")


# --- aligned ---------------------------------------------------------------------------------


def test_aligned_parts_are_shares_of_the_image(aligned: Path) -> None:
    wanted = cub_aligned.birds(12, "test")
    found = samples(CubAligned(), aligned)
    assert paths(CubAligned(), aligned, "test") == [bird.fname for bird in wanted]
    for sample, bird in zip(found, wanted, strict=True):
        assert sample.landmarks is not None and sample.visible is not None
        np.testing.assert_array_equal(sample.visible, bird.seen)
        np.testing.assert_allclose(sample.landmarks[bird.seen], bird.points[bird.seen] / 300)
        assert (sample.landmarks[~bird.seen] == 0).all(), "(0.5, 0.5) marks what is not seen"
        assert sample.aspect == 1 and dark_eye(sample)


def test_aligned_images_of_another_size_are_read_as_well(aligned_copy: Path) -> None:
    from PIL import Image

    before = samples(CubAligned(), aligned_copy)[0]
    path = aligned_copy / cub_aligned.birds(12, "test")[0].fname
    Image.open(path).resize((450, 450)).save(path)
    after = samples(CubAligned(), aligned_copy)[0]
    assert before.landmarks is not None and after.landmarks is not None
    np.testing.assert_allclose(before.landmarks, after.landmarks)


def test_every_tenth_training_bird_is_for_validation(aligned: Path) -> None:
    everything = [bird.fname for bird in cub_aligned.birds(72, "train")]
    source = CubAligned(split="validation")
    validation = paths(source, aligned, "test")
    assert validation == everything[9::10]
    assert paths(source, aligned, "regression") == [f for f in everything if f not in validation]
    assert paths(CubAligned(), aligned, "regression") == everything


def test_a_list_and_an_array_that_do_not_belong_together(aligned_copy: Path) -> None:
    shutil.copy(aligned_copy / "test_kp.npy", aligned_copy / "train_kp.npy")
    with pytest.raises(DataError, match=r"train_kp\.npy: has shape \(12, 15, 3\), .* 72 images"):
        CubAligned().rows(aligned_copy, "train")


def test_an_array_of_objects_runs_nothing(aligned_copy: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            import os

            return os.mkdir, (str(tmp_path / "ran"),)

    path = aligned_copy / "test_kp.npy"
    np.save(path, np.array([Hostile()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"test_kp\.npy"):
        CubAligned().rows(aligned_copy, "test")
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(DataError, match=r"test_kp\.npy"):
        CubAligned().rows(aligned_copy, "test")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"no array"])
def test_a_damaged_array_is_named(aligned_copy: Path, content: bytes) -> None:
    (aligned_copy / "test_kp.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"test_kp\.npy"):
        CubAligned().rows(aligned_copy, "test")
    (aligned_copy / "test_kp.npy").unlink()
    with pytest.raises(DataError, match=r"test_kp\.npy"):
        CubAligned().rows(aligned_copy, "test")


# --- protocols -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cub_001", "cub_002", "cub_003", "cub_all", "cub_aligned"])
def test_the_protocol_keeps_its_contract(
    name: str, tree: Path, aligned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KPBENCH_DATA_CUB", str(tree))
    monkeypatch.setenv("KPBENCH_DATA_CUB_ALIGNED", str(aligned))
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path))
    check_protocol(load_protocol(name))
