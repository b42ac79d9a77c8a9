"""COCO keypoints: one json of images, annotations and categories, and the images.

An annotation is an object; an image may show several. Keypoints are x, y and v: 0 is not labelled,
1 labelled and hidden, 2 seen. Annotations without keypoints and crowds are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.data.projects.formats.coco_masks import check_segmentation
from kpbench.data.projects.formats.frames_of_tables import check_labelled, with_labels
from kpbench.data.projects.project import (
    CENTRE,
    Choice,
    Faults,
    Project,
    beyond,
    chosen_file,
    folder_of,
    images_in,
    inner_path,
)
from kpbench.data.source import WITHIN, Rows
from kpbench.errors import DataError, InvalidInputError
from kpbench.files.contents import MEBI
from kpbench.files.image.sizes import image_sizes
from kpbench.files.tables import read_json

_FOLDERS = ("", "annotations/")
_PARTS = ("images", "annotations", "categories")
Table = Mapping[int, Mapping[str, Any]]


def is_one(root: Path) -> bool:
    """Tell whether a folder has a json of COCO."""
    return bool(_label_files(root))


def _label_files(root: Path) -> list[str]:
    paths = [path for folder in _FOLDERS for path in sorted((root / folder).glob("*.json"))]
    return [path.relative_to(root).as_posix() for path in paths if _looks_like_coco(path)]


def _looks_like_coco(path: Path) -> bool:
    """Tell by the beginning and the end, whatever the file's size."""
    try:
        with path.open("rb") as file:
            text = file.read(MEBI)
            file.seek(max(path.stat().st_size - MEBI, 0))
            text += file.read(MEBI)
    except OSError:
        return False
    return b'"images"' in text and (b'"annotations"' in text or b'"keypoints"' in text)


def read(root: Path, choice: Choice) -> Project:
    """Read a project.

    Raises:
        DataError: the json is not what its format says; names file, annotation and field.
        InvalidInputError: there are several files or categories and none was chosen.
    """
    path = root / chosen_file(root, _label_files(root), choice, "file of annotations")
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: should be an object with {', '.join(_PARTS)}")
    faults = Faults(path)
    images, annotations, categories = (_by_id(path, content, name, faults) for name in _PARTS)
    faults.check()
    category, names, edges = _category(path, categories, choice.category)
    files = _image_files(root, path, images)
    labelled = _labelled(root, path, images, files, annotations, category, names, choice)
    check_labelled(root, labelled, names)
    shown = set(labelled.files.tolist())
    others = [(i, name) for i, name in files.items() if name not in shown]
    return Project(
        format="coco",
        names=tuple(names),
        labelled=labelled,
        unlabelled=Rows(
            files=np.array([name for _, name in others], dtype=str),
            groups=np.array([_video(images[i], name) for i, name in others], dtype=str),
        ),
        edges=tuple(edges),
    )


def _by_id(path: Path, content: Mapping[str, Any], name: str, faults: Faults) -> Table:
    rows = content.get(name)
    if not isinstance(rows, list):
        raise DataError(f"{path}: has no list {name!r}")
    found: dict[int, Mapping[str, Any]] = {}
    for place, row in enumerate(rows, 1):
        where = f"{name}, row {place}"
        number = row.get("id") if isinstance(row, dict) else None
        if type(number) is not int:
            faults.add(where, "has no whole number as id")
        elif number in found:
            faults.add(where, f"has the id {number} of an earlier one")
        else:
            found[number] = row
    return found


def _category(
    path: Path, categories: Table, wanted: str
) -> tuple[int, list[str], list[tuple[str, str]]]:
    """Return id, names of the keypoints and edges of the category that is read."""
    having = {i: row for i, row in categories.items() if row.get("keypoints")}
    called = {str(row.get("name", i)): i for i, row in having.items()}
    if not called:
        raise DataError(f"{path}: no category names keypoints")
    if wanted and wanted not in called:
        raise InvalidInputError(
            f"{path}: no category {wanted!r} with keypoints; there are: {', '.join(called)}"
        )
    if not wanted and len(called) > 1:
        raise InvalidInputError(
            f"{path}: several categories have keypoints: {', '.join(called)}; choose one, e.g. "
            f"--category {next(iter(called))}"
        )
    number = called[wanted or next(iter(called))]
    names, where = having[number]["keypoints"], f"{path}: category {number}"
    texts = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if not texts or len(set(names)) < len(names):
        raise DataError(f"{where}: keypoints should be different names")
    skeleton = having[number].get("skeleton") or []
    if not isinstance(skeleton, list) or not all(_is_edge(edge, len(names)) for edge in skeleton):
        raise DataError(f"{where}: skeleton should be pairs of numbers from 1 to {len(names)}")
    return number, list(names), [(names[a - 1], names[b - 1]) for a, b in skeleton]


def _is_edge(edge: Any, count: int) -> bool:
    whole = isinstance(edge, list) and len(edge) == 2 and all(type(i) is int for i in edge)
    return whole and all(1 <= i <= count for i in edge)


