"""CelebA's sources against what the tree's writer drew, computed without the loader."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpbench.api import Array
from kpbench.data.sample import Sample, read_sample
from kpbench.data.source import Source
from kpbench.errors import DataError, UnknownNameError
from kpbench.registry import load_protocol
from kpbench.testing import check_protocol
from kpbench_protocols.celeba.reader import CelebaAligned, CelebaWild
from tests.protocols.trees import celeba
from tests.protocols.trees.celeba import Face

FACES = {face.name: face for face in celeba.faces()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("celeba")
    celeba.write(root)
    return root


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "celeba"))


def mafl(tree: Path, name: str) -> list[str]:
    return (tree / "MAFL" / f"{name}.txt").read_text().split()


def names(source: Source, root: Path, split: str) -> list[str]:
    return [Path(str(file)).name for file in source.rows(root, source.parts[split]).files]


def samples(source: Source, root: Path, split: str = "test", pixels: int = 128) -> list[Sample]:
    rows = source.rows(root, source.parts[split])
    return [read_sample(root, source, rows, i, pixels) for i in range(len(rows))]


def dark_eyes(sample: Sample) -> float:
    """Share of the eyes whose landmark lies on a dark pixel."""
    assert sample.landmarks is not None
    side = len(sample.image)
    columns, lines = (sample.landmarks[:2] * side).astype(int).clip(0, side - 1).T
    return float((sample.image[lines, columns, 0] < 60).mean())


# --- aligned ---------------------------------------------------------------------------------


def test_aligned_landmarks_are_x_and_y_as_drawn(tree: Path) -> None:
    rows = CelebaAligned().rows(tree, "test")
    assert [Path(str(f)).name for f in rows.files] == mafl(tree, "testing")
    drawn = np.stack([FACES[name].aligned for name in mafl(tree, "testing")])
    assert rows.landmarks is not None
    np.testing.assert_array_equal(rows.landmarks, drawn)
    assert rows.visible is None
    assert rows.groups is not None
    assert rows.groups.tolist() == [str(FACES[name].person) for name in mafl(tree, "testing")]


def imm(points: Array) -> Array:
    return (points * 160 / (178, 218) - 16) / 128


def zhang(points: Array) -> Array:
    return (points * 100 / (178, 218) - 10) / 80


def dve(points: Array) -> Array:
    return ((points - (0, 30)) * 100 / 178 - 15) / 70


def whole(points: Array) -> Array:
    return points / (178, 218)


@pytest.mark.parametrize("rule", [imm, zhang, dve, whole])
def test_each_geometry_is_the_papers_resize_and_crop(
    tree: Path, rule: Callable[[Array], Array]
) -> None:
    source = CelebaAligned(geometry=rule.__name__)
    found = samples(source, tree)
    for sample, name in zip(found, mafl(tree, "testing"), strict=True):
        assert sample.landmarks is not None
        np.testing.assert_allclose(sample.landmarks, rule(FACES[name].aligned), atol=1e-12)
        assert sample.aspect == pytest.approx(1 if rule is dve else 178 / 218)
        assert dark_eyes(sample) == 1
    assert CelebaAligned() == CelebaAligned(geometry="imm")


def test_a_landmark_outside_of_the_region_stays_labelled(copy: Path) -> None:
    table = copy / "Anno" / "list_landmarks_align_celeba.txt"
    name = mafl(copy, "testing")[0]
    lines = table.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(name))
    lines[at] = f"{name}  5 6  108 111  88 136  73 152  105 152"
    table.write_text("\n".join(lines) + "\n")
    sample = samples(CelebaAligned(), copy)[0]
    assert sample.landmarks is not None and sample.visible is not None
    assert sample.visible.all() and (sample.landmarks[0] < 0).all()


def partition(tree: Path) -> list[str]:
    return [name for name, face in FACES.items() if face.partition == 0]


@pytest.mark.parametrize(
    ("geometry", "split", "regression", "without"),
    [
        ("imm", "test", slice(0, 60), ("testing", "validation")),
        ("imm", "validation", slice(0, 60), ("testing", "validation")),
        ("zhang", "test", slice(0, 66), ("testing",)),
        ("zhang", "validation", slice(0, 60), ("testing", "validation")),
        ("dve", "test", slice(0, 66), ("testing", "training")),
    ],
)
def test_what_each_paper_learns_from(
    tree: Path, geometry: str, split: str, regression: slice, without: tuple[str, ...]
) -> None:
    source = CelebaAligned(geometry=geometry, split=split)
    train = mafl(tree, "training")
    lists = {"testing": mafl(tree, "testing"), "validation": train[-6:], "training": train}
    assert names(source, tree, "regression") == train[regression]
    kept = [name for name in partition(tree) if not any(name in lists[key] for key in without)]
    assert names(source, tree, "discovery") == kept
    assert names(source, tree, "test") == (
        train[-6:] if split == "validation" else lists["testing"]
    )


def test_stablekeypoints_learns_from_mafl_alone(tree: Path) -> None:
    source = CelebaAligned(geometry="whole")
    assert names(source, tree, "discovery") == mafl(tree, "training")
    assert source.parts["discovery"] == source.parts["regression"]  # packed once
    tuned = CelebaAligned(geometry="whole", split="validation")
    assert names(tuned, tree, "discovery") == mafl(tree, "training")[:-6]


@pytest.mark.parametrize("folder", ["img_align_celeba", "img_align_celeba_png"])
def test_the_other_names_of_the_image_folder(copy: Path, folder: str) -> None:
    before = samples(CelebaAligned(), copy)[0]
    (copy / "Img" / "img_align_celeba_hq").rename(copy / "Img" / folder)
    if folder.endswith("png"):
        for path in list((copy / "Img" / folder).iterdir()):
            Image.open(path).save(path.with_suffix(".png"))
            path.unlink()
    after = samples(CelebaAligned(), copy)[0]
    np.testing.assert_array_equal(before.image, after.image)


def test_a_photograph_among_the_aligned_faces_is_refused(copy: Path) -> None:
    name = mafl(copy, "testing")[0]
    shutil.copy(copy / "Img/img_celeba" / name, copy / "Img/img_align_celeba_hq" / name)
    with pytest.raises(DataError, match=rf"{name} has .* pixels, .* refer to 178 x 218"):
        samples(CelebaAligned(), copy)


def test_without_identities_the_groups_are_unknown(copy: Path) -> None:
    (copy / "Anno" / "identity_CelebA.txt").unlink()
    assert CelebaAligned().rows(copy, "test").groups is None


@pytest.mark.parametrize(
    ("path", "line", "message"),
    [
        ("Anno/list_landmarks_align_celeba.txt", None, "no row for"),
        ("Anno/list_landmarks_align_celeba.txt", "{} 1 2 3 4 5 6 7 8 9 x", "10 whole numbers"),
        ("Anno/identity_CelebA.txt", None, "no row for"),
    ],
)
def test_a_damaged_list_is_named(copy: Path, path: str, line: str | None, message: str) -> None:
    name = mafl(copy, "testing")[0]
    lines = [x for x in (copy / path).read_text().splitlines() if not x.startswith(name)]
    if lines[0].isdecimal():
        lines[0] = str(int(lines[0]) - (line is None))
    (copy / path).write_text("\n".join([*lines, *([line.format(name)] if line else [])]) + "\n")
    with pytest.raises(DataError, match=message) as caught:
        CelebaAligned().rows(copy, "test")
    assert Path(path).name in str(caught.value)


@pytest.mark.parametrize("path", ["MAFL/training.txt", "Img", "Eval/list_eval_partition.txt"])
def test_a_missing_file_is_named(copy: Path, path: str) -> None:
    (copy / path).rename(copy / "elsewhere")
    with pytest.raises(DataError, match=path):
        CelebaAligned().rows(copy, "discovery")


def test_lists_that_leave_nothing_or_hold_too_little(copy: Path) -> None:
    (copy / "Eval/list_eval_partition.txt").write_text("000001.jpg 2\n")
    with pytest.raises(DataError, match="no face to learn from"):
        CelebaAligned().rows(copy, "discovery")
    (copy / "MAFL/training.txt").write_text("000001.jpg\n")
    with pytest.raises(DataError, match="10 names or more"):
        CelebaAligned().rows(copy, "regression")


def test_unknown_arguments_suggest_the_known() -> None:
    with pytest.raises(UnknownNameError, match="imm"):
        CelebaAligned(geometry="im")
    with pytest.raises(UnknownNameError, match="autolink"):
        CelebaWild(preprocessing="autolnk")


# --- as photographed -------------------------------------------------------------------------


def kept(listed: list[str]) -> list[Face]:
    return [FACES[name] for name in listed if FACES[name].large]


def test_faces_below_30_percent_are_left_out(tree: Path) -> None:
    listed = mafl(tree, "testing")
    assert names(CelebaWild(), tree, "test") == [face.name for face in kept(listed)]
    assert 0 < len(kept(listed)) < len(listed), "the tree must have faces on both sides"
    assert len(kept(mafl(tree, "training"))) < 66
    everything = [f for f in FACES.values() if f.partition == 0 and f.mafl != "test" and f.large]
    assert names(CelebaWild(), tree, "discovery") == [face.name for face in everything]
    assert names(CelebaWild(), tree, "regression") == [
        face.name for face in kept(mafl(tree, "training"))
    ]


def test_a_face_of_exactly_30_percent_stays(copy: Path) -> None:
    face = kept(mafl(copy, "testing"))[0]
    Image.new("RGB", (100, 80)).save(copy / "Img/img_celeba" / face.name)
    (copy / "Anno/list_imsize_celeba.txt").unlink()
    path = copy / "Anno/list_bbox_celeba.txt"
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(face.name))
    for width, stays in ((40, True), (39, False)):  # 40 * 60 = 0.3 * 100 * 80
        lines[at] = f"{face.name} 3 4 {width} 60"
        path.write_text("\n".join(lines) + "\n")
        assert (face.name in names(CelebaWild(), copy, "test")) is stays


def test_wild_landmarks_are_shares_of_width_and_height(tree: Path) -> None:
    found = samples(CelebaWild(), tree)
    for sample, face in zip(found, kept(mafl(tree, "testing")), strict=True):
        assert sample.landmarks is not None and sample.box is not None
        width, height = face.size
        np.testing.assert_allclose(sample.landmarks[:, 0], face.wild[:, 0] / width)
        np.testing.assert_allclose(sample.landmarks[:, 1], face.wild[:, 1] / height)
        assert sample.aspect == pytest.approx(width / height)
        x, y, w, h = face.box
        np.testing.assert_allclose(sample.box, [x / width, y / height, w / width, h / height])
    assert np.mean([dark_eyes(sample) for sample in found]) == 1


def test_sizes_from_the_list_and_from_the_files_are_the_same(copy: Path) -> None:
    source = CelebaWild()
    listed = source.rows(copy, "discovery")
    (copy / "Anno/list_imsize_celeba.txt").unlink()
    read = source.rows(copy, "discovery")
    assert listed.sizes is not None and read.sizes is not None
    np.testing.assert_array_equal(listed.sizes, read.sizes)
    np.testing.assert_array_equal(listed.files, read.files)
    wide = FACES[Path(str(read.files[0])).name]
    assert tuple(read.sizes[0]) == wide.size


def test_an_unreadable_photograph_is_named(copy: Path) -> None:
    (copy / "Anno/list_imsize_celeba.txt").unlink()
    name = mafl(copy, "testing")[0]
    (copy / "Img/img_celeba" / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=name):
        CelebaWild().rows(copy, "test")
    (copy / "Img/img_celeba" / name).unlink()
    with pytest.raises(DataError, match=name):
        CelebaWild().rows(copy, "test")


def test_autolinks_flat_folder_is_read_as_well(copy: Path) -> None:
    before = CelebaWild().rows(copy, "test")
    for path in (copy / "Anno").iterdir():
        path.rename(copy / path.name)
    (copy / "Img/img_celeba").rename(copy / "img_celeba")
    after = CelebaWild().rows(copy, "test")
    np.testing.assert_array_equal(before.landmarks, after.landmarks)
    assert after.files[0] == str(before.files[0]).removeprefix("Img/")


def test_validation_is_left_out_of_wild_training(tree: Path) -> None:
    source = CelebaWild(split="validation")
    train = mafl(tree, "training")
    assert names(source, tree, "test") == [face.name for face in kept(train[-6:])]
    assert names(source, tree, "regression") == [face.name for face in kept(train[:-6])]
    assert not {*train[-6:]} & {*names(source, tree, "discovery")}
    assert not {*train[-6:]} & {
        *names(CelebaWild(split="validation", discovery="mafl"), tree, "discovery")
    }


def test_no_large_face_is_an_error(copy: Path) -> None:
    small = [face.name for face in FACES.values() if not face.large]
    (copy / "MAFL/testing.txt").write_text("\n".join(small[:3]) + "\n")
    with pytest.raises(DataError, match=r"no face .* fills 30 %"):
        CelebaWild().rows(copy, "test")


# --- protocols -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["celeba_aligned", "celeba_wild"])
def test_the_protocol_keeps_its_contract(
    name: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KPBENCH_DATA_CELEBA", str(tree))
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path))
    check_protocol(load_protocol(name))


def test_published_numbers() -> None:
    aligned, wild = load_protocol("celeba_aligned"), load_protocol("celeba_wild")
    assert (aligned.n_keypoints, wild.n_keypoints) == (10, 8)
    assert (aligned.evaluator, wild.evaluator) == ("celeba/imm", "celeba/autolink")
    assert dict(aligned.sizes("paper")) == {
        "discovery": 162_770 - 808 - 1_747,  # without MAFL's test and validation
        "regression": 17_100,
        "test": 1_000,
        "pixels": 128,
    }
    assert [wild.sizes("paper")[k] for k in ("discovery", "regression", "test")] == [
        *(45_609, 5_379, 283)
    ]
