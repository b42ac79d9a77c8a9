"""Videos are read as they are shown, and every fault names file and frame."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.errors import DataError, MissingPackageError, StorageError
from kpbench.files.video.ends import missing_bytes
from kpbench.files.video.reading import Frame, opened
from kpbench.files.video.writing import VideoWriter

pytest.importorskip("av")
from tests.files.video.toys import GREY, LOSSLESS, MPEG2, VP9, bright_square, cut, write_video

ONE = 1 << 16


def read(path: Path) -> list[Frame]:
    with opened(path) as video:
        return list(video.frames())


def until_fault(path: Path) -> tuple[list[Frame], str]:
    """Return the frames before a fault, and what it says."""
    seen: list[Frame] = []
    with pytest.raises(DataError) as caught, opened(path) as video:
        seen.extend(video.frames())
    return seen, str(caught.value)


def test_frames_are_those_that_were_written_at_their_times(tmp_path: Path) -> None:
    frames = bright_square(7, 30, 46)
    found = read(write_video(tmp_path / "a.mp4", frames, rate=Fraction(30000, 1001)))
    np.testing.assert_array_equal([frame.pixels for frame in found], frames)
    assert [frame.time for frame in found] == [i * Fraction(1001, 30000) for i in range(7)]
    assert not any(frame.damaged for frame in found)


def test_a_video_says_its_rate_and_how_many_frames_to_expect(tmp_path: Path) -> None:
    for name, known in (("a.mp4", 7), ("a.mkv", 0), ("a.avi", 7)):
        with opened(write_video(tmp_path / name, bright_square(7), rate=10)) as video:
            assert video.rate == 10
            assert video.expected == known, name


def test_a_grey_video_has_three_equal_channels(tmp_path: Path) -> None:
    grey = [frame[..., 0] for frame in bright_square(3)]
    found = read(write_video(tmp_path / "a.mkv", grey, coded=GREY))
    np.testing.assert_array_equal(
        [f.pixels for f in found], np.repeat(np.array(grey)[..., None], 3, -1)
    )


def turned(pixels: Array, m: tuple[int, int, int, int]) -> Array:
    """Return pixels, each moved to where a matrix shows it: an own, slow reading of FFmpeg's."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    to_x, to_y = m[0] * x + m[2] * y, m[1] * x + m[3] * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    shown = np.zeros((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    shown[to_y, to_x] = pixels
    return shown


@pytest.mark.parametrize("a", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
@pytest.mark.parametrize("mirrored", [1, -1])
def test_a_frame_is_upright_and_mirrored_as_it_was_held(
    a: tuple[int, int, int, int], mirrored: int, tmp_path: Path
) -> None:
    m = a[0] * mirrored, a[1], a[2] * mirrored, a[3]
    [stored] = bright_square(1)
    stored[0, :20, 1] = 99
    matrix = [m[0] * ONE, m[1] * ONE, 0, m[2] * ONE, m[3] * ONE, 0, 0, 0, 1 << 30]
    [found] = read(write_video(tmp_path / "a.mp4", [stored], matrix=matrix))
    np.testing.assert_array_equal(found.pixels, turned(stored, m))


def test_frames_that_come_irregularly_have_their_times(tmp_path: Path) -> None:
    times = [Fraction(t, 100) for t in (0, 4, 30, 31, 200)]
    for name in ("a.mp4", "a.mkv"):
        found = read(write_video(tmp_path / name, bright_square(5), times=times))
        assert [frame.time for frame in found] == times


START = {"movflags": "faststart"}


@pytest.mark.parametrize(("name", "options"), [("a.mp4", START), ("a.avi", {}), ("a.mkv", {})])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_video_that_is_cut_off_gives_its_frames_then_an_error(
    name: str, options: dict[str, str], share: float, tmp_path: Path
) -> None:
    frames = bright_square(100)
    whole = write_video(tmp_path / name, frames, options=options)
    assert not missing_bytes(whole)
    seen, said = until_fault(cut(whole, share))
    assert 100 * share - 20 < len(seen) < 100 * share + 20
    np.testing.assert_array_equal([frame.pixels for frame in seen], frames[: len(seen)])
    assert f"{name}: " in said
    assert f"frame {len(seen)}" in said
    assert "cut off" in said


def test_a_file_of_open_or_unknown_size_lacks_nothing(tmp_path: Path) -> None:
    live = write_video(tmp_path / "live.mkv", bright_square(30), options={"live": "1"})
    stream = write_video(tmp_path / "a.ts", bright_square(9), coded=MPEG2)
    (tmp_path / "short").write_bytes(b"\x1a\x45\xdf\xa3")
    for path in (live, stream, tmp_path / "short"):
        assert missing_bytes(path) == 0


def test_a_video_that_lacks_its_index_alone_is_whole(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "a.avi", bright_square(30)), 0.99)
    assert missing_bytes(path)
    assert len(read(path)) == 30


