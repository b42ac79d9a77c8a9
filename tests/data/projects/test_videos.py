"""Frames of videos by number: the right ones, in any order, and those of a still video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpbench.data.projects.source import ProjectSource
from kpbench.data.projects.videos import by_difference, chosen_frames, frame, frame_count
from kpbench.data.sample import read_sample
from kpbench.errors import DataError
from tests.data.projects import writers
from tests.data.projects.writers import labels
from tests.files.video import toys

SIDE = 64
ONE = 1 << 16
"""1 in a display matrix."""


def write_video(path: Path, levels: list[int], *, codec: str = "mpeg4", gap: int = 12) -> None:
    """Write a video whose frame i is all of one grey."""
    av: Any = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": str(gap)})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for level in levels:
            pixels = np.full((SIDE, SIDE, 3), level, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def test_any_frame_is_the_one_of_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    levels = [(7 * i) % 256 for i in range(70)]
    write_video(path, levels)
    assert frame_count(path) == 70
    for i in [0, 1, 2, 69, 5, 40, 41, 39, 0, 68]:
        found = frame(path, i)
        assert found.shape == (SIDE, SIDE, 3)
        assert abs(float(found.mean()) - levels[i]) < 3, i


def test_a_frame_is_shown_as_the_camera_was_held(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 250
    quarter = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30]
    path = toys.write_video(tmp_path / "a.mp4", [pixels] * 3, matrix=quarter)
    shown = frame(path, 1)
    assert shown.shape == (32, 16, 3)
    assert shown[:8, 8:].min() > 200 and shown[:, :8].max() < 50


def test_numbers_that_are_none_and_files_that_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, [0] * 5)
    for number in (-1, 5):
        with pytest.raises(DataError, match=r"a\.mp4: has 5 frames, none of number"):
            frame(path, number)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"b\.mp4: cannot be read as a video"):
        frame_count(tmp_path / "b.mp4")
    with pytest.raises(DataError, match=r"c\.mp4"):
        frame_count(tmp_path / "c.mp4")


def test_frames_are_chosen_in_time_or_by_what_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, [20] * 40 + [(37 * i) % 200 + 20 for i in range(20)])
    assert chosen_frames(path, 0, "even") == list(range(60))
    assert chosen_frames(path, 6, "even") == [0, 10, 20, 30, 40, 50]
    chosen = chosen_frames(path, 6, "difference")
    assert len(set(chosen)) == 6 and chosen == sorted(chosen)
    assert sum(i >= 39 for i in chosen) >= 5  # the rest is a still picture


@pytest.mark.parametrize("count", [1, 7, 20])
def test_no_frame_is_chosen_twice(count: int) -> None:
    draw = np.random.default_rng(0)
    for changes in (np.zeros(20), np.eye(20)[7], np.eye(20)[19], draw.random(20)):
        chosen = by_difference(changes, count)
        assert len(set(chosen.tolist())) == count
        assert chosen.min() >= 0 and chosen.max() < 20 and (np.diff(chosen) > 0).all()


def test_frames_join_what_is_learnt_from_unless_their_video_tests(tmp_path: Path) -> None:
    writers.write_deeplabcut(tmp_path, labels(40, videos=10))
    for i in range(10):
        write_video(tmp_path / "videos" / f"vid {i}.mp4", [i] * 8)
    write_video(tmp_path / "videos" / "vid 0_labeled.mp4", [0] * 8)
    source = ProjectSource(frames=4)
    test, found = source.rows(tmp_path, "test"), source.rows(tmp_path, "discovery")
    assert test.groups is not None
    frames = [str(name) for name in found.files if "::" in str(name)]
    tested = {group.removeprefix("labeled-data/") for group in test.groups.tolist()}
    shown = {name.removeprefix("videos/").partition(".mp4::")[0] for name in frames}
    assert shown == {f"vid {i}" for i in range(10)} - tested
    assert len(frames) == 4 * len(shown)
    picture, data = source.picture(tmp_path, frames[-1])
    assert picture.size == (SIDE, SIDE) and len(data) == 3 * SIDE * SIDE


def test_a_frame_is_paired_with_the_next_one(tmp_path: Path) -> None:
    writers.write_deeplabcut(tmp_path, labels(12))
    write_video(tmp_path / "videos" / "new.mp4", [10 * i for i in range(20)])
    source = ProjectSource(split="frame", frames=0)
    rows = source.rows(tmp_path, "discovery")
    assert rows.neighbours is not None
    shown = {}
    for i, name in enumerate(rows.files.tolist()):
        sample = read_sample(tmp_path, source, rows, i, 16)
        assert sample.frames is not None
        if "::" in name:
            shown[int(name.partition("::")[2])] = (sample.image.mean(), sample.frames.mean())
        else:
            np.testing.assert_array_equal(sample.image, sample.frames)
    for i in range(20):
        other = i + 1 if i < 19 else 18
        assert shown[i] == pytest.approx((10 * i, 10 * other), abs=4)
    digest = read_sample(tmp_path, source, rows, len(rows) - 1, 16).digest
    alone = replace(rows, neighbours=None)
    assert read_sample(tmp_path, source, alone, len(rows) - 1, 16).digest != digest
    assert source.rows(tmp_path, "test").neighbours is not None
