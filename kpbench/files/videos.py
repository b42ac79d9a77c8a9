"""Videos, frame by frame: read upright and in colour, written as H.264."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError, MissingPackageError, StorageError

SUFFIXES = (
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"),
)
"""Of the files that are taken for videos."""
PADDED = 2
"""H.264 wants sides that are multiples of this many pixels."""
_FINEST = 65_535
"""MPEG-4 counts a second in at most so many parts."""
_SHORT = 1.0
"""Seconds that a file may end before what its header says."""


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        pixels: (H, W, 3) uint8, RGB, upright; a grey video has three equal channels.
        time: when it is shown, as the file says it, in seconds; None if it does not.
        damaged: the decoder had to guess part of it.
    """

    pixels: Array
    time: Fraction | None
    damaged: bool


def need_av() -> None:
    """Check that PyAV is there.

    Raises:
        MissingPackageError: it is not; holds the command.
    """
    try:
        import av  # noqa: F401
    except ImportError:
        raise MissingPackageError('videos need PyAV: pip install "kpbench[video]"') from None


class Video:
    """An open video, of `opened`.

    Attributes:
        rate: frames a second, on average.
        expected: how many frames its header promises; 0: it does not say.
    """

    def __init__(self, path: Path, container: Any) -> None:
        """Look at the first video stream.

        Raises:
            DataError: there is none.
        """
        if not container.streams.video:
            raise DataError(f"{path}: has no video in it")
        self._path, self._container = path, container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.expected = int(self._stream.frames or self._seconds() * self.rate)

    def frames(self) -> Iterator[Frame]:
        """Yield all frames in the order in which they are shown; none is kept.

        Raises:
            DataError: a frame cannot be decoded or is of another size, there is no frame, or the
                file ends before what its header promises; names file and frame. All frames before
                it were yielded.
        """
        n, size, last, longest = 0, None, None, Fraction(0)
        for frame in self._decoded():
            if size not in (None, frame.pixels.shape[:2]):
                raise DataError(
                    f"{self._path}: frame {n} has {_sides(frame.pixels.shape)} pixels, those "
                    f"before it {_sides(size)}; write it anew at one size"
                )
            if frame.time is not None:
                longest = max(longest, frame.time - (frame.time if last is None else last))
                last = frame.time
            size = frame.pixels.shape[:2]
            n += 1
            yield frame
        if not n:
            raise DataError(f"{self._path}: has no frame")
        self._check_end(n, last, longest)

    def _decoded(self) -> Iterator[Frame]:
        import av

        n, fault = 0, None
        try:
            for packet in self._container.demux(self._stream):
                for frame in packet.decode():
                    yield _frame(frame)
                    n += 1
        except av.error.FFmpegError as error:
            fault = error
        if fault is None:
            return
        try:  # what was decoded before the fault, and waits for frames that are shown earlier
            for frame in self._stream.decode(None):
                yield _frame(frame)
                n += 1
        except av.error.FFmpegError:
            pass
        raise DataError(
            f"{self._path}: frame {n} cannot be decoded: {_why(fault)}; is the file cut off?"
        )

    def _seconds(self) -> float:
        """Return how long the video is by the header of a Matroska file; 0: it does not say.

        Other formats hold their frames' places in the header, so that one that is cut off cannot
        be decoded to its end; from Matroska it looks as if it ended there.
        """
        words = str(self._stream.metadata.get("DURATION", "")).split(":")
        if "matroska" not in self._container.format.name or len(words) != 3:
            return 0.0
        try:
            return sum(float(word) * unit for word, unit in zip(words, (3600, 60, 1), strict=True))
        except ValueError:
            return 0.0

    def _check_end(self, n: int, last: Fraction | None, longest: Fraction) -> None:
        promised = self._seconds()
        if last is not None and promised - last > _SHORT + longest:
            raise DataError(
                f"{self._path}: ends after frame {n - 1} at {float(last):.3f} s, its header says "
                f"{promised:.3f} s; is the file cut off?"
            )


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """Open a video.

    Raises:
        MissingPackageError: PyAV is not installed.
        DataError: the file is missing or no video; names it.
    """
    need_av()
    import av

    try:
        # A list of files that calls itself a video leads nowhere else than to files.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except av.error.FileNotFoundError:
        raise DataError(f"there is no video {path}") from None
    except av.error.FFmpegError as error:
        raise DataError(
            f"{path}: cannot be read as a video: {_why(error)}; is the file cut off?"
        ) from None
    with container:
        yield Video(path, container)