def test_the_missing_bytes_are_counted(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mov", "a.avi", "a.mkv", "a.webm"):
        coded = VP9 if name == "a.webm" else LOSSLESS
        path = write_video(tmp_path / name, bright_square(30), coded=coded)
        data = path.read_bytes()
        for missing in (1, 10, 200):
            path.write_bytes(data[:-missing])
            assert missing_bytes(path) == missing, name


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    lost = write_video(tmp_path / "lost.mp4", bright_square(50))  # its index is at the end
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.avi").touch()
    for path in (cut(lost, 0.6), tmp_path / "text.mp4", tmp_path / "empty.avi", tmp_path):
        seen, said = until_fault(path)
        assert not seen
        assert f"{path}: cannot be read as a video" in said
    assert "there is no video" in until_fault(tmp_path / "none.mp4")[1]


def test_a_playlist_does_not_lead_to_the_net(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    assert "a.mp4" in until_fault(path)[1]


def test_a_file_without_frames_or_without_video_says_so(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    assert until_fault(tmp_path / "sound.mkv")[1].endswith("sound.mkv: has no video in it")
    with av.open(str(tmp_path / "none.avi"), "w") as container:
        empty: Any = container.add_stream("mpeg4", rate=25)
        empty.width, empty.height = 32, 16
        container.start_encoding()
    assert "none.avi: " in until_fault(tmp_path / "none.avi")[1]


def test_a_change_of_size_is_an_error_at_its_frame(tmp_path: Path) -> None:
    small, large = bright_square(3), bright_square(3, 64, 80)
    for name, frames in (("a", small), ("b", large)):
        write_video(tmp_path / f"{name}.ts", frames, coded=MPEG2)
    both = tmp_path / "both.ts"
    both.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    seen, said = until_fault(both)
    assert len(seen) in (2, 3), "FFmpeg's decoder may drop the last one of a size"
    assert f"both.ts: frame {len(seen)} has 80 x 64 pixels, those before it 48 x 32" in said


def test_without_av_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingPackageError, match=r'pip install "kpbench\[video\]"'):
        read(tmp_path / "a.mp4")


@pytest.fixture(params=["libx264", "mpeg4"])
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Write with each encoder; other builds of FFmpeg lack the first one."""
    from kpbench.files.video import writing

    monkeypatch.setattr(writing, "_ENCODERS", {request.param: writing._ENCODERS[request.param]})
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001)])
def test_a_written_video_has_frames_sizes_and_rate(
    rate: Fraction, encoder: str, tmp_path: Path
) -> None:
    frames = bright_square(12, 33, 47)
    with VideoWriter(tmp_path / "a.mp4", rate) as writer:
        for i, frame in enumerate(frames):
            writer.add(frame, i / rate if i % 2 else None)
    with opened(tmp_path / "a.mp4") as video:
        found = list(video.frames())
        assert video.rate == rate
    assert [frame.time for frame in found] == [i / rate for i in range(12)]
    assert {frame.pixels.shape for frame in found} == {(34, 48, 3)}
    for seen, wanted in zip(found, frames, strict=True):
        assert np.abs(seen.pixels[:33, :47].mean(-1) - wanted.mean(-1)).mean() < 3


def test_a_written_video_keeps_irregular_times_in_order(encoder: str, tmp_path: Path) -> None:
    times = [Fraction(n, 1000) for n in (500, 540, 540, 530, 1500)]
    with VideoWriter(tmp_path / "a.mp4", Fraction(25)) as writer:
        for frame, time in zip(bright_square(5), times, strict=True):
            writer.add(frame, time)
    found = [float(frame.time or 0) for frame in read(tmp_path / "a.mp4")]
    assert found == sorted(set(found))
    np.testing.assert_allclose(found, [0, 0.04, 0.04, 0.04, 1], atol=1e-3)


def test_a_video_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write a\.mp4 in .*none"):
        with VideoWriter(tmp_path / "none" / "a.mp4", Fraction(25)) as writer:
            writer.add(bright_square(1)[0], None)
