"""Videos that are written, one frame after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import StorageError
from kpbench.files.video.reading import why

PADDED = 2
"""H.264 wants sides that are multiples of this many pixels."""
_FINEST = 65_535
"""MPEG-4 counts a second in at most so many parts."""
_ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "mpeg4": {"flags": "+qscale", "global_quality": "354"},  # 3 of 31, 1 is the best
}


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
            return 0 if self._ticks < 0 else self._ticks + round(self._period / self._base)
        return max(round((time - self._start) / self._base), self._ticks + 1)

    def _added(self, pixels: Array) -> Any:
        """Add the stream, for frames like this one."""
        import av

        name = next(name for name in _ENCODERS if name in av.codecs_available)
        rate, options = 1 / self._period, _ENCODERS[name]
        stream: Any = self._container.add_stream(name, rate=rate, options=options)
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
                f"cannot write {self._path.name} in {self._path.parent}: {why(error)}"
            ) from None
