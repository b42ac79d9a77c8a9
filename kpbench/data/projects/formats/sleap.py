"""Packages of SLEAP (.pkg.slp): labels and the images that they belong to in one HDF5 file.

`metadata` has an attribute `json` (nodes, skeletons); `frames`, `instances` and `points` are tables
that refer to one another by row; `video<i>/video` holds encoded images and `video<i>/frame_numbers`
which frames they are. Predicted instances are never labels. Frames without a label (suggestions)
are unlabelled images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import Array
from kpbench.data.projects.formats.frames_of_tables import check_labelled, with_labels
from kpbench.data.projects.project import CENTRE, Choice, Faults, Project, beyond, chosen_file
from kpbench.data.source import WITHIN, Rows
from kpbench.errors import DataError
from kpbench.files.hdf5 import (
    count_h5_files,
    names_in,
    read_h5,
    read_h5_file,
    read_h5_number,
    read_h5_table,
    read_h5_text,
)
from kpbench.files.image.reading import decoded

if TYPE_CHECKING:
    from PIL.Image import Image

ORDERED = 1.4
"""From this `format_id` on an attribute tells if red and blue are exchanged; before, they are."""
CENTRED = 1.1
"""From this `format_id` on, whole numbers are the centres of pixels; before, their upper left."""
_USER = 0
_TABLES = {
    "frames": ("video", "frame_idx", "instance_id_start", "instance_id_end"),
    "instances": ("instance_type", "skeleton", "point_id_start", "point_id_end"),
    "points": ("x", "y", "visible"),
}


def is_one(root: Path) -> bool:
    """Tell whether a folder has a package of SLEAP."""
    return any(root.glob("*.slp"))


def read(root: Path, choice: Choice) -> Project:
    """Read a package.

    Raises:
        MissingPackageError: h5py is not installed.
        DataError: the file is not what its format says; names it and what in it.
        InvalidInputError: there are several packages and none was chosen.
    """
    known = [path.name for path in sorted(root.glob("*.slp"))]
    path = root / chosen_file(root, known, choice, "package")
    names, edges, pairs = _skeleton(path)
    embedded = _embedded(path)
    rows = _labelled(path, root, embedded, names)
    check_labelled(root, rows, names)
    known_files = set(rows.files.tolist())
    others = [(name, one.title) for one in embedded.values() for name in one.names(path, root)
              if name not in known_files]  # fmt: skip
    return Project(
        format="sleap",
        names=tuple(names),
        labelled=rows,
        unlabelled=Rows(
            files=np.array([name for name, _ in others], dtype=str),
            groups=np.array([title for _, title in others], dtype=str),
        ),
        edges=edges,
        pairs=pairs,
    )


@dataclass(frozen=True)
class _Embedded:
    """The images of one video: its name, their data set, and frame -> row."""

    title: str
    group: str
    rows: Mapping[int, int]

    def names(self, path: Path, root: Path) -> list[str]:
        return [self.name(path, root, frame) for frame in self.rows]

    def name(self, path: Path, root: Path, frame: int) -> str:
        inner = path.relative_to(root).as_posix()
        return f"{inner}{WITHIN}{self.group}/{self.rows[frame]}"


def _embedded(path: Path) -> dict[int, _Embedded]:
    """Return video -> its images."""
    known = names_in(path)
    groups = [name.removesuffix("/video") for name in known if name.endswith("/video")]
    found = {}
    for group in groups:
        number = group.removeprefix("video")
        if not number.isdecimal():
            continue
        count = count_h5_files(path, f"{group}/video")
        frames: Array = np.arange(count)
        if f"{group}/frame_numbers" in known:
            frames = read_h5(path, f"{group}/frame_numbers")[f"{group}/frame_numbers"]
        if len(frames) != count or len(np.unique(frames)) != count:
            raise DataError(f"{path}: {group}: {count} images for {len(frames)} frame_numbers")
        rows = {int(frame): row for row, frame in enumerate(frames)}
        found[int(number)] = _Embedded(_title(path, group), group, rows)
    if not any(one.rows for one in found.values()):
        raise DataError(
            f"{path}: holds no images; export it from SLEAP as a training package (.pkg.slp)"
        )
    return found


def _title(path: Path, group: str) -> str:
    """Return the name of the video that images are from, without its folder."""
    try:
        about = json.loads(read_h5_text(path, f"{group}/source_video", "json") or "{}")
        kept = about.get("backend", {}).get("filename") or about.get("filename")
        name = str(kept[0] if isinstance(kept, list) else kept).replace("\\", "/")
        return f"{group} {name.rpartition('/')[2]}"
    except (DataError, ValueError, AttributeError, IndexError, TypeError):
        return group


def _skeleton(
    path: Path,
) -> tuple[list[str], tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Return names of the landmarks, edges, and pairs of mirror images."""
    try:
        about = json.loads(read_h5_text(path, "metadata", "json") or "{}")
        skeletons = about["skeletons"]
        if len(skeletons) != 1:
            raise DataError(f"{path}: {len(skeletons)} skeletons; packages of one are read")
        every = [str(node["name"]) for node in about["nodes"]]
        numbers = [int(node["id"]) for node in skeletons[0]["nodes"]]
        names = [every[i] for i in numbers]
        links = [(every[link["source"]], every[link["target"]]) for link in skeletons[0]["links"]]
        kinds = _kinds([link.get("type") for link in skeletons[0]["links"]])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: metadata is not what SLEAP writes: {type(error).__name__}: {error}"
        ) from None
    if len(set(names)) < len(names) or not names:
        raise DataError(f"{path}: the skeleton should have nodes of different names")
    edges = [link for link, kind in zip(links, kinds, strict=True) if kind == 1]
    mirrored = {tuple(sorted(k)) for k, kind in zip(links, kinds, strict=True) if kind == 2}
    return names, tuple(edges), tuple(sorted((a, b) for a, b in mirrored))


