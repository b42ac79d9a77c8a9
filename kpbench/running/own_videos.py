"""Predicting on videos of the user's own, of any length in the same memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from kpbench.api import ImageSet, Keypoints, Method, Progress
from kpbench.diagnosis.overlay import drawn_on
from kpbench.errors import DataError, InvalidInputError, StorageError
from kpbench.files.atomic import Growing, check_writable
from kpbench.files.folders import readable
from kpbench.files.video.hdf5_track import Hdf5Track, need_h5py
from kpbench.files.video.reading import SUFFIXES, Frame, Video, need_av, opened
from kpbench.files.video.tracks import (
    Rows,
    TextTrack,
    csv_head,
    csv_lines,
    json_head,
    json_lines,
)
from kpbench.files.video.writing import VideoWriter
from kpbench.running.own_images import Predicted, about, check_apart, distinct_names, for_rgb

FRAMES, BYTES = 64, 2**23
"""How many frames are predicted together, at most: so many, of so many bytes."""
LIKELIHOOD = (
    "the method's confidence in a keypoint; of a network with heatmaps: the share of the heatmap "
    "within a tenth of the image's side of the keypoint; null: the method has none. It tells how "
    "sure the network is of one place, not how likely that place is right"
)


def is_video(path: Path) -> bool:
    """Return whether a file is taken for a video, by its name."""
    return path.suffix.lower() in SUFFIXES


def predict_videos(
    model: Path, files: Sequence[Path], output: Path, *, overlay: bool, progress: Progress
) -> Iterator[Predicted]:
    """Find keypoints in each frame of videos; write a csv, an HDF5 file and JSON for each.

    The files are those of `kpbench.files.video.tracks`, and have their names once they are whole.
    If a video cannot be read to its end they are kept as `….partial.csv`, and the next one follows.

    Args:
        model: folder of a trained method.
        files: videos.
        output: folder for the results.
        overlay: write a copy of each video with the keypoints drawn into it, too.
        progress: told the frames done of one video.

    Yields:
        What became of each video, when it is done.

    Raises:
        MissingPackageError: PyAV or h5py is not installed.
        InvalidInputError: there is no such video, a result would overwrite one, or the method reads
            more than RGB; nothing was done.
        CheckpointError: the model is unusable.
        StorageError: a result cannot be written; nothing of its video is kept.
    """
    need_av()
    need_h5py()
    if missing := [path for path in files if not path.is_file()]:
        raise InvalidInputError(f"there is no video {missing[0]}")
    suffixes = (".csv", ".h5", ".jsonl", *([".mp4"] if overlay else []))
    names = [
        [output / f"{name}.keypoints{suffix}" for suffix in suffixes]
        for name in distinct_names(files)
    ]
    check_apart(files, [name for each in names for name in each], "a video")
    check_writable(output)
    method = for_rgb(model)
    for path, targets in zip(files, names, strict=True):
        yield _tracked(method, path, targets, progress)


def _tracked(method: Method, path: Path, names: Sequence[Path], progress: Progress) -> Predicted:
    """Predict one video."""
    results, damaged, fault = _Results(names, method, path), [], ""
    try:
        with opened(path) as video:
            for batch in _batches(video.frames()):
                damaged += [i for i, frame in enumerate(batch, results.frames) if frame.damaged]
                results.add(batch, video)
                progress(results.frames, max(results.frames, video.expected), readable(path.name))
    except DataError as error:
        fault = str(error)
    except StorageError:
        results.discard()
        raise
    except BaseException:  # Ctrl-C, or a fault of the method: what it found until then is kept
        results.end(whole=False)
        raise
    files = results.end(whole=not fault)
    if fault and files:
        fault += f"; what was found in the {results.frames} frames before it is kept"
    return Predicted(files, fault, damaged)


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Yield frames as they are predicted together; those before a fault come before the fault."""
    batch: list[Frame] = []
    try:
        for frame in frames:
            batch.append(frame)
            if len(batch) >= min(FRAMES, BYTES // frame.pixels.nbytes):
                yield batch
                batch = []
    except DataError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


class _Results:
    """The files of one video in the making.

    Attributes:
        frames: how many were added.
    """

    def __init__(self, names: Sequence[Path], method: Method, path: Path) -> None:
        """Make the files, still empty."""
        self.frames = 0
        self._method, self._path = method, path
        self._growing = Growing(names)
        self._stack = ExitStack()
        self._tracks: list[TextTrack | Hdf5Track] = []
        self._overlay: VideoWriter | None = None

    def add(self, batch: Sequence[Frame], video: Video) -> None:
        """Find keypoints in frames and append them to all files.

        Raises:
            StorageError: a file cannot be written.
            ContractError: the method found what is no keypoint.
        """
        images = np.stack([frame.pixels for frame in batch])
        found = self._method.predict(ImageSet(images)).checked(len(batch), None, self._method.name)
        height, width = images.shape[1:3]
        if not self._tracks:
            self._open(found.points.shape[1], (width, height), video)
        times = [frame.time for frame in batch]
        rows = Rows(self.frames, times, found.points, found.confidence, (width, height))
        for track in self._tracks:
            track.add(rows)
        if self._overlay is not None:
            for i, frame in enumerate(batch):
                shown = Keypoints(found.points[i : i + 1], graph=found.graph)
                self._overlay.add(drawn_on(frame.pixels, shown), frame.time)
        self.frames += len(batch)

    def _open(self, n_keypoints: int, size: tuple[int, int], video: Video) -> None:
        scorer = f"kpbench_{self._method.name}"
        parts = self._growing.parts
        head = {
            "video": readable(self._path),
            "width": size[0],
            "height": size[1],
            "frames_per_second": round(float(video.rate), 6),
            "model": about(self._method),
            "keypoints": "x, y in [0, 1] of the frame",
            "likelihood": LIKELIHOOD,
        }
        self._tracks = [
            TextTrack(parts[0], csv_head(scorer, n_keypoints), csv_lines),
            Hdf5Track(parts[1], scorer, n_keypoints),
            TextTrack(parts[2], json_head(head), json_lines),
        ]
        for track in self._tracks:
            self._stack.enter_context(track)
        if len(parts) > len(self._tracks):
            self._overlay = self._stack.enter_context(VideoWriter(parts[3], video.rate))

    def end(self, *, whole: bool) -> list[Path]:
        """Close the files and return them, under their names if they are whole.

        Raises:
            StorageError: a file cannot be written; none is kept.
        """
        try:
            self._stack.close()
            if not self.frames:
                self._growing.discard()
                return []
            return self._growing.finish() if whole else self._growing.keep()
        except StorageError:
            self._growing.discard()
            raise

    def discard(self) -> None:
        """Close the files and delete them."""
        with suppress(StorageError):
            self._stack.close()
        self._growing.discard()
