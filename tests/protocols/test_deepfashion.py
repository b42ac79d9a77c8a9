"""DeepFashion against what lies on disk."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kpbench.api import Array
from kpbench.data.holdout import held_out
from kpbench.data.sample import read_sample
from kpbench.errors import DataError, UnknownNameError
from kpbench.people.body.skeleton import COCO_17
from kpbench_protocols.deepfashion.reader import JOINTS, DeepFashion, item_of
from tests.protocols.trees import TREES
from tests.protocols.trees.people import people


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deepfashion")
    TREES["deepfashion"](folder, n_train=24, n_test=10)
    return folder


def column(values: Array | None) -> list[str]:
    assert values is not None
    return [str(value) for value in values]


def listed(root: Path, part: str) -> tuple[list[str], list[dict[str, Any]]]:
    with (root / f"data_{part}.csv").open(newline="") as file:
        names = [line["filename"] for line in csv.DictReader(file)]
    return names, json.loads((root / f"data_{part}.json").read_text())


@pytest.mark.parametrize(("part", "count"), [("train", 24), ("test", 10)])
def test_rows_are_those_of_the_lists_in_their_order(root: Path, part: str, count: int) -> None:
    rows = DeepFashion().rows(root, part)
    names, entries = listed(root, part)
    assert column(rows.files) == [f"img/{name}" for name in names] and len(rows) == count
    assert names != sorted(names)
    assert column(rows.groups) == [f"id_{entry['person_id']:08d}" for entry in entries]
    assert rows.landmarks is not None
    np.testing.assert_array_equal(rows.landmarks, [entry["keypoints"] for entry in entries])
    assert rows.sizes is not None and (rows.sizes == 256).all()
    assert rows.masks is None and rows.visible is None


def test_joints_are_fractions_of_256_and_x_comes_first(root: Path) -> None:
    source = DeepFashion()
    rows = source.rows(root, "train")
    _, entries = listed(root, "train")
    for i, entry in enumerate(entries):
        sample = read_sample(root, source, rows, i, 128)
        assert sample.landmarks is not None and sample.visible is not None
        np.testing.assert_allclose(sample.landmarks, np.array(entry["keypoints"]) / 256)
        assert sample.visible.all() and sample.aspect == 1 and sample.mask is None
    shown = people(24, 10, seed=0)[0].points(*COCO_17)
    assert rows.landmarks is not None
    for pictured in shown:
        assert np.abs(rows.landmarks / 256 - pictured).max((1, 2)).min() < 1e-6


def test_joints_lie_on_the_person_before_white(root: Path) -> None:
    source = DeepFashion()
    rows = source.rows(root, "train")
    on, swapped = [], []
    for i in range(len(rows)):
        sample = read_sample(root, source, rows, i, 128)
        person = sample.image.min(-1) < 235
        assert sample.landmarks is not None
        x, y = np.clip((sample.landmarks * 128).astype(int), 0, 127).T
        on.append(person[y, x].mean())
        swapped.append(person[x, y].mean())
    assert np.mean(on) > 0.75 > 0.6 > np.mean(swapped)


def test_images_are_the_files_resized_and_nothing_else(root: Path) -> None:
    source = DeepFashion()
    rows = source.rows(root, "test")
    sample = read_sample(root, source, rows, 3, 256)
    file = Image.open(root / column(rows.files)[3])
    np.testing.assert_array_equal(sample.image, np.asarray(file.convert("RGB")))


def test_the_names_of_the_joints() -> None:
    assert JOINTS == COCO_17


def test_the_published_split_shares_garments_and_validation_does_not(root: Path) -> None:
    source = DeepFashion()
    assert source.parts == {"discovery": "train", "regression": "train", "test": "test"}
    train, test = (set(column(source.rows(root, part).groups)) for part in ("train", "test"))
    assert len(train & test) == 1
    held = DeepFashion(split="validation")
    assert held.parts["discovery"] == held.parts["regression"] == "train_fold"
    fold, validation = held.rows(root, "train_fold"), held.rows(root, held.parts["test"])
    assert not set(column(fold.groups)) & set(column(validation.groups))
    both = column(fold.files) + column(validation.files)
    assert sorted(both) == sorted(column(source.rows(root, "train").files))
    assert not set(both) & set(column(source.rows(root, "test").files))
    assert len(set(column(validation.groups))) == 2  # a tenth of 12, rounded up
    assert column(held.rows(root, "validation").files) == column(validation.files)


def test_what_is_held_out_depends_on_identities_alone() -> None:
    names = np.array([f"id_{i:08d}" for i in range(6300)])
    chosen = held_out(names)
    assert chosen.sum() == 630
    order = np.random.default_rng(0).permutation(len(names))
    assert (held_out(names[order]) == chosen[order]).all()
    twice = held_out(np.repeat(names, 2))
    assert (twice == np.repeat(chosen, 2)).all()
    assert held_out(np.array(["only"])).tolist() == [True]
    by_hash = sorted(names.tolist(), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert set(names[chosen].tolist()) == set(by_hash[:630])


def test_items_of_names() -> None:
    assert item_of("MEN/Pants/id_00006039/07_7_additional.jpg") == "id_00006039"
    assert item_of("alone.jpg") == "alone.jpg"


def test_images_of_another_resolution_are_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "d")
    rows = DeepFashion().rows(tmp_path / "d", "test")
    Image.new("RGB", (750, 1101)).save(tmp_path / "d" / column(rows.files)[2])
    read_sample(tmp_path / "d", DeepFashion(), rows, 1, 64)
    with pytest.raises(DataError, match=r"750 x 1101 .* 256 x 256; use the images of Img/img"):
        read_sample(tmp_path / "d", DeepFashion(), rows, 2, 64)


Change = Callable[[list[dict[str, Any]]], Any]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda entries: entries[:-1], "9 entries, the csv beside it lists 10"),
        (lambda entries: {"a": 1}, "not a list of entries"),
        (lambda entries: entries[1:] + entries[:1], "entry 0 is of .* one order"),
        (lambda entries: [{**e, "keypoints": e["keypoints"][:5]} for e in entries], "17 pairs"),
        (lambda entries: [*entries[:-1], {**entries[-1], "keypoints": [[1, 2]]}], "17 pairs"),
        (lambda entries: [{**e, "keypoints": "x"} for e in entries], "17 pairs"),
        (lambda entries: [{"image_path": e["image_path"]} for e in entries], "no keypoints"),
        (lambda entries: [1 for _ in entries], "no image_path"),
    ],
)
def test_lists_that_do_not_belong_together(
    root: Path, tmp_path: Path, change: Change, words: str
) -> None:
    for name in ("data_test.csv", "data_test.json"):
        shutil.copy(root / name, tmp_path / name)
    entries = json.loads((tmp_path / "data_test.json").read_text())
    (tmp_path / "data_test.json").write_text(json.dumps(change(entries)))
    with pytest.raises(DataError, match=words) as caught:
        DeepFashion().rows(tmp_path, "test")
    assert "data_test.json" in str(caught.value)


def test_missing_lists_and_columns_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_train\.csv"):
        DeepFashion().rows(tmp_path, "train")
    (tmp_path / "data_train.csv").write_text("id,file\n1,a.jpg\n")
    with pytest.raises(DataError, match="no column 'filename'"):
        DeepFashion().rows(tmp_path, "train")
    shutil.copy(root / "data_train.csv", tmp_path)
    with pytest.raises(DataError, match=r"data_train\.json"):
        DeepFashion().rows(tmp_path, "train")


def test_a_missing_image_is_listed_and_then_named(root: Path, tmp_path: Path) -> None:
    for name in ("data_test.csv", "data_test.json"):
        shutil.copy(root / name, tmp_path / name)
    rows = DeepFashion().rows(tmp_path, "test")
    assert len(rows) == 10
    with pytest.raises(DataError, match=column(rows.files)[0]):
        read_sample(tmp_path, DeepFashion(), rows, 0, 64)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean validation"):
        DeepFashion(split="validations")
