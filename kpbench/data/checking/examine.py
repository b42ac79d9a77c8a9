"""Looking at every image of a part, for `kpbench.data.checking.verify`; one chunk a process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kpbench.api import Array, Progress
from kpbench.data.packing.parallel import on_all_cores
from kpbench.data.sample import Sample, read_sample
from kpbench.data.source import Rows, Source, file_of
from kpbench.errors import DataError
from kpbench.files.image.reading import shown

CHUNK = 256
OUTSIDE = 0.05
"""How far from the region shown a landmark may lie, in sizes of the region."""
FAR = 1.0
"""How far it never lies."""
Faults = list[tuple[int, str]]
"""(row, what is wrong)."""
FAULTS = (*("missing", "images", "masks", "annotations", "outside", "far", "beyond", "eyeless"),)
"""The fields of `Examined` that hold them."""


@dataclass
class Examined:
    """What was found in a part, or in a chunk of it.

    Attributes:
        missing: rows of which a file is missing.
        images: rows of which the image cannot be read.
        masks: rows of which the mask cannot be read.
        annotations: rows of which the annotation is unusable.
        outside: rows with a visible landmark beyond `OUTSIDE`.
        far: rows with a visible landmark beyond `FAR`.
        beyond: other rows with a box or landmark beyond the image file by `OUTSIDE` of its size.
        eyeless: rows in which landmarks coincide, or are not both there, whose distance divides.
        digests: row -> `Sample.digest`, of readable images.
        pictures: row -> hash of what is shown, of readable images.
        upright: for each pair of `Source.upright` and image that shows both, 1 where the first lies
            above the second; one number, and the number of such cases below.
        upright_transposed: the same after x and y were exchanged.
        pairs: number of these cases.
        sideways: for each pair of `Examiner.sides` and image that shows both, 1 where the first
            lies left of the second; the sum.
        sides: number of these cases.
        reach: (2,) how far the boxes and landmarks reach at most, in sizes of the image files.
    """

    missing: Faults = field(default_factory=list)
    images: Faults = field(default_factory=list)
    masks: Faults = field(default_factory=list)
    annotations: Faults = field(default_factory=list)
    outside: Faults = field(default_factory=list)
    far: Faults = field(default_factory=list)
    beyond: Faults = field(default_factory=list)
    eyeless: Faults = field(default_factory=list)
    digests: dict[int, bytes] = field(default_factory=dict)
    pictures: dict[int, bytes] = field(default_factory=dict)
    upright: int = 0
    upright_transposed: int = 0
    pairs: int = 0
    sideways: int = 0
    sides: int = 0
    reach: Array = field(default_factory=lambda: np.zeros(2))

    def add(self, other: Examined) -> None:
        """Take in what was found elsewhere."""
        for name in FAULTS:
            getattr(self, name).extend(getattr(other, name))
        self.digests.update(other.digests)
        self.pictures.update(other.pictures)
        self.upright += other.upright
        self.upright_transposed += other.upright_transposed
        self.pairs += other.pairs
        self.sideways += other.sideways
        self.sides += other.sides
        self.reach = np.maximum(self.reach, other.reach)

    def count_upright(self, points: Array, seen: Array, pairs: Sequence[tuple[int, int]]) -> None:
        """Count in how many pairs the landmark that should be above is.

        Args:
            points: (N, L, 2), (x, y).
            seen: (N, L) bool.
            pairs: (upper, lower).
        """
        for upper, lower in pairs:
            both = seen[:, upper] & seen[:, lower]
            higher = points[both, upper] < points[both, lower]
            self.upright_transposed += int(higher[:, 0].sum())
            self.upright += int(higher[:, 1].sum())
            self.pairs += int(both.sum())

    def count_sides(self, points: Array, seen: Array, pairs: Sequence[tuple[int, int]]) -> None:
        """Count in how many pairs the first landmark lies left; see `count_upright`."""
        for first, second in pairs:
            both = seen[:, first] & seen[:, second]
            self.sideways += int((points[both, first, 0] < points[both, second, 0]).sum())
            self.sides += int(both.sum())


@dataclass(frozen=True)
class Examiner:
    """How a data set is looked at.

    Attributes:
        root: folder of the data set.
        source: reads it.
        pixels: side of the images.
        landmarks: how many an image should have.
        decode: whether images are opened; without, only what the listing tells is looked at.
        eyes: pairs of landmarks whose distance an evaluator divides by.
        sides: pairs of landmarks on the left and on the right.
    """

    root: Path
    source: Source
    pixels: int
    landmarks: int
    decode: bool
    eyes: Sequence[tuple[int, int]] = ()
    sides: Sequence[tuple[int, int]] = ()

    def part(self, rows: Rows, what: str, progress: Progress) -> Examined:
        """Look at all images of a part, on all cores.

        Args:
            rows: of the part.
            what: is being done, for `progress`.
            progress: told about images looked at.

        Returns:
            What was found; rows ascend.
        """
        tasks = [(rows[first : first + CHUNK], first) for first in range(0, len(rows), CHUNK)]
        found, done = Examined(), 0
        with closing(on_all_cores(self.chunk, tasks)) as results:
            for part in results:
                found.add(part)
                done += CHUNK
                progress(min(done, len(rows)), len(rows), what)
        for name in FAULTS:
            getattr(found, name).sort()
        return found

    def chunk(self, rows: Rows, first: int) -> Examined:
        """Look at the images of one chunk, whose first row is `first`."""
        found = Examined()
        gone = list(_missing(self.root, rows))
        found.missing = [(first + i, name) for i, name in gone]
        there = sorted(set(range(len(rows))) - {i for i, _ in gone})
        if self.decode:
            for i in there:
                self._look(found, rows, i, first + i)
        elif rows.landmarks is not None:
            self._count_listed(found, rows, first)
        return found

    def _look(self, found: Examined, rows: Rows, i: int, row: int) -> None:
        """Read one image with all that belongs to it."""
        try:
            sample = read_sample(self.root, self.source, rows, i, self.pixels)
        except DataError as error:
            _blamed(found, self.source, self.root, rows, i).append((row, str(error)))
            return
        found.digests[row] = sample.digest
        found.pictures[row] = hashlib.blake2b(sample.image.tobytes(), digest_size=16).digest()
        if sample.landmarks is None or sample.visible is None:
            return
        if (count := len(sample.landmarks)) != self.landmarks:
            text = f"{rows.files[i]}: {count} landmarks, not {self.landmarks}"
            found.annotations.append((row, text))
            return
        self._count(found, sample.landmarks[None], sample.visible[None], rows.files[i:], row)
        _measure(found, sample, row, str(rows.files[i]))
        if not any(row == outside for outside, _ in (found.outside + found.far)[-1:]):
            self._reach(found, sample.size, rows, i, row)

    def _count(self, found: Examined, points: Array, seen: Array, files: Array, first: int) -> None:
        """Look at what landmarks (N, L, 2) are to each other; the row of the first is `first`."""
        found.count_upright(points, seen, self.source.upright)
        found.count_sides(points, seen, self.sides)
        for a, b in self.eyes:
            apart = seen[:, a] & seen[:, b] & ~np.equal(points[:, a], points[:, b]).all(-1)
            for i in np.flatnonzero(np.asarray(~apart)):
                found.eyeless.append((first + int(i), str(files[i])))

    def _reach(self, found: Examined, size: tuple[int, int], rows: Rows, i: int, row: int) -> None:
        """Look whether box and landmarks lie on the image file."""
        points, seen = self.source.labels(self.root, rows, i, size)
        corners = np.empty((0, 2)) if rows.boxes is None else rows.boxes[i].reshape(2, 2)
        shares = np.vstack([points[seen], corners]) / size
        found.reach = np.maximum(found.reach, shares.max(0, initial=0.0))
        worst = np.maximum(-shares, shares - 1).max(initial=0.0)
        if worst > OUTSIDE:
            text = f"{rows.files[i]}: {size[0]} x {size[1]} pixels, exceeded by {worst:.0%}"
            found.beyond.append((row, text))

    def _count_listed(self, found: Examined, rows: Rows, first: int) -> None:
        """Look at the landmarks that the listing holds."""
        assert rows.landmarks is not None
        points = rows.landmarks
        seen = np.ones(points.shape[:2], bool) if rows.visible is None else rows.visible
        bad = (seen & ~np.isfinite(points).all(-1)).any(1)
        for i in np.flatnonzero(bad):
            text = f"{rows.files[i]}: a landmark is NaN or infinite"
            found.annotations.append((first + int(i), text))
        self._count(found, points, seen & ~np.asarray(bad)[:, None], rows.files, first)


def _missing(root: Path, rows: Rows) -> Iterator[tuple[int, str]]:
    for column in (rows.files, rows.masks, rows.labels):
        for i, name in enumerate([] if column is None else column):
            if not (root / file_of(str(name))).is_file():
                yield i, str(name)


def _blamed(found: Examined, source: Source, root: Path, rows: Rows, i: int) -> Faults:
    """Return the list to which a row that cannot be read belongs."""
    try:
        shown(source.picture(root, str(rows.files[i]))[0], str(rows.files[i]))
    except DataError:
        return found.images
    if rows.masks is not None:
        try:
            source.picture(root, str(rows.masks[i]))
        except DataError:
            return found.masks
    return found.annotations


def _measure(found: Examined, sample: Sample, row: int, name: str) -> None:
    assert sample.landmarks is not None
    points = sample.landmarks[sample.visible]
    beyond = np.maximum(-points, points - 1).max(1, initial=0.0)
    worst = float(beyond.max(initial=0.0))
    if worst > OUTSIDE:
        x, y = points[beyond.argmax()]
        text = f"{name}: a landmark at ({x:.2f}, {y:.2f}) of the region shown"
        (found.far if worst > FAR else found.outside).append((row, text))
