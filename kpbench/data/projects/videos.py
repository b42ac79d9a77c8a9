"""Frames of videos by their number, through PyAV (the extra `video`)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.api import Array
from kpbench.errors import DataError
from kpbench.files.video.reading import container_of, upright

NEAR = 300
"""Frames that are decoded on the way to a later one, rather than looked for anew."""
_SMALL = 32
"""Side of the pictures whose difference is measured."""


def frame_count(path: Path) -> int:
    """Return how many frames a video has.

    Raises:
        MissingPackageError: PyAV is not installed.
        DataError: the video cannot be read; names it.
    """
    return len(_index(path).times)


def chosen_frames(path: Path, count: int, how: str) -> list[int]:
    """Return which frames of a video are shown, ascending.

    Args:
        path: the video.
        count: how many at most; 0: all.
        how: "even": evenly spaced in time; "difference": evenly spaced in how much has changed, so
            that long rests give few.

    Raises:
        MissingPackageError: PyAV is not installed.
        DataError: the video cannot be read; names it.
    """
    total = frame_count(path)
    if count == 0 or total <= count:
        return list(range(total))
    if how == "even":
        return [int(i) for i in np.arange(count) * total // count]
    return [int(i) for i in by_difference(_changes(path), count)]


def by_difference(changes: Array, count: int) -> Array:
    """Return `count` of N frames at equal steps of the sum of changes, ascending, each once.

    Args:
        changes: (N,) how much each frame differs from the one before it; of the first, 0.
        count: N or less.

    Example:
        >>> by_difference(np.array([0, 0, 0, 5.0, 5.0, 0]), 3).tolist()
        [0, 3, 4]
    """
    # a little for each frame, so that a still video gives evenly spaced ones
    so_far = np.cumsum(changes + 1e-9 * max(float(changes.max()), 1.0))
    steps = so_far[-1] * np.arange(count) / count
    chosen = np.searchsorted(so_far, steps, side="left")
    for i in range(1, count):  # no frame twice
        chosen[i] = max(chosen[i], chosen[i - 1] + 1)
    limit = len(changes) - 1 - np.arange(count)[::-1]
    return np.asarray(np.minimum(chosen, limit))


def frame(path: Path, number: int) -> Array:
    """Return one frame as it is shown, (H, W, 3) uint8.

    Raises:
        MissingPackageError: PyAV is not installed.
        DataError: the video cannot be read or has no such frame; names it.
    """
    index = _index(path)
    if not 0 <= number < len(index.times):
        raise DataError(f"{path}: has {len(index.times)} frames, none of number {number}")
    global _open
    if _open is None or _open.path != path or not _open.can_reach(index, number):
        if _open is not None:
            _open.container.close()
        _open = None
        _open = _Reader.at(path, index, number)
    return _open.read(index, number)


@dataclass(frozen=True)
class _Index:
    """The times of a video's frames, and of those that need no other, ascending."""

    times: tuple[int, ...]
    keys: tuple[int, ...]


def _index(path: Path) -> _Index:
    try:
        about = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    return _indexed(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _indexed(path: Path, size: int, changed: int) -> _Index:
    with container_of(path) as container:
        stream = container.streams.video[0]
        try:
            packets = [p for p in container.demux(stream) if p.pts is not None and p.size]
        except Exception as error:
            raise DataError(f"{path}: cannot be read as a video: {error}") from error
    if not packets:
        raise DataError(f"{path}: has no frame with a time")
    times = tuple(sorted({int(p.pts) for p in packets}))
    return _Index(times, tuple(sorted({int(p.pts) for p in packets if p.is_keyframe})))


@dataclass
class _Reader:
    """An opened video, whose frames are read onward."""

    path: Path
    container: Any
    frames: Any
    time: int

    @classmethod
    def at(cls, path: Path, index: _Index, number: int) -> _Reader:
        """Open a video at the last frame before `number` that needs no other."""
        container = container_of(path)
        stream = container.streams.video[0]
        place = bisect_right(index.keys, index.times[number])
        if place > 1:
            container.seek(index.keys[place - 1], stream=stream, backward=True, any_frame=False)
        return cls(path, container, container.decode(stream), index.times[0] - 1)

    def can_reach(self, index: _Index, number: int) -> bool:
        """Return whether a frame lies ahead, and near."""
        ahead = number - bisect_right(index.times, self.time)
        return 0 <= ahead < NEAR

    def read(self, index: _Index, number: int) -> Array:
        """Decode up to a frame."""
        wanted = index.times[number]
        try:
            for found in self.frames:
                self.time = int(found.pts)
                if found.pts == wanted:
                    return upright(found)
                if found.pts > wanted:
                    break
        except Exception as error:
            raise DataError(f"{self.path}: frame {number} cannot be decoded: {error}") from error
        raise DataError(f"{self.path}: frame {number} is not there; the video is damaged")


_open: _Reader | None = None
"""The video that this process read last."""


def _changes(path: Path) -> Array:
    """Return how much each frame differs from the one before, (N,) mean absolute grey values."""
    last, found = None, []
    with container_of(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for each in container.decode(stream):
                grey = each.reformat(width=_SMALL, height=_SMALL, format="gray").to_ndarray()
                small = grey[:, :_SMALL].astype(np.float64)
                found.append(0.0 if last is None else float(np.abs(small - last).mean()))
                last = small
        except Exception as error:
            raise DataError(f"{path}: cannot be decoded: {error}") from error
    count = frame_count(path)
    return np.array((found + [0.0] * count)[:count])
