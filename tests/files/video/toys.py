"""Videos that tests write: without loss, so that every pixel is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from kpbench.api import Array

Coded = tuple[str, str, dict[str, str]]
"""Codec, pixel format and options."""
LOSSLESS: Coded = "libx264rgb", "rgb24", {"crf": "0", "preset": "ultrafast", "g": "5"}
GREY: Coded = "ffv1", "gray", {}
"""For Matroska."""
MPEG2: Coded = "mpeg2video", "yuv420p", {}
VP9: Coded = "libvpx-vp9", "yuv420p", {}
"""These two lose a little."""


def write_video(
    path: Path,
    frames: Iterable[Array],
    *,
    rate: Any = 25,
    times: Sequence[Fraction] = (),
    matrix: Sequence[int] | None = None,
    coded: Coded = LOSSLESS,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames (H, W, 3) or (H, W) uint8; all of `times` in seconds, or at the rate."""
    codec, pixel_format, settings = coded
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=settings)
        stream.codec_context.time_base = Fraction(1, 1000) if times else 1 / Fraction(rate)
        stream.pix_fmt = pixel_format
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for i, pixels in enumerate(frames):
            if i == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, "gray" if pixels.ndim == 2 else "rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = int(times[i] * 1000) if times else i
            container.mux(stream.encode(frame))
        if stream.width:
            container.mux(stream.encode(None))
    return path


def bright_square(n: int, height: int = 32, width: int = 48) -> list[Array]:
    """Return frames on which a bright square of 4 x 4 pixels moves right by 2 a frame."""
    frames = np.zeros((n, height, width, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[4:8, 2 * i % (width - 4) :][:, :4] = 250
    return list(frames)


def cut(path: Path, share: float) -> Path:
    """Cut the end off a file: this share of its bytes stays."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
