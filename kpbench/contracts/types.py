"""The types that plugins and kpbench exchange; `kpbench.api` offers them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from kpbench.contracts.coordinates import Span
from kpbench.errors import ContractError, InvalidInputError

Array = npt.NDArray[Any]
Signal = Literal["depth", "mask", "frames"]
"""Optional per-image signals of an `ImageSet`."""
Recipe = str
"""How much training: the name of a recipe; see `kpbench.contracts.recipes`."""
Device = Literal["cpu", "cuda"]
Reference = Literal["", "floor", "ceiling", "baseline", "other"]
"""What a method is to the others of a board: "" for one that is ranked, else a reference.

The way from the floor to the ceiling is what a method can make. A baseline is what a trained method
must beat to have learnt anything; one that does not is marked.
"""

SIGNALS: tuple[Signal, ...] = get_args(Signal)
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""Lightning's names of what is computed in; weights are float32 in all of them."""
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""


def no_progress(done: int, total: int, text: str) -> None:
    """Ignore progress."""


def read_only(array: Array) -> Array:
    """Return a view of `array` that cannot be written through."""
    view = array.view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True)
class ImageSet:
    """Unlabelled images, with the optional signals that a method may declare. It has no label.

    Attributes:
        images: (N, H, W, 3) uint8, RGB.
        depth: (N, H, W) uint16, distance along the optical axis in millimetres, 0 = no surface.
        mask: (N, H, W) bool, True on the object.
        frames: (N, H, W, 3) uint8, another moment of the same person under the same camera.

    Raises:
        InvalidInputError: no images, grey or 16-bit images, or a signal of the wrong shape.
    """

    images: Array
    depth: Array | None = None
    mask: Array | None = None
    frames: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes and types, and take read-only views."""
        shape = self.images.shape
        if len(shape) != 4 or shape[-1] != 3 or self.images.dtype != np.uint8:
            raise InvalidInputError(
                f"images must be uint8 of shape (N, H, W, 3), got {self.images.dtype} {shape}; "
                "convert grey or 16-bit images to 8-bit RGB first"
            )
        if 0 in shape:
            raise InvalidInputError(f"an image set needs at least one image, got shape {shape}")
        wanted: dict[Signal, tuple[tuple[int, ...], type]] = {
            "depth": (shape[:3], np.uint16),
            "mask": (shape[:3], np.bool_),
            "frames": (shape, np.uint8),
        }
        for name, (size, kind) in wanted.items():
            signal = getattr(self, name)
            if signal is not None and (signal.shape != size or signal.dtype != kind):
                raise InvalidInputError(
                    f"{name} must be {np.dtype(kind)} of shape {size}, "
                    f"got {signal.dtype} {signal.shape}"
                )
        for f in self._present():
            object.__setattr__(self, f.name, read_only(getattr(self, f.name)))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, index: slice | Array) -> ImageSet:
        """Return a subset (slice, boolean mask or index array), signals included."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in self._present()})

    def _present(self) -> list[Field[Any]]:
        return [f for f in fields(self) if getattr(self, f.name) is not None]

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Names of the signals that are present."""
        return tuple(name for name in SIGNALS if getattr(self, name) is not None)

    def restricted(self, signals: Sequence[str]) -> ImageSet:
        """Return the same images with only the named signals.

        Raises:
            InvalidInputError: a named signal is not in this set.
        """
        if missing := [name for name in signals if name not in self.signals]:
            raise InvalidInputError(
                f"the data has no {', '.join(missing)}; it has: {', '.join(self.signals) or 'RGB'}"
            )
        return ImageSet(self.images, **{name: getattr(self, name) for name in signals})


@dataclass(frozen=True)
class Labelled:
    """Images with annotation; only protocols, the evaluator and readers of labels hold one.

    Attributes:
        images: the images, N of them.
        landmarks: (N, L, 2) float, (x, y) in [0, 1]; 0 where not visible.
        visible: (N, L) bool; False where the label is missing.
        groups: (N,) identity of what is shown (person, subject), for leak checks; None if unknown.
        activities: (N,) str, what is done, for means over activities; None if unknown.
        boxes: (N, 4) float, x, y, width and height of the object in [0, 1] of the image, for errors
            in units of the object; None if unknown.
        aspect: (N,) float, width / height of what the image shows, for an image that was squashed
            into a square; None: nothing was.
        names: of the L landmarks, in order; `mirrored_pairs` finds left and right in them. Empty
            if unknown.
    """

    images: ImageSet
    landmarks: Array
    visible: Array
    groups: Array | None = None
    activities: Array | None = None
    boxes: Array | None = None
    aspect: Array | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check shapes and finiteness, and take read-only views."""
        n = len(self.images)
        if self.landmarks.ndim != 3 or self.landmarks.shape[::2] != (n, 2):
            raise InvalidInputError(
                f"landmarks must have shape ({n}, L, 2), got {self.landmarks.shape}"
            )
        if self.visible.shape != self.landmarks.shape[:2] or self.visible.dtype != np.bool_:
            raise InvalidInputError(
                f"visible must be bool of shape {self.landmarks.shape[:2]}, "
                f"got {self.visible.dtype} {self.visible.shape}"
            )
        if not np.isfinite(self.landmarks).all():
            raise InvalidInputError("landmarks contain NaN or infinity; mark them not visible")
        if self.names and len(self.names) != self.landmarks.shape[1]:
            raise InvalidInputError(
                f"{self.landmarks.shape[1]} landmarks need as many names, got {len(self.names)}"
            )
        sizes = {"groups": (n,), "activities": (n,), "boxes": (n, 4), "aspect": (n,)}
        for name, size in sizes.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != size:
                raise InvalidInputError(f"{name} must have shape {size}, got {np.shape(value)}")
        for name in ("landmarks", "visible"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, index: slice | Array) -> Labelled:
        """Return a subset (slice, boolean mask or index array), annotation included."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "names"}
        return replace(self, **{k: v[index] for k, v in kept.items() if v is not None})


@dataclass(frozen=True)
class Splits:
    """The data of one protocol: discovery is unlabelled, the regressor fits on `regression`."""

    discovery: ImageSet
    regression: Labelled
    test: Labelled
    validation: Labelled | None = None


@dataclass(frozen=True)
class Keypoints:
    """What a method finds.

    Attributes:
        points: (N, K, 2) float, (x, y) in [0, 1].
        confidence: (N, K) float in [0, 1], or None.
        graph: (K, K) float edge weights, symmetric, shared by all images, or None.
    """

    points: Array
    confidence: Array | None = None
    graph: Array | None = None

    def checked(self, n_images: int, n_keypoints: int | None, who: str) -> Keypoints:
        """Return self when the contract holds.

        Raises:
            ContractError: wrong shape or K, NaN, points further than one image size outside or
                in another unit (see `Span`), a confidence that is not one number in [0, 1] a
                keypoint, or a graph that has not a finite weight for each pair of keypoints.
        """
        points = np.asarray(self.points)
        k = points.shape[1] if points.ndim == 3 and n_keypoints is None else n_keypoints
        if points.shape != (n_images, k, 2):
            raise ContractError(
                f"{who}: predict returned keypoints of shape {points.shape}, not "
                f"({n_images}, {k}, 2)"
            )
        if not np.issubdtype(points.dtype, np.floating) or not np.isfinite(points).all():
            bad = 0 if points.dtype.kind != "f" else int((~np.isfinite(points)).any((1, 2)).sum())
            raise ContractError(
                f"{who}: predict must return finite floats, got {points.dtype}, "
                f"not finite in {bad} of {n_images} images"
            )
        span = Span()
        span.add(points)
        if fault := span.fault():
            raise ContractError(f"{who}: keypoints must be (x, y) in [0, 1] of the image, {fault}")
        self._check_confidence(who)
        self._check_graph(who)
        return self

    def _check_confidence(self, who: str) -> None:
        if self.confidence is None:
            return
        found = np.asarray(self.confidence)
        if found.shape != self.points.shape[:2] or not ((found >= 0) & (found <= 1)).all():
            raise ContractError(
                f"{who}: the confidence must be in [0, 1] and of shape {self.points.shape[:2]}, a "
                f"number for each keypoint, got {found.dtype} {found.shape}"
            )

    def _check_graph(self, who: str) -> None:
        if self.graph is None:
            return
        k, graph = np.shape(self.points)[1], np.asarray(self.graph)
        if graph.shape != (k, k) or graph.dtype.kind != "f" or not np.isfinite(graph).all():
            raise ContractError(
                f"{who}: the graph must be finite floats of shape ({k}, {k}), a weight for each "
                f"pair of keypoints, got {graph.dtype} {graph.shape}"
            )
