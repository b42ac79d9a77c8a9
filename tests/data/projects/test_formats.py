"""Projects of the four formats: what is written is read, whatever the format."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpbench.data.projects.formats.coco_masks import read_mask
from kpbench.data.projects.project import Choice, Project
from kpbench.data.projects.read import FORMATS, format_of, read_project
from kpbench.data.projects.rules import likely_pairs
from kpbench.data.projects.source import ProjectSource
from kpbench.data.sample import read_sample
from kpbench.errors import DataError, InvalidInputError, UnknownNameError
from tests.data.projects import writers
from tests.data.projects.writers import EDGES, NAMES, WRITERS, Labels, labels

pytest.importorskip("h5py")


def by_image(root: Path, project: Project) -> dict[bytes, np.ndarray]:
    """Return the labels of each image, by its pixels, in pixels from the centre of the first."""
    rows, found = project.labelled, {}
    assert rows.landmarks is not None and rows.visible is not None
    for i, name in enumerate(rows.files):
        pixels = np.asarray(ProjectSource().picture(root, str(name))[0].convert("RGB"))
        points = np.where(rows.visible[i, :, None], rows.landmarks[i] - 0.5, np.nan)
        found[pixels.tobytes()] = points
    return found


def check(root: Path, project: Project, data: Labels) -> None:
    found = by_image(root, project)
    assert set(found) == {data.images[i].tobytes() for i in data.labelled}
    for i in data.labelled:
        order = [project.names.index(name) for name in NAMES]
        np.testing.assert_allclose(
            found[data.images[i].tobytes()][order], data.points[i], atol=1e-9
        )
    assert len(project.unlabelled) == 2
    assert project.labelled.groups is not None
    assert len(set(project.labelled.groups)) == len({data.videos[i] for i in data.labelled})


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    data = labels()
    WRITERS[name](tmp_path, data)
    assert format_of(tmp_path) == name
    project = read_project(tmp_path)
    assert project.format == name
    assert set(project.names) == set(NAMES)
    check(tmp_path, project, data)
    if name != "lightning_pose":  # which keeps none
        assert set(project.edges) == set(EDGES)
    assert set(likely_pairs(project)) == {("ear_L", "ear_R")}


def test_paths_may_have_three_cells_and_either_slash(tmp_path: Path) -> None:
    data = labels()
    for place, (parts, slash) in enumerate([(3, "/"), (1, "/"), (1, "\\")]):
        root = tmp_path / str(place)
        writers.write_deeplabcut(root, data, parts=parts, slash=slash)
        check(root, read_project(root), data)


def test_a_folder_may_have_got_another_name_since_it_was_labelled(tmp_path: Path) -> None:
    data = labels()
    writers.write_deeplabcut(tmp_path, data)
    (tmp_path / "labeled-data" / "vid 0").rename(tmp_path / "labeled-data" / "mouse 0")
    check(tmp_path, read_project(tmp_path), data)


def test_predictions_and_drawn_labels_are_never_read(tmp_path: Path) -> None:
    data = labels()
    writers.write_deeplabcut(tmp_path, data)
    folder = tmp_path / "labeled-data" / "vid 0"
    (folder / "machinelabels.csv").write_text("nothing of it can be read")
    (folder / "machinelabels-iter0.h5").write_bytes(b"nor of it")
    drawn = tmp_path / "labeled-data" / "vid 0_labeled"
    drawn.mkdir()
    (folder / "img000.png").rename(drawn / "img900.png")
    (drawn / "img900.png").rename(folder / "img000.png")
    (drawn / "img000.png").write_bytes((folder / "img000.png").read_bytes())
    (drawn / "CollectedData_ann.csv").write_text("nor of it")
    check(tmp_path, read_project(tmp_path), data)


def test_of_several_scorers_one_is_chosen(tmp_path: Path) -> None:
    data, other = labels(), labels(seed=0)
    other = Labels(data.images, data.points + 1, data.videos)
    writers.write_deeplabcut(tmp_path, data, scorer="ann")
    writers.write_deeplabcut(tmp_path, other, scorer="bob")
    with pytest.raises(InvalidInputError, match=r"several scorers: ann \(4 videos\), bob"):
        read_project(tmp_path)
    with pytest.raises(InvalidInputError, match="nobody called 'eve'"):
        read_project(tmp_path, choice=Choice(labels="eve"))
    check(tmp_path, read_project(tmp_path, choice=Choice(labels="bob")), other)


def several(text: str) -> str:
    """Return a table with the labels of two animals side by side; those of the second are +1."""
    lines = [line.split(",") for line in text.splitlines()]
    out = [lines[0][:1] + 2 * lines[0][1:]]
    n = len(lines[0]) - 1
    out.append(["individuals", *["m1"] * n, *["m2"] * n])
    out += [line[:1] + 2 * line[1:] for line in lines[1:3]]
    out += [line + [cell and str(float(cell) + 1) for cell in line[1:]] for line in lines[3:]]
    return "\n".join(map(",".join, out))


def test_one_of_several_animals_is_chosen(tmp_path: Path) -> None:
    data = labels()
    writers.write_deeplabcut(tmp_path, data)
    for path in tmp_path.glob("labeled-data/*/*.csv"):
        path.write_text(several(path.read_text()))
    with pytest.raises(DataError, match="several individuals: m1, m2; choose one"):
        read_project(tmp_path)
    moved = Labels(data.images, data.points + 1, data.videos)
    check(tmp_path, read_project(tmp_path, choice=Choice(individual="m2")), moved)


def write_pandas(path: Path, data: Labels, rows: list[int], files: list[str]) -> None:
    """Write a table as pandas does in its fixed form, from its description."""
    import h5py

    header = [("ann", name, axis) for name in NAMES for axis in "xy"]
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        for level in range(3):
            texts = sorted({column[level] for column in header})
            group[f"axis0_level{level}"] = np.array([text.encode() for text in texts])
            group[f"axis0_label{level}"] = np.array(
                [texts.index(column[level]) for column in header], np.int8
            )
        group["axis1"] = np.array([files[i].encode() for i in rows])
        group["block0_values"] = data.points[rows].reshape(len(rows), -1)


def test_labels_in_hdf5_say_what_the_csv_says(tmp_path: Path) -> None:
    data = labels()
    writers.write_deeplabcut(tmp_path, data)
    for path in tmp_path.glob("labeled-data/*/*.csv"):
        rows = [i for i in data.labelled if data.videos[i] == path.parent.name]
        files = [f"labeled-data\\{v}\\{f}" for v, f in zip(data.videos, data.files, strict=True)]
        write_pandas(path.with_suffix(".h5"), data, rows, files)
        path.unlink()
    check(tmp_path, read_project(tmp_path), data)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("format_id", [1.0, 1.2, 1.4])
def test_packages_of_sleap_of_any_age(padded: bool, format_id: float, tmp_path: Path) -> None:
    data = labels()
    writers.write_sleap(tmp_path, data, format_id=format_id, padded=padded)
    project = read_project(tmp_path)
    check(tmp_path, project, data)
    assert project.names == NAMES  # the order of the skeleton, not that of the list
    assert project.pairs == (("ear_L", "ear_R"),)
    assert project.labelled.groups is not None
    assert not any("/home/me" in str(group) for group in project.labelled.groups)


def test_a_hidden_keypoint_counts_as_asked(tmp_path: Path) -> None:
    data = labels()
    writers.write_coco(tmp_path, data)
    path = tmp_path / "annotations" / "mice.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["keypoints"][2] = 1
    path.write_text(json.dumps(content))
    check(tmp_path, read_project(tmp_path), data)
    missing = read_project(tmp_path, choice=Choice(occluded="missing")).labelled
    assert missing.visible is not None
    assert int(missing.visible.sum()) == int(np.isfinite(data.points).all(-1).sum()) - 1


@pytest.mark.parametrize("text", [False, True])
def test_outlines_are_the_same_however_they_are_written(text: bool, tmp_path: Path) -> None:
    writers.write_coco(tmp_path, labels())
    path = tmp_path / "annotations" / "mice.json"
    content = json.loads(path.read_text())
    for row in content["annotations"]:
        if text and isinstance(row["segmentation"], dict):
            row["segmentation"]["counts"] = writers.as_text(row["segmentation"]["counts"])
    path.write_text(json.dumps(content))
    expected = np.zeros((writers.HEIGHT, writers.WIDTH), np.uint8)
    expected[4:20, 4:24] = 255
    rows = read_project(tmp_path).labelled
    assert rows.masks is not None
    for row in content["annotations"]:
        mask = np.asarray(read_mask(path, row["id"])[0])
        edge = np.abs(mask.astype(int) - expected).sum() / 255
        assert edge == 0 if isinstance(row["segmentation"], dict) else edge <= 2 * (20 + 16) + 4


def test_several_people_of_an_image_are_several_rows(tmp_path: Path) -> None:
    data = labels()
    writers.write_coco(tmp_path, data)
    path = tmp_path / "annotations" / "mice.json"
    content = json.loads(path.read_text())
    twin: dict[str, Any] = {**content["annotations"][0], "id": 999, "bbox": [1, 1, 9, 9]}
    content["annotations"].append(twin)
    path.write_text(json.dumps(content))
    project = read_project(tmp_path)
    assert len(project.labelled) == len(data.labelled) + 1
    with pytest.raises(InvalidInputError, match="shows 2 labelled objects"):
        ProjectSource().rows(tmp_path, "test")
    rows = ProjectSource(crop="box").rows(tmp_path, "discovery")
    assert rows.boxes is not None
    sample = read_sample(tmp_path, ProjectSource(crop="box"), rows, 0, 16)
    assert sample.mask is not None and sample.mask.any()


def test_two_formats_in_a_folder_are_told(tmp_path: Path) -> None:
    writers.write_lightning_pose(tmp_path, labels())
    writers.write_sleap(tmp_path, labels())
    with pytest.raises(InvalidInputError, match="several formats: lightning_pose, sleap"):
        read_project(tmp_path)
    assert read_project(tmp_path, "sleap").format == "sleap"
    with pytest.raises(UnknownNameError, match="no format called 'slaep'; did you mean sleap"):
        read_project(tmp_path, "slaep")


def test_a_folder_of_nothing_is_told_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as error:
        read_project(tmp_path)
    assert all(name in str(error.value) for name in FORMATS)


@pytest.mark.parametrize("dataset", ["lips", "mirror_mouse"])
def test_a_public_project_is_read(dataset: str) -> None:
    root = os.environ.get(f"KPBENCH_DATA_{dataset.upper()}")
    if not root:
        pytest.skip(f"KPBENCH_DATA_{dataset.upper()} names no folder")
    project = read_project(Path(root))
    assert project.labelled.visible is not None
    wanted = {"lips": (707, 8, 1), "mirror_mouse": (90, 17, 134)}[dataset]
    missing = int((~project.labelled.visible).sum())
    assert (len(project.labelled), len(project.names), missing) == wanted
