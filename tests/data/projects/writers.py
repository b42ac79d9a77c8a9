"""Labelled projects written by hand in the four formats, all with the same images and labels."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kpbench.api import Array

NAMES = ("nose", "ear_L", "ear_R", "tail")
WIDTH, HEIGHT = 48, 36
EDGES = (("nose", "ear_L"), ("nose", "ear_R"), ("ear_L", "tail"))


@dataclass(frozen=True)
class Labels:
    """What is labelled.

    Attributes:
        images: (N, H, W, 3) uint8; the last two have no label.
        points: (N, L, 2) in pixels, whole numbers the centres of pixels; NaN where not labelled.
        videos: (N,) names.
    """

    images: Array
    points: Array
    videos: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """Names of the images inside of their video's folder."""
        return [f"img{i:03d}.png" for i in range(len(self.images))]

    @property
    def labelled(self) -> list[int]:
        """Which images have a label."""
        return [i for i in range(len(self.images)) if np.isfinite(self.points[i]).any()]


def labels(n: int = 12, *, videos: int = 4, seed: int = 0) -> Labels:
    """Return n images of noise with labels; one landmark is missing in one of them."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (n, HEIGHT, WIDTH, 3), np.uint8)
    points = draw.uniform((2, 2), (WIDTH - 3, HEIGHT - 3), (n, len(NAMES), 2)).round(2)
    points[1, 3] = np.nan
    points[-2:] = np.nan
    return Labels(images, points, tuple(f"vid {i % videos}" for i in range(n)))


def write_images(root: Path, data: Labels, folder: str = "labeled-data") -> list[str]:
    """Write the images into a folder a video; return their files relative to `root`."""
    found = []
    for pixels, video, file in zip(data.images, data.videos, data.files, strict=True):
        path = root / folder / video / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        found.append(path.relative_to(root).as_posix())
    return found


def table(
    data: Labels, rows: Sequence[int], paths: Mapping[int, Sequence[str]], scorer: str = "ann"
) -> str:
    """Return a table of three header rows; each path is given as its cells."""
    depth = len(next(iter(paths.values())))
    blank = [""] * (depth - 1)
    columns = [(name, axis) for name in NAMES for axis in "xy"]
    lines = [
        ["scorer", *blank, *(scorer for _ in columns)],
        ["bodyparts", *blank, *(name for name, _ in columns)],
        ["coords", *blank, *(axis for _, axis in columns)],
    ]
    for i in rows:
        cells = ["" if np.isnan(v) else f"{v:.2f}" for v in data.points[i].ravel()]
        lines.append([*paths[i], *cells])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def write_deeplabcut(
    root: Path, data: Labels, *, parts: int = 1, slash: str = "\\", scorer: str = "ann"
) -> None:
    """Write a project of DeepLabCut; paths have one part or three."""
    write_images(root, data)
    for video in sorted(set(data.videos)):
        rows = [i for i in data.labelled if data.videos[i] == video]
        cells = {i: ["labeled-data", video, data.files[i]] for i in rows}
        paths = {i: c if parts == 3 else [slash.join(c)] for i, c in cells.items()}
        if rows:
            text = table(data, rows, paths, scorer)
            (root / "labeled-data" / video / f"CollectedData_{scorer}.csv").write_text(text)
    skeleton = "".join(f"- - {a}\n  - {b}\n" for a, b in EDGES)
    (root / "config.yaml").write_text(
        f"Task: test\nscorer: {scorer}\nbodyparts:\n"
        + "".join(f"- {name}\n" for name in NAMES)
        + f"skeleton:\n{skeleton}"
    )


def write_lightning_pose(root: Path, data: Labels) -> None:
    """Write a project of Lightning Pose."""
    files = write_images(root, data)
    rows = data.labelled
    (root / "CollectedData.csv").write_text(table(data, rows, {i: [files[i]] for i in rows}))


def coco(data: Labels, files: Sequence[str]) -> dict[str, Any]:
    """Return COCO's json: whole boxes, and outlines as polygons and as run lengths."""
    annotations = []
    for i in data.labelled:
        points = data.points[i]
        seen = np.isfinite(points).all(1)
        keypoints = [
            value
            for (x, y), there in zip(np.nan_to_num(points).tolist(), seen, strict=True)
            for value in ([x, y, 2] if there else [0, 0, 0])
        ]
        polygon = [[4.0, 4.0, 24.0, 4.0, 24.0, 20.0, 4.0, 20.0]]
        annotations.append(
            {
                "id": 100 + i,
                "image_id": i,
                "category_id": 7,
                "keypoints": keypoints,
                "num_keypoints": int(seen.sum()),
                "bbox": [4.0, 4.0, 30.0, 20.0],
                "segmentation": polygon if i % 2 else {"size": [HEIGHT, WIDTH], "counts": runs()},
            }
        )
    edges = [[NAMES.index(a) + 1, NAMES.index(b) + 1] for a, b in EDGES]
    return {
        "images": [
            {"id": i, "file_name": file, "width": WIDTH, "height": HEIGHT}
            for i, file in enumerate(files)
        ],
        "annotations": annotations,
        "categories": [
            {"id": 7, "name": "mouse", "keypoints": list(NAMES), "skeleton": edges},
            {"id": 9, "name": "cage"},
        ],
    }