class VideoWriter:
    """A video in the making: H.264, or MPEG-4 where PyAV has no encoder for it, in MP4.

    Sides that are odd get one more column or row, a copy of the last one.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        """Open the file.

        Args:
            path: of the file.
            rate: frames a second, for frames whose time is not known.

        Raises:
            StorageError: it cannot be written.
        """
        import av

        self._path = path
        self._period = (1 / rate).limit_denominator(_FINEST)
        self._base = Fraction(1, _FINEST // self._period.denominator * self._period.denominator)
        self._stream: Any = None
        self._start: Fraction | None = None
        self._ticks = -1
        with self._storing():
            self._container = av.open(f"file:{path}", "w", format="mp4")

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what the encoder still holds, and close the file."""
        with self._storing():
            try:
                if self._stream is not None:
                    self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()

    def add(self, pixels: Array, time: Fraction | None) -> None:
        """Append a frame.

        Args:
            pixels: (H, W, 3) uint8, of the size of the first one.
            time: when it is shown, in seconds; the first one is shown at 0. None: at the rate.

        Raises:
            StorageError: it cannot be written.
        """
        import av

        height, width = pixels.shape[:2]
        padded = np.pad(pixels, ((0, height % PADDED), (0, width % PADDED), (0, 0)), mode="edge")
        with self._storing():
            if self._stream is None:
                self._stream = self._added(padded)
            frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
            frame.time_base = self._base
            frame.pts = self._ticks = self._shown(time)
            self._container.mux(self._stream.encode(frame))

    def _shown(self, time: Fraction | None) -> int:
        """Return when a frame is shown, in units of the time base, after the one before it."""
        if self._start is None:
            self._start = time or Fraction(0)
        if time is None:
            return max(0, self._ticks + round(self._period / self._base))
        return max(round((time - self._start) / self._base), self._ticks + 1)

    def _added(self, pixels: Array) -> Any:
        """Add the stream, for frames like this one."""
        import av

        name = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = self._container.add_stream(name, rate=1 / self._period)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = self._base
        return stream

    @contextmanager
    def _storing(self) -> Iterator[None]:
        import av

        try:
            yield
        except av.error.FFmpegError as error:
            raise StorageError(
                f"cannot write {self._path.name} in {self._path.parent}: {_why(error)}"
            ) from None


def _frame(frame: Any) -> Frame:
    pixels = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        pixels = _upright(pixels, np.frombuffer(bytes(matrix), np.int32))
    time = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
    return Frame(pixels, time, bool(frame.is_corrupt))


def _upright(pixels: Array, matrix: Array) -> Array:
    """Return a frame turned and mirrored as its display matrix says, to the next right angle.

    Args:
        pixels: (H, W, 3).
        matrix: (9,) of FFmpeg: (x, y) is shown at (m0 x + m3 y, m1 x + m4 y).
    """
    m0, m1, m3, m4 = matrix[[0, 1, 3, 4]].tolist()
    if abs(m0) + abs(m4) < abs(m1) + abs(m3):
        pixels, m0, m4 = pixels.transpose(1, 0, 2), m3, m1
    return np.ascontiguousarray(pixels[:: -1 if m4 < 0 else 1, :: -1 if m0 < 0 else 1])


def _sides(shape: Any) -> str:
    return f"{shape[1]} x {shape[0]}"


def _why(error: Any) -> str:
    return str(error.strerror or error)
