"""How one data set is read: what every real-data protocol has of its own.

A source lists the images of a part of its data set together with the annotation, without opening an
image, and says which region of an image is shown. All else (decoding, cropping, resizing, packing,
checking) is the same for all and lies in the neighbouring modules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from kpbench.api import Array
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.files.image.reading import decoded, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

WITHIN = "::"
"""Between a file and which image in it: frame 12 of a video is "videos/a.mp4::12"."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the image file; may reach outside of it."""


def file_of(name: str) -> str:
    """Return the file that an image lies in.

    Example:
        >>> file_of("videos/a.mp4::12"), file_of("frames/12.png")
        ('videos/a.mp4', 'frames/12.png')
    """
    return name.partition(WITHIN)[0]


@dataclass(frozen=True)
class Rows:
    """The images of one part of a data set, before any of them is opened.

    Attributes:
        files: (N,) str, image files relative to the data set's folder, "/" between the parts; an
            image inside of a file is the file, `WITHIN`, and what `Source.picture` finds it by.
        landmarks: (N, L, 2) float64, (x, y) in pixels of the image file, the left or upper edge of
            the image at 0; None without annotation, or when `Source.labels` reads each file.
        visible: (N, L) bool; None: every label is there.
        groups: (N,) str, the identity shown (person, subject, video); None if unknown.
        activities: (N,) str, what is done; None if unknown.
        masks: (N,) str, mask files as `files`; None without masks.
        labels: (N,) str, annotation files of single images as `files`; None if there are none.
        boxes: (N, 4) float64, left, top, right, bottom of the object in pixels of the image file;
            None if unknown.
        neighbours: (N,) str, as `files`, another moment of the same scene, the signal "frames"; the
            image itself where none is known; None: no pairs.
        sizes: (N, 2) int, (width, height) of the image files where the annotation tells; else None.

    Raises:
        InvalidInputError: columns of different lengths.
    """

    files: Array
    landmarks: Array | None = None
    visible: Array | None = None
    groups: Array | None = None
    activities: Array | None = None
    masks: Array | None = None
    labels: Array | None = None
    boxes: Array | None = None
    neighbours: Array | None = None
    sizes: Array | None = None

    def __post_init__(self) -> None:
        """Check that the columns have one length."""
        for f in fields(self):
            column = getattr(self, f.name)
            if column is not None and len(column) != len(self.files):
                raise InvalidInputError(f"{len(self.files)} files, but {len(column)} {f.name}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    def __getitem__(self, index: slice | Array) -> Rows:
        """Return a subset (slice, boolean mask or index array)."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[index] for k, v in kept.items() if v is not None})


@dataclass(frozen=True)
class Source(ABC):
    """Reads one data set; a subclass is a frozen dataclass whose fields are its arguments.

    Every field must have a default (the rule that kpbench holds to be right) and JSON values. A
    published behaviour that is wrong is another value of a field, never the default.

    Attributes:
        choices: allowed values of each field.
        upright: pairs of landmarks (upper, lower); in most images the first lies above the second,
            or the axes of the annotation are swapped.
        sideways: pairs of landmarks; in most images the first lies left of the second, or left and
            right are exchanged.
        gives: what evaluators may ask for besides labels: "boxes" when `Rows` has them, and
            "aspect", which the region tells.
    """

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {}
    upright: ClassVar[Sequence[tuple[int, int]]] = ()
    sideways: ClassVar[Sequence[tuple[int, int]]] = ()
    gives: ClassVar[tuple[str, ...]] = ("aspect",)

    def __post_init__(self) -> None:
        """Check the arguments against `choices`.

        Raises:
            UnknownNameError: an argument has a value that it cannot have.
        """
        for name, allowed in self.choices.items():
            value = getattr(self, name)
            if value not in allowed:
                known = [str(item) for item in allowed]
                raise UnknownNameError.of(f"value of {name}", str(value), known)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The fields and their values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def configured(self, arguments: Mapping[str, Any]) -> Self:
        """Return the source with other arguments.

        Raises:
            UnknownNameError: there is no such argument, or no such value of it.
        """
        for name in arguments:
            if name not in self.arguments:
                raise UnknownNameError.of("argument", name, self.arguments)
        return replace(self, **arguments)

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, str]:
        """Return {"discovery", "regression", "test"}: the part of the data set that each is."""

    @abstractmethod
    def rows(self, root: Path, part: str) -> Rows:
        """List one part, in an order that does not depend on the file system.

        Raises:
            DataError: the annotation is missing or not what its format says; names the file.
        """

    def labels(self, root: Path, rows: Rows, i: int, size: tuple[int, int]) -> tuple[Array, Array]:
        """Return landmarks (L, 2) in pixels of the image file, and visibility (L,), of image i.

        Args:
            root: folder of the data set.
            rows: of the part.
            i: which image.
            size: (width, height) of the upright image.

        Raises:
            DataError: the annotation of this image is missing or unreadable.
        """
        assert rows.landmarks is not None
        points = rows.landmarks[i]
        seen = np.ones(len(points), bool) if rows.visible is None else rows.visible[i]
        return points, seen

    def picture(self, root: Path, name: str) -> tuple[Image, bytes]:
        """Return one image or mask, decoded, and the bytes that tell it from any other.

        Args:
            root: folder of the data set.
            name: as in `Rows.files` or `Rows.masks`.

        Raises:
            DataError: it is missing, truncated or no image; names the file.
        """
        data = read_bytes(root / name)
        return decoded(data, name), data

    def region(self, rows: Rows, i: int, size: tuple[int, int], points: Array | None) -> Box:
        """Return which region of image i is shown; the whole image, unless overridden.

        Args:
            rows: of the part.
            i: which image.
            size: (width, height) of the upright image.
            points: what `labels` returned, or None for an image without annotation.
        """
        return (0.0, 0.0, float(size[0]), float(size[1]))

    def finish(self, image: Array, mask: Array | None) -> Array:
        """Return the final image, e.g. with its background replaced.

        Args:
            image: (S, S, 3) uint8.
            mask: (S, S) bool, or None without masks.
        """
        return image