def runs() -> list[int]:
    """Return the run lengths of a box from (4, 4) to (24, 20), column by column."""
    first, inside, gap = 4 * HEIGHT + 4, 16, HEIGHT - 16
    found = [first, inside, *([gap, inside] * 19)]
    return [*found, WIDTH * HEIGHT - sum(found)]


def as_text(counts: Sequence[int]) -> str:
    """Return run lengths as COCO's text."""
    text = ""
    for i, run in enumerate(counts):
        value = run - counts[i - 2] if i > 2 else run
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
            if not more:
                break
    return text


def write_coco(root: Path, data: Labels) -> None:
    """Write a project of COCO."""
    files = write_images(root, data, "images")
    inner = [file.removeprefix("images/") for file in files]
    (root / "annotations").mkdir()
    (root / "annotations" / "mice.json").write_text(json.dumps(coco(data, inner)))


def write_sleap(root: Path, data: Labels, *, format_id: float = 1.2, padded: bool = False) -> None:
    """Write a package of SLEAP, encoded images as rows of any length or of one length."""
    import h5py

    root.mkdir(parents=True, exist_ok=True)
    shift = 0.0 if format_id >= 1.1 else 0.5
    videos = sorted(set(data.videos))
    frames: list[tuple[int, ...]] = []
    instances: list[tuple[float, ...]] = []
    points: list[tuple[float, float, bool, bool]] = []
    for i in data.labelled:
        start = len(instances)
        for kind in (1, 0):  # a prediction beside each label
            instances.append(
                (len(instances), kind, len(frames), 0, -1, -1, 0.0, len(points),
                 len(points) + len(NAMES), 0.0)
            )  # fmt: skip
            for x, y in data.points[i] + (shift if kind == 0 else 3.0):
                points.append((x, y, bool(np.isfinite(x)), False))
        frames.append((len(frames), videos.index(data.videos[i]), i, start, len(instances)))
    with h5py.File(root / "mice.pkg.slp", "w") as file:
        meta = file.create_group("metadata")
        meta.attrs["format_id"] = format_id
        meta.attrs["json"] = np.bytes_(json.dumps(_skeleton()))
        file["videos_json"] = np.array([b"{}"] * len(videos))
        file["frames"] = np.array(
            frames,
            [("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"),
             ("instance_id_start", "u8"), ("instance_id_end", "u8")],
        )  # fmt: skip
        file["instances"] = np.array(
            instances,
            [("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"),
             ("skeleton", "u4"), ("track", "i4"), ("from_predicted", "i8"), ("score", "f4"),
             ("point_id_start", "u8"), ("point_id_end", "u8"), ("tracking_score", "f4")],
        )  # fmt: skip
        kinds = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
        file["points"] = np.array(points, kinds)
        for number, video in enumerate(videos):
            rows = [i for i in range(len(data.images)) if data.videos[i] == video]
            swapped = format_id < 1.4  # as OpenCV wrote them
            encoded = [_png(data.images[i][..., :: -1 if swapped else 1]) for i in rows]
            group = file.create_group(f"video{number}")
            group["frame_numbers"] = np.array(rows)
            source = group.create_group("source_video")
            source.attrs["json"] = np.bytes_(json.dumps({"filename": f"/home/me/{video}.mp4"}))
            _write_rows(group, encoded, padded)


def _write_rows(group: Any, encoded: Sequence[Array], padded: bool) -> None:
    import h5py

    if padded:
        longest = max(map(len, encoded))
        data = np.stack([np.pad(row, (0, longest - len(row))) for row in encoded])
        group.create_dataset("video", data=data, compression="gzip", chunks=(1, longest))
        return
    kind = h5py.special_dtype(vlen=np.dtype("int8"))
    rows = group.create_dataset("video", (len(encoded),), dtype=kind)
    for i, row in enumerate(encoded):
        rows[i] = row
    rows.attrs["format"] = "png"


def _png(pixels: Array) -> Array:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return np.frombuffer(buffer.getvalue(), np.int8)


def _skeleton() -> dict[str, Any]:
    """Return SLEAP's metadata; its nodes are listed in another order than the skeleton's."""
    listed = sorted(NAMES)

    def link(a: str, b: str, kind: dict[str, Any]) -> dict[str, Any]:
        return {"source": listed.index(a), "target": listed.index(b), "key": 0, "type": kind}

    def spelt(number: int) -> dict[str, Any]:
        named = {"py/type": "sleap.skeleton.EdgeType"}
        return {"py/reduce": [named, {"py/tuple": [number]}]}

    links = [link(*EDGES[0], spelt(1)), *(link(*edge, {"py/id": 1}) for edge in EDGES[1:])]
    links.append(link("ear_R", "ear_L", spelt(2)))
    nodes = [{"id": listed.index(name)} for name in NAMES]
    return {
        "version": "2.0.0",
        "nodes": [{"name": name, "weight": 1.0} for name in listed],
        "skeletons": [{"nodes": nodes, "links": links, "graph": {"name": "mouse"}}],
    }


WRITERS = {
    "deeplabcut": write_deeplabcut,
    "lightning_pose": write_lightning_pose,
    "coco": write_coco,
    "sleap": write_sleap,
}
