"""What a method promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kpbench.contracts.types import (
    Array,
    Device,
    ImageSet,
    Keypoints,
    Labelled,
    Progress,
    Recipe,
    Signal,
    no_progress,
)

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FitContext:
    """What training may use besides the images.

    Attributes:
        device: where to train.
        precision: one of `PRECISIONS`.
        recipe: how much training.
        checkpoints: folder for resumable training state, or None.
        progress: called with (steps done, steps in all, short text).
        dependency: the fitted method named by `depends_on`, frozen; None if there is none.
    """

    device: Device = "cpu"
    precision: str = "32-true"
    recipe: Recipe = "quick"
    checkpoints: Path | None = None
    progress: Progress = no_progress
    dependency: Method | None = None


@runtime_checkable
class Method(Protocol):
    """Discovers keypoints without labels. Most plugins subclass `MethodBase`."""

    @property
    def name(self) -> str:
        """Equal to the module's name."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same parameters give other keypoints."""
        ...

    @property
    def task(self) -> str:
        """What goes in and what comes out: a name that the `Task` of a protocol accepts."""
        ...

    @property
    def needs(self) -> Sequence[Signal]:
        """Signals used while training, besides RGB."""
        ...

    @property
    def inputs(self) -> Sequence[Signal]:
        """Signals used at prediction, besides RGB."""
        ...

    @property
    def depends_on(self) -> str | None:
        """A method that is trained first on the same data."""
        ...

    @property
    def requires(self) -> Sequence[str]:
        """Optional packages (import names) without which the method is skipped."""
        ...

    @property
    def paper(self) -> str:
        """Where the method was published, or "" for a reference row."""
        ...

    def configured(self, *, role: str, recipe: Recipe, overrides: Mapping[str, Any]) -> Method:
        """Return a new, unfitted method with the settings for one protocol role and recipe."""
        ...

    def params(self) -> Mapping[str, Any]:
        """Everything that changes the result, JSON-serialisable; part of the identity."""
        ...

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Learn from unlabelled images only."""
        ...

    def predict(self, images: ImageSet) -> Keypoints:
        """Return K keypoints an image; one image must not affect another."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted state (safetensors and JSON)."""
        ...

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote.

        Raises:
            CheckpointError: missing, corrupt, or of another method.
        """
        ...


@runtime_checkable
class LabelReader(Method, Protocol):
    """A method that predicts by way of `labels->2D`; as many keypoints as it likes."""

    def fit(
        self, images: ImageSet | Labelled, *, n_keypoints: int, seed: int, context: FitContext
    ) -> None:
        """Learn from the labelled training images, which its task hands over."""
        ...

    def read(self, labelled: Labelled) -> Keypoints:
        """Return keypoints from the annotation."""
        ...


@runtime_checkable
class MovableMethod(Method, Protocol):
    """A method that predicts on a GPU as well; `load` leaves it on the CPU."""

    def to(self, device: Device) -> None:
        """Predict on this device from now on."""
        ...


@runtime_checkable
class ExportableMethod(Method, Protocol):
    """A method that finds keypoints with one network, which `kpbench export` writes."""

    @property
    def image_size(self) -> int:
        """S, the side in pixels of what the network takes."""
        ...

    def pixels(self, images: ImageSet) -> Array:
        """Return the pictures that the network looks at, uint8 (N, H, W, 3), not yet resized."""
        ...

    def detector(self) -> nn.Module:
        """Return the fitted network.

        It maps float (B, 3, S, S) in [-1, 1] to an object with the attributes `points`, (B, K, 2)
        in [0, 1], and `logits`, (B, K, n, n), of which a softmax makes heatmaps, or None.

        Raises:
            CheckpointError: the method is not fitted.
        """
        ...