def _image_files(root: Path, path: Path, images: Table) -> dict[int, str]:
    """Return image id -> file relative to `root`."""
    faults = Faults(path)
    near = path.parent.relative_to(root).as_posix()
    places = list(dict.fromkeys(["", f"{near}/", "images/", f"{path.stem}/"]))
    by_name: dict[str, list[str]] = {}
    for name in images_in(root):
        by_name.setdefault(name.rpartition("/")[2], []).append(name)
    found = {}
    for number, row in images.items():
        where = f"image {number}, file_name"
        try:
            written = inner_path(str(row.get("file_name") or ""))
        except ValueError as error:
            faults.add(where, str(error))
            continue
        options = [inner_path(place + written) for place in places]
        there = [option for option in options if (root / option).is_file()]
        there = there[:1] or by_name.get(written.rpartition("/")[2], [])
        if len(there) != 1:
            faults.add(where, f"there {'are several images' if there else 'is no image'} {written}")
        else:
            found[number] = there[0]
    faults.check()
    return found


def _video(image: Mapping[str, Any], file: str) -> str:
    number = image.get("video_id")
    return folder_of(file) if number is None else f"video {number}"


def _labelled(
    root: Path, path: Path, images: Table, files: Mapping[int, str], annotations: Table,
    category: int, names: Sequence[str], choice: Choice,
) -> Rows:  # fmt: skip
    faults = Faults(path)
    chosen = {}
    for number, row in annotations.items():
        if row.get("image_id") not in files:
            faults.add(f"annotation {number}, image_id", f"no image {row.get('image_id')!r}")
        elif row.get("category_id") == category and row.get("keypoints") and not row.get("iscrowd"):
            chosen[number] = row
        elif "category_id" not in row:
            faults.add(f"annotation {number}, category_id", "is missing")
    faults.check()
    numbers = sorted(files)
    sizes = dict(zip(numbers, image_sizes([root / files[i] for i in numbers]), strict=True))
    for i in sorted({int(row["image_id"]) for row in chosen.values()}):
        stated = (images[i].get("width"), images[i].get("height"))
        if stated != (None, None) and stated != tuple(sizes[i]):
            faults.add(
                f"image {i}", f"says {stated[0]} x {stated[1]} pixels, {files[i]} has "
                f"{sizes[i][0]} x {sizes[i][1]}",
            )  # fmt: skip
    points = [_points(faults, i, row, names, sizes, choice.occluded) for i, row in chosen.items()]
    boxes = [_box(faults, i, row.get("bbox")) for i, row in chosen.items()]
    masked = all(row.get("segmentation") for row in chosen.values())
    for i, row in chosen.items():
        if masked and (fault := check_segmentation(row["segmentation"], sizes[row["image_id"]])):
            faults.add(f"annotation {i}, segmentation", fault)
        elif masked and not {"width", "height"} <= images[row["image_id"]].keys():
            faults.add(f"image {row['image_id']}", "has outlines, so it needs width and height")
    faults.check()
    shown = [int(row["image_id"]) for row in chosen.values()]
    inner = path.relative_to(root).as_posix()
    rows = with_labels(
        np.array([files[i] for i in shown], dtype=str),
        np.array(points).reshape(-1, len(names), 2),
        np.array([_video(images[i], files[i]) for i in shown], dtype=str),
        boxes=None if any(box is None for box in boxes) else np.array(boxes, float),
        masks=np.array([f"{inner}{WITHIN}{i}" for i in chosen], dtype=str) if masked else None,
    )
    return rows


def _points(
    faults: Faults, number: int, row: Mapping[str, Any], names: Sequence[str],
    sizes: Mapping[int, Any], occluded: str,
) -> np.ndarray:  # fmt: skip
    """Return (L, 2) in pixels from the image's edge, NaN where not labelled."""
    where, listed = f"annotation {number}, keypoints", row["keypoints"]
    missing = np.full((len(names), 2), np.nan)
    if not isinstance(listed, list) or len(listed) % 3:
        faults.add(where, "should be a list of x, y, v: its length is no multiple of 3")
        return missing
    if len(listed) != 3 * len(names):
        faults.add(where, f"{len(listed) // 3} keypoints, the category names {len(names)}")
        return missing
    if not all(_is_number(value) for value in listed):
        faults.add(where, "holds something else than numbers")
        return missing
    table = np.array(listed, np.float64).reshape(-1, 3)
    for i in np.flatnonzero(~np.isin(table[:, 2], (0, 1, 2))).tolist():
        faults.add(f"{where}, {names[i]}", f"visibility {table[i, 2]:g} is none of 0, 1, 2")
    seen = table[:, 2] >= (1 if occluded == "seen" else 2)
    width, height = sizes[row["image_id"]]
    for i in np.flatnonzero(seen & beyond(table[:, :2], (width, height))).tolist():
        x, y = table[i, :2]
        faults.add(
            f"{where}, {names[i]}",
            f"({x:g}, {y:g}) lies outside of the image, {width} x {height} pixels",
        )
    return np.where(seen[:, None], table[:, :2] + CENTRE, np.nan)


def _box(faults: Faults, number: int, box: Any) -> tuple[float, float, float, float] | None:
    """Return left, top, right and bottom, or None where there is no box."""
    if box is None:
        return None
    numbers = isinstance(box, list) and len(box) == 4 and all(_is_number(value) for value in box)
    if not numbers or not (box[2] > 0 and box[3] > 0):
        faults.add(f"annotation {number}, bbox", f"{box} is no x, y, width and height")
        return None
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
