"""Faults planted in projects: each is refused, and named with its file, row and column."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kpbench.data.projects.read import read_project
from kpbench.errors import DataError, InvalidInputError
from tests.data.projects import writers
from tests.data.projects.writers import labels

h5py: Any = pytest.importorskip("h5py")
Lines = list[list[str]]
Change = Callable[[Lines], object]


def cell(row: int, column: int, text: str) -> Change:
    """Return a change of one cell; row 0 is the first line."""

    def change(lines: Lines) -> None:
        lines[row][column] = text

    return change


def columns(*dropped: int) -> Change:
    def change(lines: Lines) -> None:
        for line in lines:
            for column in sorted(dropped, reverse=True):
                del line[column]

    return change


def scorers(lines: Lines) -> None:
    lines[0][-2:] = ["bob", "bob"]


def likelihood(lines: Lines) -> None:
    lines[2][-1] = "likelihood"


def twice(lines: Lines) -> None:
    lines.append(list(lines[3]))


def individuals(lines: Lines) -> None:
    lines.insert(1, ["individuals", *["m1"] * 4, *["m2"] * 4])


def unlabelled(lines: Lines) -> None:
    for line in lines[3:]:
        line[7:9] = ["", ""]


def nothing(lines: Lines) -> None:
    for line in lines[3:]:
        line[1:] = [""] * 8


TABLES: dict[str, tuple[Change, str]] = {
    "no scorer row": (lambda lines: lines.pop(0), r"line 3: no header row 'scorer'"),
    "no bodyparts row": (lambda lines: lines.pop(1), r"line 3: no header row 'bodyparts'"),
    "no coords row": (lambda lines: lines.pop(2), r"line 3: no header row 'coords'"),
    "an odd number of columns": (columns(8), r"line 3: 7 columns of coordinates, an odd number"),
    "x where y should be": (cell(2, 4, "x"), r"line 3: column 4 should be x and the next one y"),
    "a landmark of one column": (cell(1, 4, "hat"), r"line 2: columns 4 and 5 should name one"),
    "a landmark named twice": (
        lambda lines: lines[1].__setitem__(slice(3, 5), ["nose", "nose"]),
        r"line 2: column 4 names nose once more",
    ),
    "labels of two scorers": (scorers, r"line 1: labels of 2 scorers side by side: ann, bob"),
    "predictions": (likelihood, r"line 3: has likelihoods: these are predictions"),
    "several animals": (individuals, r"line 2: several individuals: m1, m2; choose one"),
    "text in a number": (cell(4, 3, "12,5"), r"line 5, column 4 \(ear_L\): '12,5', .* two numbers"),
    "a cell too many": (lambda lines: lines[5].append("7"), r"line 6: 10 cells, the header has 9"),
    "a cell too few": (lambda lines: lines[5].pop(), r"line 6: 8 cells, the header has 9"),
    "x without y": (cell(3, 2, ""), r"line 4, column 2 \(nose\): has x and no y"),
    "an infinite place": (cell(3, 1, "inf"), r"line 4, column 2 \(nose\): inf, .* is no place"),
    "a negative place": (
        cell(6, 1, "-30"), r"line 7, column nose: \(-30, .* lies outside of .* 48 x 36 pixels",
    ),
    "a place beyond the image": (
        cell(6, 8, "360"), r"line 7, column tail: \(.*, 360\) lies outside of ",
    ),
    "an image that is not there": (
        cell(3, 0, "labeled-data/vid 0/gone.png"), r"line 4: there is no image .*gone\.png",
    ),
    "a path out of the folder": (
        cell(3, 0, "../../secret.png"), r"line 4, column 1: .* leads out of the folder",
    ),
    "an absolute path": (
        cell(3, 0, r"C:\data\a.png"), r"line 4, column 1: .* is an absolute path",
    ),
    "an image labelled twice": (twice, r"line 14: .*img000\.png is labelled once more; .* line 4"),
    "a landmark that nobody labelled": (unlabelled, r"labelled in no image: tail"),
    "no label at all": (nothing, r"no image has a label"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_fault_in_a_table_is_named(name: str, tmp_path: Path) -> None:
    change, said = TABLES[name]
    writers.write_lightning_pose(tmp_path, labels())
    path = tmp_path / "CollectedData.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("\n".join(",".join(f'"{c}"' for c in line) for line in lines))
    with pytest.raises(DataError, match=said) as error:
        read_project(tmp_path)
    assert str(tmp_path) in str(error.value)


BYTES: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", r"CollectedData\.csv: the file is empty"),
    "blank lines alone": (b"\n\n , \n", r"CollectedData\.csv: the file is empty"),
    "another encoding": ("scorer,größe".encode("latin1"), r"not UTF-8 text at byte 9"),
    "UTF-16": ("scorer,a".encode("utf-16"), r"not UTF-8 text at byte 0"),
    "no csv": (b'scorer,"a\nb', r"line 2 is not csv"),
}


@pytest.mark.parametrize("name", BYTES)
def test_a_file_that_is_no_table_is_named(name: str, tmp_path: Path) -> None:
    content, said = BYTES[name]
    writers.write_lightning_pose(tmp_path, labels())
    (tmp_path / "CollectedData.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_project(tmp_path)


def test_several_faults_are_named_at_once(tmp_path: Path) -> None:
    writers.write_lightning_pose(tmp_path, labels())
    path = tmp_path / "CollectedData.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for row in range(3, 10):
        lines[row][1] = "left"
    path.write_text("\n".join(map(",".join, lines)))
    with pytest.raises(DataError, match=r"line 4, column 2 .*line 8, column 2 .*; and 2 more"):
        read_project(tmp_path)


Json = dict[str, Any]
COCO: dict[str, tuple[Callable[[Json], object], str]] = {
    "no annotations": (lambda c: c.pop("annotations"), r"has no list 'annotations'"),
    "no categories": (lambda c: c.pop("categories"), r"has no list 'categories'"),
    "an id twice": (
        lambda c: c["images"][3].update(id=2), r"images, row 4: has the id 2 of an earlier one",
    ),
    "an annotation of no image": (
        lambda c: c["annotations"][2].update(image_id=77), r"annotation 102, image_id: no image 77",
    ),
    "an annotation of no category": (
        lambda c: c["annotations"][2].pop("category_id"), r"102, category_id: is missing",
    ),
    "no keypoints in any category": (
        lambda c: c["categories"][0].pop("keypoints"), r"no category names keypoints",
    ),
    "a name twice": (
        lambda c: c["categories"][0].update(keypoints=["a", "a"]), r"category 7: keypoints should",
    ),
    "an edge to nowhere": (
        lambda c: c["categories"][0].update(skeleton=[[1, 9]]), r"category 7: skeleton .* 1 to 4",
    ),
    "no multiple of three": (
        lambda c: c["annotations"][1]["keypoints"].pop(), r"annotation 101, keypoints: .* of 3",
    ),
    "too few keypoints": (
        lambda c: c["annotations"][1].update(keypoints=[1, 1, 2]), r"101, keypoints: 1 keypoints",
    ),
    "a visibility of 5": (
        lambda c: c["annotations"][1]["keypoints"].__setitem__(5, 5),
        r"annotation 101, keypoints, ear_L: visibility 5 is none of 0, 1, 2",
    ),
    "text for a number": (
        lambda c: c["annotations"][1]["keypoints"].__setitem__(3, "12"), r"else than numbers",
    ),
    "a keypoint outside": (
        lambda c: c["annotations"][1]["keypoints"].__setitem__(3, 480),
        r"annotation 101, keypoints, ear_L: \(480, .* outside of the image, 48 x 36",
    ),
    "a box without width": (
        lambda c: c["annotations"][1].update(bbox=[1, 2, 0, 4]), r"annotation 101, bbox: ",
    ),
    "an image that is not there": (
        lambda c: c["images"][2].update(file_name="vid 2/gone.png"),
        r"image 2, file_name: there is no image vid 2/gone\.png",
    ),
    "a path out of the folder": (
        lambda c: c["images"][2].update(file_name="../../a.png"), r"image 2, file_name: .* out of",
    ),
    "another size": (
        lambda c: c["images"][2].update(width=640), r"image 2: says 640 x 36 pixels, .* 48 x 36",
    ),
    "outlines in an image of no size": (
        lambda c: [c["images"][2].pop(side) for side in ("width", "height")],
        r"image 2: has outlines, so it needs width and height",
    ),
    "a polygon of two points": (
        lambda c: c["annotations"][1].update(segmentation=[[1, 2, 3, 4]]), r"101, segmentation: a",
    ),
    "run lengths that are too short": (
        lambda c: c["annotations"][0]["segmentation"].update(counts=[5, 6]),
        r"annotation 100, segmentation: malformed RLE: the runs cover 11 pixels of 1728",
    ),
    "run lengths as broken text": (
        lambda c: c["annotations"][0]["segmentation"].update(counts="ab\u0007"),
        r"annotation 100, segmentation: malformed RLE: counts end or break off",
    ),
    "run lengths of another size": (
        lambda c: c["annotations"][0]["segmentation"].update(size=[48, 36]),
        r"annotation 100, segmentation: RLE should have the size \[36, 48\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COCO)
def test_a_fault_in_coco_is_named(name: str, tmp_path: Path) -> None:
    change, said = COCO[name]
    writers.write_coco(tmp_path, labels())
    path = tmp_path / "annotations" / "mice.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=said) as error:
        read_project(tmp_path, "coco")
    assert "mice.json" in str(error.value)


def test_json_that_is_none_is_named(tmp_path: Path) -> None:
    writers.write_coco(tmp_path, labels())
    path = tmp_path / "annotations" / "mice.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match=r"mice\.json: line 1 is not json"):
        read_project(tmp_path, "coco")


def remove(name: str) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[name]

    return change


def set_field(table: str, row: int, field: str, value: float) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        values = file[table][()]
        values[field][row] = value
        file[table][()] = values

    return change


def no_images(file: Any) -> None:
    for i in range(4):
        del file[f"video{i}"]


def no_picture(file: Any) -> None:
    file["video0/video"][0] = np.zeros(9, np.int8)


def fewer_frames(file: Any) -> None:
    del file["video0/frame_numbers"]
    file["video0/frame_numbers"] = np.array([0])


def broken_metadata(file: Any) -> None:
    file["metadata"].attrs["json"] = np.bytes_('{"nodes": []}')


SLEAP: dict[str, tuple[Callable[[Any], None], str]] = {
    "no images": (no_images, r"holds no images; export it from SLEAP as a training package"),
    "no table of points": (remove("points"), r"no data set 'points'"),
    "broken metadata": (broken_metadata, r"metadata is not what SLEAP writes: KeyError"),
    "a frame that is not embedded": (
        set_field("frames", 2, "frame_idx", 77), r"frames, row 2: frame 77 of video 2 has no image",
    ),
    "instances that are not there": (
        set_field("frames", 2, "instance_id_end", 999), r"frames, row 2: instances \d+ to 999",
    ),
    "points that are not there": (
        set_field("instances", 1, "point_id_end", 999), r"instances, row 1: points 4 to 999",
    ),
    "a label outside": (
        set_field("points", 5, "x", 900), r"instances, row 1, ear_L: \(900, .* outside of its",
    ),
    "an image that is none": (no_picture, r"video0/0 is no readable image"),
    "other numbers of frames": (fewer_frames, r"video0: 3 images for 1 frame_numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", SLEAP)
def test_a_fault_in_a_package_is_named(name: str, tmp_path: Path) -> None:
    change, said = SLEAP[name]
    writers.write_sleap(tmp_path, labels())
    with h5py.File(tmp_path / "mice.pkg.slp", "r+") as file:
        change(file)
    with pytest.raises(DataError, match=said) as error:
        read_project(tmp_path)
    assert "mice.pkg.slp" in str(error.value)


def test_a_package_that_was_cut_off_is_named(tmp_path: Path) -> None:
    writers.write_sleap(tmp_path, labels())
    path = tmp_path / "mice.pkg.slp"
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(DataError, match=r"mice\.pkg\.slp"):
        read_project(tmp_path)


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    writers.write_lightning_pose(tmp_path, labels())
    (tmp_path / "labeled-data" / "vid 0" / "img000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"img000\.png is no readable image"):
        read_project(tmp_path)


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    writers.write_deeplabcut(tmp_path, labels())
    for text in ("bodyparts: [a", "- a\n- b\n", "!!python/object/apply:os.system [ls]"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(DataError, match=r"config\.yaml"):
            read_project(tmp_path)


def test_one_image_in_two_tables_is_named(tmp_path: Path) -> None:
    writers.write_deeplabcut(tmp_path, labels(), slash="/")
    first, second = sorted(tmp_path.glob("labeled-data/*/*.csv"))[:2]
    line = first.read_text().splitlines()[3]
    name = line.split(",")[0].rpartition("/")[2]
    Image.new("RGB", (48, 36)).save(second.parent / name)
    lines = second.read_text().splitlines()
    other = lines[3].split(",")[0].rpartition("/")[2]
    second.write_text("\n".join([*lines, lines[3].replace(other, name)]))
    assert len(read_project(tmp_path).labelled) == 11  # the same name in another folder is another
    (second.parent / name).unlink()
    with pytest.raises(
        DataError, match=re.escape(second.name) + r": line \d+: .* as well|no image"
    ):
        read_project(tmp_path)


def test_a_file_that_lies_somewhere_else_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no folder"):
        read_project(tmp_path / "gone")