def _kinds(types: Sequence[Any]) -> list[int]:
    """Return 1 for edges of the body, 2 for symmetries.

    The first link of a kind spells it out, later ones refer to it by when it first appeared.
    """
    spelt: list[int] = []
    kinds = []
    for kind in types:
        if kind is None:
            kinds.append(1)
        elif "py/reduce" in kind:
            spelt.append(int(kind["py/reduce"][1]["py/tuple"][0]))
            kinds.append(spelt[-1])
        else:
            number = int(kind["py/id"])
            kinds.append(spelt[number - 1] if number <= len(spelt) else number)
    return kinds


def _labelled(
    path: Path, root: Path, embedded: Mapping[int, _Embedded], names: Sequence[str]
) -> Rows:
    tables = _tables(path)
    shift = CENTRE if (read_h5_number(path, "metadata", "format_id") or 1.0) >= CENTRED else 0.0
    faults = Faults(path)
    files: list[str] = []
    points: list[Array] = []
    groups: list[str] = []
    sizes: dict[str, tuple[int, int]] = {}
    for place, frame in enumerate(tables["frames"]):
        first, last = int(frame["instance_id_start"]), int(frame["instance_id_end"])
        own = tables["instances"][first:last]
        if not 0 <= first <= last <= len(tables["instances"]):
            faults.add(f"frames, row {place}", f"instances {first} to {last} are not there")
            continue
        video = embedded.get(int(frame["video"]))
        for i, instance in enumerate(own, first):
            if int(instance["instance_type"]) != _USER:
                continue
            if video is None or int(frame["frame_idx"]) not in video.rows:
                faults.add(
                    f"frames, row {place}",
                    f"frame {frame['frame_idx']} of video {frame['video']} has no image in it",
                )
                break
            placed = _points(tables["points"], instance, len(names), f"instances, row {i}", faults)
            name = video.name(path, root, int(frame["frame_idx"]))
            if name not in sizes:
                sizes[name] = size_within(path, name.partition(WITHIN)[2])
            for landmark in np.flatnonzero(beyond(np.nan_to_num(placed), sizes[name])).tolist():
                x, y = placed[landmark]
                faults.add(
                    f"instances, row {i}, {names[landmark]}",
                    f"({x:g}, {y:g}) lies outside of its image, {sizes[name]} pixels",
                )
            files.append(name)
            points.append(placed + shift)
            groups.append(video.title)
    faults.check()
    landmarks = np.array(points).reshape(-1, len(names), 2)
    return with_labels(np.array(files, dtype=str), landmarks, np.array(groups, dtype=str))


def _points(table: Array, instance: Any, count: int, where: str, faults: Faults) -> Array:
    first, last = int(instance["point_id_start"]), int(instance["point_id_end"])
    if not 0 <= first <= last <= len(table) or last - first != count:
        faults.add(where, f"points {first} to {last} are not the {count} of the skeleton")
        return np.full((count, 2), np.nan)
    own = table[first:last]
    placed = np.stack([own["x"], own["y"]], -1).astype(np.float64)
    seen = own["visible"].astype(bool) & np.isfinite(placed).all(-1)
    return np.where(seen[:, None], placed, np.nan)


def _tables(path: Path) -> dict[str, Array]:
    tables = {name: read_h5_table(path, name) for name in _TABLES}
    for name, wanted in _TABLES.items():
        lacks = set(wanted) - set(tables[name].dtype.names or ())
        if lacks or tables[name].ndim != 1:
            raise DataError(f"{path}: {name} has no column {', '.join(sorted(lacks)) or 'at all'}")
    return tables


def picture_of(path: Path, key: str) -> tuple[Image, bytes]:
    """Return an image of a package, and its encoded bytes; OpenCV wrote RGB as if it were BGR.

    Raises:
        DataError: there is no such image, or it cannot be decoded.
    """
    data = bytes_within(path, key)
    image = decoded(data, f"{path}: {key}")
    group = key.rpartition("/")[0]
    order = read_h5_text(path, f"{group}/video", "channel_order")
    if order is None:
        order = "BGR" if (read_h5_number(path, "metadata", "format_id") or 1.0) < ORDERED else "RGB"
    if order == "BGR" and image.mode == "RGB":
        from PIL import Image

        return Image.merge("RGB", image.split()[::-1]), data
    return image, data


def size_within(path: Path, key: str) -> tuple[int, int]:
    """Return width and height of an image of a package, which is not decoded.

    Raises:
        DataError: there is no such image.
    """
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(bytes_within(path, key))) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: {key} is no readable image: {error}") from error


def bytes_within(path: Path, key: str) -> bytes:
    """Return an encoded image of a package.

    Args:
        path: the package.
        key: "video0/12": row 12 of video 0.

    Raises:
        DataError: there is no such image.
    """
    group, _, row = key.rpartition("/")
    if not row.isdecimal():
        raise DataError(f"{path}: no image {key!r}")
    return read_h5_file(path, f"{group}/video", int(row))
