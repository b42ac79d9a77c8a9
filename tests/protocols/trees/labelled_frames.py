"""Public labelled frames: folders of DeepLabCut, a project of Lightning Pose, and plain tables."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kpbench.api import Array
from kpbench.people.body.skeleton import JOINTS
from kpbench.registry import load_protocol
from tests.protocols.trees.people import People, people

SPEECH = (320, 240)


def write_lips(root: Path, *, n_train: int = 96, n_test: int = 24, seed: int = 0) -> None:
    """Write lips: recordings that are labelled or not, test images, recordings of who tests."""
    _write_speech(root, "lips", "LipTest_COMBINED_TEST", n_train, n_test, seed)


def write_tongue(root: Path, *, n_train: int = 96, n_test: int = 24, seed: int = 0) -> None:
    """Write tongues likewise."""
    _write_speech(root, "tongue", "UTI_Test_Set_COMBINED_ALL", n_train, n_test, seed)


def _write_speech(root: Path, name: str, tests: str, n_train: int, n_test: int, seed: int) -> None:
    train, test, others = people(n_train, n_test, seed)
    for i in range(len(train)):
        unlabelled = i % 8 == 0
        video = f"{i % 8:03d}_aud" + (" TESTSET" if i % 8 == 1 else "")
        _frame(root, train, i, SPEECH, video, f"img{i:03d}.png", name, labelled=not unlabelled)
    for i in range(len(test)):
        speaker = f"{i % 4:02d}me"
        _frame(root, test, i, SPEECH, tests, f"{speaker}-img{i:03d}.png", name)
    (root / "labeled-data" / "001_aud TESTSET" / "machinelabels.csv").write_text("predictions")
    others.picture(0, 64).save(root / "labeled-data" / "README.png")


def _frame(
    root: Path, shown: People, i: int, size: tuple[int, int], video: str, file: str, name: str,
    *, labelled: bool = True,
) -> None:  # fmt: skip
    """Write an image, and its row into the table of its folder."""
    folder = root / "labeled-data" / video
    folder.mkdir(parents=True, exist_ok=True)
    shown.picture(i, size[1]).resize(size).save(folder / file, compress_level=1)
    if not labelled:
        return
    names = load_protocol(name).landmarks
    path = folder / "CollectedData_AW.csv"
    if not path.exists():
        path.write_text(header(names, "AW"))
    points = joints(shown, len(names))[i] * size - 0.5
    with path.open("a") as table:
        table.write(row(f"labeled-data\\{video}\\{file}", points))


def joints(shown: People, count: int) -> Array:
    """Return so many joints of people, (N, count, 2) in [0, 1]."""
    return shown.points(*JOINTS[:count]).astype(np.float64)


def header(names: Sequence[str], scorer: str) -> str:
    """Return the three header rows of a table of labels."""
    twice = [name for name in names for _ in "xy"]
    lines = [["scorer", *[scorer] * len(twice)], ["bodyparts", *twice]]
    lines.append(["coords", *["x", "y"] * len(names)])
    return "".join(",".join(line) + "\n" for line in lines)


def row(file: str, points: Array) -> str:
    """Return a row of a table of labels."""
    return ",".join([file, *(f"{v:.4f}" if np.isfinite(v) else "" for v in points.ravel())]) + "\n"


def write_mirror_mouse(root: Path, *, n_train: int = 60, n_test: int = 24, seed: int = 0) -> None:
    """Write frames of one video, a third of which test, and the video where PyAV is there."""
    train, test, others = people(n_train, n_test, seed)
    names = load_protocol("mirror_mouse").landmarks
    size = (396, 406)
    (root / "labeled-data").mkdir(parents=True)
    lines = [header(names, "rick")]
    for shown, first in ((train, 0), (test, len(train))):
        points = joints(shown, len(names)) * size - 0.5
        for i in range(len(shown)):
            file = f"labeled-data/img{first + i:03d}.png"
            shown.picture(i, 406).resize(size).save(root / file, compress_level=1)
            points[i, (first + i) % len(names)] = np.nan
            lines.append(row(file, points[i]))
    (root / "CollectedData.csv").write_text("".join(lines))
    (root / "videos").mkdir()
    if find_spec("av"):
        _write_video(root / "videos" / "test_vid.mp4", [others.picture(i, 128) for i in range(16)])


def _write_video(path: Path, frames: Sequence[Image.Image]) -> None:
    av: Any = importlib.import_module("av")

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_image(frame)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def write_fly_wings(root: Path, *, n_train: int = 60, n_test: int = 24, seed: int = 0) -> None:
    """Write grey images and a table whose y counts from below."""
    train, test, _ = people(n_train, n_test, seed)
    names = load_protocol("fly_wings").landmarks
    (root / "image-examples").mkdir(parents=True)
    (root / "landmark-examples").mkdir()
    lines = ["id," + ",".join(f"X{i},Y{i}" for i in range(1, len(names) + 1))]
    for shown, first in ((train, 63001), (test, 64001)):
        points = np.round(joints(shown, len(names)) * (632, 480))
        points[..., 1] = 480 - points[..., 1]
        for i in range(len(shown)):
            file = f"{first + i}.jpg"
            image = shown.picture(i, 480).resize((632, 480)).convert("L")
            image.save(root / "image-examples" / file, quality=95)
            lines.append(",".join([file, *(str(int(v)) for v in points[i].ravel())]))
    (root / "landmark-examples" / "csv-example.csv").write_text("\n".join(lines) + "\n")


def write_yt_faces(root: Path, *, n_train: int = 60, n_test: int = 24, seed: int = 0) -> None:
    """Write both tables, whose people are the same, and images without labels."""
    train, test, others = people(n_train, n_test, seed)
    draw = np.random.default_rng(seed)
    names = load_protocol("yt_faces").landmarks
    count = 0
    for folder, table, shown in (
        ("training", "training_frames_keypoints.csv", train),
        ("test", "test_frames_keypoints.csv", test),
    ):
        (root / folder).mkdir(parents=True)
        lines = ["," + ",".join(str(i) for i in range(2 * len(names)))]
        beside = np.repeat(np.arange(4), 17)[:, None]  # no two points of a face are one
        points = np.round(np.tile(joints(shown, 17), (1, 4, 1)) * 185) + beside
        for i in range(len(shown)):
            file = f"Person_{count % 12:02d}_{count:03d}.jpg"
            picture = shown.picture(i, 185).convert("RGBA")  # a png, whatever it is called
            picture.save(root / folder / file, "PNG", compress_level=1)
            shift = draw.integers(0, 2)
            lines.append(",".join([file, *(str(float(v + shift)) for v in points[i].ravel())]))
            count += 1
        (root / table).write_text("\n".join(lines) + "\n")
    for i in range(len(others)):
        others.picture(i, 185).save(root / "test" / f"Person_{i % 12:02d}_9{i:02d}.jpg", "PNG")
