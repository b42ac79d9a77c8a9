"""Verification finds every fault that can be planted in a data set, and nothing in a sound one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kpbench.data.checking import examine
from kpbench.data.checking.report import Finding, Report
from kpbench.data.checking.verify import _exchanged, _Part, verify
from kpbench.data.installed import real_protocols
from kpbench.data.source import Rows
from kpbench.errors import MissingDataError
from tests.data.toy_source import Toy, protocol, write
from tests.protocols.trees import TREES


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "toy")
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KPBENCH_DATA_TOY", str(tmp_path / "toy"))
    return tmp_path / "toy"


def change(root: Path, act: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads((root / "table.json").read_text())
    act(table)
    (root / "table.json").write_text(json.dumps(table))


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def swap_axes(table: dict[str, Any]) -> None:
    for row in table["train"]:
        row["points"] = [[y, x] for x, y in row["points"]]


def again(root: Path, source: str, target: str) -> None:
    """Save a picture a second time in a file of other bytes."""
    Image.open(root / source).save(root / target, compress_level=0)
    assert (root / source).read_bytes() != (root / target).read_bytes()


Fault = Callable[[Path], object]
TRAIN = "discovery, regression"
NAN = float("nan")
FAULTS: dict[str, tuple[Fault, str, str, str]] = {
    "missing image": (
        lambda root: (root / "test/00002.png").unlink(),
        *("error", "test", "missing files: 1 ['test/00002.png']"),
    ),
    "missing mask": (
        lambda root: (root / "train/00001.mask.png").unlink(),
        *("error", TRAIN, "missing files: 1 ['train/00001.mask.png']"),
    ),
    "truncated image": (
        lambda root: cut(root / "train/00005.png", 300),
        *("error", TRAIN, "images that cannot be read: 1 ['train/00005.png"),
    ),
    "empty image": (
        lambda root: cut(root / "test/00000.png", 0),
        *("error", "test", "images that cannot be read: 1 ['test/00000.png"),
    ),
    "no image at all": (
        lambda root: (root / "test/00000.png").write_text("<html>404</html>"),
        *("error", "test", "images that cannot be read: 1 ['test/00000.png"),
    ),
    "numbers that are no image": (
        lambda root: Image.new("F", (40, 30), 300.0).save(root / "test/00001.png", "tiff"),
        *("error", "test", "images that cannot be read: 1 ['test/00001.png: its numbers go from"),
    ),
    "eight bits in the space of sixteen": (
        lambda root: Image.new("I;16", (40, 30), 200).save(root / "test/00001.png"),
        *("error", "test", "images that cannot be read: 1 ['test/00001.png: would be black"),
    ),
    "truncated mask": (
        lambda root: cut(root / "train/00003.mask.png", 50),
        *("error", TRAIN, "masks that cannot be read: 1 ['train/00003.mask.png"),
    ),
    "swapped axes": (
        lambda root: change(root, swap_axes),
        *("error", TRAIN, "after an exchange of x and y: the axes look swapped"),
    ),
    "one image too few": (
        lambda root: change(root, lambda table: table["test"].pop()),
        *("error", "test", "3 images, published: 4"),
    ),
    "identity of training in test": (
        lambda root: change(root, lambda table: table["test"][1].update(who="train-3")),
        *("error", f"{TRAIN} and test", "identities of both: 1, in 1 test images"),
    ),
    "image of training in test": (
        lambda root: again(root, "train/00004.png", "test/00003.png"),
        *("error", f"{TRAIN} and test", "['train/00004.png and test/00003.png']"),
    ),
    "file of training in test": (
        lambda root: change(root, lambda t: t["test"][0].update(file="train/00001.png")),
        *("error", f"{TRAIN} and test", "['train/00001.png and train/00001.png']"),
    ),
    "the same image twice": (
        lambda root: again(root, "train/00004.png", "train/00006.png"),
        *("note", TRAIN, "['train/00004.png and train/00006.png']"),
    ),
    "the same row twice": (
        lambda root: change(root, lambda t: t["train"][0].update(file="train/00001.png")),
        *("error", TRAIN, "images listed more than once: 1 ['train/00001.png']"),
    ),
    "label outside": (
        lambda root: change(root, lambda t: t["test"][2]["points"].__setitem__(0, [47, 6])),
        *("error", "test", "['test/00002.png: a landmark at (1.18, 0.20) of the region shown']"),
    ),
    "label left of the image": (
        lambda root: change(root, lambda t: t["test"][2]["points"].__setitem__(0, [-6, 6])),
        *("error", "test", "images with a landmark more than 5% of the image outside: 1"),
    ),
    "label in other units": (
        lambda root: change(root, lambda t: t["train"][2]["points"].__setitem__(0, [900, 6])),
        *("error", TRAIN, "images with a landmark further than 1 image outside: 1"),
    ),
    "label that is no number": (
        lambda root: change(root, lambda t: t["train"][2]["points"].__setitem__(1, [3, NAN])),
        *("error", TRAIN, "images with an unusable annotation: 1 ['train/00002.png: a landmark is"),
    ),
    "no table": (
        lambda root: (root / "table.json").unlink(),
        *("error", "test", "the images cannot be listed"),
    ),
}  # fmt: skip
QUICK = {
    *("missing image", "missing mask", "swapped axes", "one image too few", "no table"),
    *("file of training in test", "identity of training in test", "the same row twice"),
    "label that is no number",
}
"""Faults that are found without opening images."""


def found_in(report: Report, severity: str, split: str, text: str) -> bool:
    return any(
        finding.severity == severity
        and finding.split == split
        and text in f"{finding.text} {list(finding.examples)}"
        for finding in report.findings
    )


def test_a_sound_data_set(root: Path) -> None:
    report = verify(protocol())
    assert report.findings == []
    assert report.errors == 0
    assert report.counts == {"discovery": 8, "regression": 8, "test": 4}
    assert report.fingerprint == protocol().fingerprint("paper")
    again = verify(protocol())  # now with packed images beside it
    assert again == report
    assert "0 errors, 0 notes" in str(report)
    quick = verify(protocol(), decode=False)
    assert quick.findings == []
    assert quick.fingerprint == ""
    assert "--quick" in str(quick)


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_is_found(root: Path, name: str) -> None:
    plant, severity, split, text = FAULTS[name]
    plant(root)
    report = verify(protocol())
    assert found_in(report, severity, split, text), str(report)
    wrong = {f.text for f in report.findings if f.severity != severity}
    assert not wrong, wrong
    assert (report.errors > 0) == (severity == "error")
    json.dumps(report.as_dict(), allow_nan=False)
    quick = verify(protocol(), decode=False)
    assert (quick.errors > 0) == (name in QUICK), str(quick)


def test_faults_of_annotation_files(root: Path) -> None:
    by_file = protocol(source=Toy(annotation="files"))
    assert verify(by_file).findings == []
    (root / "train/00001.json").unlink()
    (root / "train/00002.json").write_text("[[1, 2], [3")
    report = verify(by_file)
    assert found_in(report, "error", TRAIN, "missing files: 1 ['train/00001.json']")
    assert found_in(report, "error", TRAIN, "images with an unusable annotation: 1")
    assert report.fingerprint == ""
    (root / "train/00002.json").write_text("[[1, 2], [3, 4]]")
    report = verify(by_file)
    assert found_in(report, "error", TRAIN, "['train/00002.png: 2 landmarks, not 3']")


def test_explained_deviations_are_notes(root: Path) -> None:
    change(root, lambda table: table["test"][1].update(who="train-3"))
    change(root, lambda table: table["test"].pop())
    explained = protocol(shared_identities="drawn by image", varying_sizes={"test": "links die"})
    report = verify(explained)
    assert report.errors == 0
    assert found_in(report, "note", "test", "3 images, published: 4 (links die)")
    assert found_in(report, "note", f"{TRAIN} and test", "drawn by image")


def test_few_labels_slightly_outside_are_a_note(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "large", n_train=120, n_test=4)
    change(tmp_path / "large", lambda t: t["train"][7]["points"].__setitem__(0, [43, 6]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KPBENCH_DATA_TOY", str(tmp_path / "large"))
        report = verify(protocol(120, 4))
    assert report.errors == 0
    assert found_in(report, "note", TRAIN, "images with a landmark more than 5%")


def test_missing_landmarks_are_no_fault(root: Path) -> None:
    change(root, lambda table: table["train"][0]["points"].__setitem__(1, None))
    change(root, lambda table: table["train"][1].update(points=[None, None, None]))
    assert verify(protocol()).findings == []


def test_processes_find_what_one_process_finds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("missing image", "truncated mask", "swapped axes", "label in other units"):
        FAULTS[name][0](root)
    alone = verify(protocol())
    monkeypatch.setattr(examine, "CHUNK", 2)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    assert verify(protocol()) == alone
    assert alone.errors >= 4


def test_packed_images_that_are_not_those_of_the_files(root: Path) -> None:
    protocol().prepare("paper")
    again(root, "train/00004.png", "train/other.png")
    (root / "train/other.png").replace(root / "train/00004.png")
    report = verify(protocol())
    assert found_in(report, "error", "discovery", "the files have changed since they were packed")
    assert report.errors == 1
    assert verify(protocol(), decode=False).errors == 0


def test_altered_packed_images(root: Path) -> None:
    protocol().prepare("smoke")
    path = protocol().packed("smoke", "test").folder / "mask.npy"
    path.write_bytes(path.read_bytes()[:-1])
    for decode in (True, False):
        report = verify(protocol(), decode=decode)
        assert found_in(report, "error", "test", "is missing, truncated or altered")


def test_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KPBENCH_CONFIG", str(tmp_path))
    monkeypatch.delenv("KPBENCH_DATA_TOY", raising=False)
    with pytest.raises(MissingDataError, match="kpbench data path toy DIR"):
        verify(protocol())
    monkeypatch.setenv("KPBENCH_DATA_TOY", str(tmp_path / "gone"))
    with pytest.raises(MissingDataError, match="does not exist"):
        verify(protocol())


@pytest.mark.parametrize("dataset", TREES)
def test_a_tree_in_a_published_layout_is_sound(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = next(p for p in real_protocols().values() if p.dataset.name == dataset)
    TREES[dataset](tmp_path / "tree")
    monkeypatch.setenv(f"KPBENCH_DATA_{dataset.upper()}", str(tmp_path / "tree"))
    sizes = verify(real, decode=False).counts
    report = verify(replace(real, published=sizes))
    assert report.errors == 0, str(report)
    assert report.fingerprint


def test_a_report_is_text() -> None:
    finding = Finding("error", "test", "3 images, published: 4", ("a.png",))
    report = Report("toy", "here", False, {"test": 3}, {"test": 4}, "", [finding])
    assert str(report).splitlines() == [
        "toy in here",
        "  test       3 images (published: 4)",
        "  error in test: 3 images, published: 4",
        "    a.png",
        "  1 error, 0 notes",
    ]


def verified(
    dataset: str, name: str, tmp_path: Path, patch: pytest.MonkeyPatch, plant: Fault
) -> tuple[Report, Report]:
    """The reports on a tree before and after a fault is planted; sizes as found."""
    real = real_protocols()[name]
    root = tmp_path / dataset
    TREES[dataset](root)
    patch.setenv(f"KPBENCH_DATA_{dataset.upper()}", str(root))
    sound = verify(real)
    plant(root)
    return verify(replace(real, published=sound.counts)), sound


def faces_rewritten(root: Path, row: Callable[[list[str]], list[str]], names: set[str]) -> None:
    path = next(root.rglob("list_landmarks_align_celeba.txt"))
    head, body = path.read_text().splitlines()[:2], path.read_text().splitlines()[2:]
    lines = [line.split() for line in body]
    lines = [row(line) if not names or line[0] in names else line for line in lines]
    path.write_text("\n".join([*head, *(" ".join(line) for line in lines)]) + "\n")


def test_eyes_that_coincide_are_told_before_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plant(root: Path) -> None:
        name = (root / "MAFL" / "testing.txt").read_text().split()[0]
        faces_rewritten(root, lambda row: [*row[:3], *row[1:3], *row[5:]], {name})

    report, sound = verified("celeba", "celeba_aligned", tmp_path, monkeypatch, plant)
    assert found_in(report, "error", "test", "images whose eyes, by whose distance")
    assert found_in(report, "error", "test", "coincide or are not labelled: 1")
    assert not found_in(sound, "error", "test", "eyes")


def test_left_and_right_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plant(root: Path) -> None:
        faces_rewritten(root, lambda r: [r[0], *r[3:5], *r[1:3], *r[5:7], *r[9:11], *r[7:9]], set())

    report, sound = verified("celeba", "celeba_aligned", tmp_path, monkeypatch, plant)
    assert found_in(report, "error", "test", "in 0% of cases only: left and right look exchanged")
    assert not any("exchanged" in finding.text for finding in sound.findings)


def test_left_and_right_exchanged_in_the_training_part_alone() -> None:
    """Poses face everywhere, so that only a comparison of the parts tells."""
    found = {"train": examine.Examined(), "test": examine.Examined()}
    points = np.tile([[0.3, 0.5], [0.7, 0.5]], (30, 1, 1))
    found["train"].count_sides(points[:, ::-1], np.ones((30, 2), bool), [(0, 1)])
    found["test"].count_sides(points, np.ones((30, 2), bool), [(0, 1)])
    rows = Rows(np.array(["a.png"] * 30))
    parts = [_Part((name,), rows, each) for name, each in found.items()]
    [finding] = _exchanged(parts)
    assert finding.split == "train and test"
    assert "in 0% and 100% of cases: left and right look exchanged" in finding.text
    assert list(_exchanged([parts[1], replace(parts[0], found=found["test"])])) == []


@pytest.mark.parametrize(("factor", "severity"), [(0.5, "error"), (2.0, "note")])
def test_birds_in_another_size_than_annotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, severity: str
) -> None:
    def plant(root: Path) -> None:
        for path in root.rglob("*.jpg"):
            with Image.open(path) as image:
                smaller = image.resize([round(side * factor) for side in image.size])
            smaller.save(path)

    report, sound = verified("cub", "cub_all", tmp_path, monkeypatch, plant)
    text = "reach beyond the file; is it in the size" if factor < 1 else "are the files larger"
    assert found_in(report, severity, "discovery, regression", text), str(report)
    assert not any("the file" in finding.text for finding in sound.findings), str(sound)


def test_an_uncertain_count_is_a_note_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sound = verified("cub", "cub_001", tmp_path, monkeypatch, lambda root: None)
    assert sound.errors == 0, str(sound)
    assert found_in(sound, "note", "discovery", "published: 30 (uncertain: ")
