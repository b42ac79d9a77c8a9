"""Human3.6M as whole video frames, laid out by github.com/anibali/h36m-fetch (folder `processed`).

Layout: S*/Action-*/annot.h5 and S*/Action-*/imageSequence/<camera>/img_%06d.jpg. The file annot.h5
has a row for each frame of each camera; `pose/2d` is (N, 32, 2), (x, y) in pixels, and `frame`
counts from 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench import Array, Box, DataError, Rows, Source
from kpbench.files.folders import names_in
from kpbench.files.hdf5 import read_h5

from ..human36m.reader import JOINTS, SUBJECTS, UPRIGHT, activity_of

MARGIN = 100
"""Pixels between the joints and the edge of the crop, and the largest shift of the crop."""


@dataclass(frozen=True)
class Human36mUnaligned(Source):
    """Square crops around people doing six things, shifted at random, 32 joints.

    Source: StableKeypoints (Hedlin et al., CVPR 2024), 4.1 and `datasets/unaligned_human36m.py`.
    The square has the longer side of the joints' box and 100 px more on each side.

    Attributes:
        jitter: "seeded": shifted by -100 to 99 px in x and y, drawn from a hash of the frame's
            name; the paper draws anew whenever an image is read, also to test. "none": centred.
        crop: "square": moved back into the frame, or as large as the frame allows; "clipped": cut
            off at the right and lower edge of the frame, as the paper's code does, so that people
            near these edges are squashed.
        activities: "six": folders of exactly the six; "prefix": folders whose name begins with one
            of them, as in the paper's code, by which WalkingDog and WalkingTogether are walking.
        split: "test": train on S1, 5, 6, 7, 8, 9, test on S11; "validation": train without S9, and
            S9 instead of the test images.
    """

    jitter: str = "seeded"
    crop: str = "square"
    activities: str = "six"
    split: str = "test"

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "jitter": ("seeded", "none"),
        "crop": ("square", "clipped"),
        "activities": ("six", "prefix"),
        "split": ("test", "validation"),
    }
    upright: ClassVar[Sequence[tuple[int, int]]] = UPRIGHT

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts, keys of `SUBJECTS`."""
        train = "train" if self.split == "test" else "train_fold"
        return {"discovery": train, "regression": train, "test": self.split}

    def rows(self, root: Path, part: str) -> Rows:
        """List the annotated frames, by subject, folder, camera and number.

        Raises:
            DataError: a folder or an annotation is missing, damaged or contradicts itself.
        """
        found = [
            (subject, folder, activity, *_annotation(root / subject / folder / "annot.h5"))
            for subject in SUBJECTS[part]
            for folder in names_in(root / subject)
            if (activity := activity_of(folder, self.activities)) is not None
        ]
        if not found:
            raise DataError(
                f"{root}: {', '.join(SUBJECTS[part])} have no folders of the six activities, such "
                "as Walking-1; see `kpbench data info human36m_raw` for the layout"
            )
        return Rows(
            files=np.array([f"{s}/{f}/{name}" for s, f, _, names, _ in found for name in names]),
            landmarks=np.concatenate([poses for *_, poses in found]),
            groups=np.array([s for s, _, _, names, _ in found for _ in names]),
            activities=np.array([activity for _, _, activity, names, _ in found for _ in names]),
        )

    def region(self, rows: Rows, i: int, size: tuple[int, int], points: Array | None) -> Box:
        """Return the crop around the joints; see `crop` and `jitter`."""
        assert points is not None
        shift = np.zeros(2) if self.jitter == "none" else jitter_of(str(rows.files[i]))
        place = _clipped if self.crop == "clipped" else _square
        left, top, right, bottom = place(points.min(0), points.max(0), shift, np.array(size))
        return (float(left), float(top), float(right), float(bottom))


def jitter_of(file: str) -> Array:
    """Return the shift of the crop of a frame in x and y, integers from -100 to 99.

    Args:
        file: of the frame, relative to the data set's folder.
    """
    digest = hashlib.sha256(file.encode()).digest()
    draws = np.frombuffer(digest, "<u8")[:2] % (2 * MARGIN)
    return draws.astype(np.int64) - MARGIN


def _square(low: Array, high: Array, shift: Array, size: Array) -> Array:
    """Return a square crop inside of the frame that shows all joints."""
    longer = (high - low).max()
    side = min(longer + 2 * MARGIN, size.min())
    margin = max((side - longer) / 2, 0)
    corner = (low + high - side) / 2 + np.clip(shift, -margin, margin)
    corner = np.clip(corner, 0, size - side)
    return np.concatenate([corner, corner + side])


def _clipped(low: Array, high: Array, shift: Array, size: Array) -> Array:
    """Return the crop of the paper's code, but for its truncation to whole pixels."""
    longer = (high - low).max()
    margin = np.minimum(MARGIN, size - longer)
    corner = np.maximum(0, (low + high - longer) / 2 - margin + shift)
    return np.concatenate([corner, np.minimum(size, corner + longer + 2 * margin)])


def _annotation(path: Path) -> tuple[list[str], Array]:
    """Return frame files relative to the folder, and joints (N, 32, 2), by camera and number."""
    found = read_h5(path, "pose/2d", "camera", "frame")
    poses, cameras, frames = found["pose/2d"], found["camera"], found["frame"]
    whole = cameras.dtype.kind in "iu" and frames.dtype.kind in "iu" and poses.dtype.kind == "f"
    n = len(poses) if poses.ndim else 0
    if not whole or poses.shape != (n, len(JOINTS), 2) or {cameras.shape, frames.shape} != {(n,)}:
        raise DataError(
            f"{path}: pose/2d of shape {poses.shape}, camera {cameras.shape}, frame "
            f"{frames.shape}; these should be (N, 32, 2), and N integers each"
        )
    order = np.lexsort((frames, cameras))
    names = [f"imageSequence/{cameras[i]}/img_{frames[i]:06d}.jpg" for i in order]
    if len(set(names)) < n:
        raise DataError(f"{path}: has the same frame of the same camera twice")
    return names, poses[order].astype(np.float64)
