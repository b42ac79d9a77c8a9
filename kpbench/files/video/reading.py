"""Videos, frame by frame, upright and in colour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import DataError, MissingPackageError
from kpbench.files.video.ends import missing_bytes

SUFFIXES = (
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"),
)
"""Of the files that are taken for videos."""


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
        """Take the first video stream."""
        self._path, self._container = path, container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._missing = missing_bytes(path)
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.expected = int(self._stream.frames)

    def frames(self) -> Iterator[Frame]:
        """Yield all frames in the order in which they are shown; none is kept.

        Raises:
            DataError: a frame cannot be decoded or is of another size, there is no frame, or the
                file is cut off; names file and frame. All frames before it were yielded.
        """
        n, size = 0, None
        for frame in self._decoded():
            if size not in (None, frame.pixels.shape):
                raise DataError(
                    f"{self._path}: frame {n} has {_sides(frame.pixels.shape)} pixels, those "
                    f"before it {_sides(size)}; write it anew at one size"
                )
            size = frame.pixels.shape
            n += 1
            yield frame
        if self._missing and not 0 < self.expected <= n:
            raise DataError(
                f"{self._path}: ends before frame {n}: the file is cut off, "
                f"{self._missing:,} bytes are missing"
            )
        if not n:
            raise DataError(f"{self._path}: has no frame")

    def _decoded(self) -> Iterator[Frame]:
        import av

        n, fault, base = 0, None, Fraction(self._stream.time_base)
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt and self._missing:
                    break  # the half frame at which the file is cut off
                for frame in packet.decode():
                    yield _frame(frame, base)
                    n += 1
        except av.error.FFmpegError as error:
            fault = error
        try:  # what was decoded before, and waits for frames that are shown earlier
            for frame in self._stream.decode(None):
                yield _frame(frame, base)
                n += 1
        except av.error.FFmpegError:
            pass
        if fault is not None:
            raise DataError(
                f"{self._path}: frame {n} cannot be decoded: {why(fault)}; is the file cut off?"
            )


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """Open a video.

    Raises:
        MissingPackageError: PyAV is not installed.
        DataError: the file is missing or no video; names it.
    """
    with container_of(path) as container:
        yield Video(path, container)


def container_of(path: Path) -> Any:
    """Open a file that holds a video and return PyAV's container, for who has to look for frames.

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
            f"{path}: cannot be read as a video: {why(error)}; is the file cut off?"
        ) from None
    if not container.streams.video:
        container.close()
        raise DataError(f"{path}: has no video in it")
    return container


def upright(frame: Any) -> Array:
    """Return a decoded frame as it is shown, (H, W, 3) uint8, RGB."""
    pixels = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return pixels if matrix is None else _turned(pixels, np.frombuffer(bytes(matrix), np.int32))


def _frame(frame: Any, base: Fraction) -> Frame:
    time = None if frame.pts is None else frame.pts * base
    return Frame(upright(frame), time, bool(frame.is_corrupt))


def _turned(pixels: Array, matrix: Array) -> Array:
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


def why(error: Any) -> str:
    """Return what FFmpeg says of an error."""
    return str(error.strerror or error)
