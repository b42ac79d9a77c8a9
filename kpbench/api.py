"""The contracts of kpbench and the types they exchange. A plugin author needs this file alone.

Conventions, everywhere: points are (x, y) in [0, 1] of the image, and pixel i of n has its centre
at (i + 0.5) / n. Images are uint8, (N, H, W, 3), RGB, read-only. A method or a file format with
another convention converts at its own border.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kpbench.contracts.method_base import MethodBase
from kpbench.contracts.types import (
    PRECISIONS,
    RECIPES,
    SIGNALS,
    Array,
    Device,
    FitContext,
    ImageSet,
    Keypoints,
    Labelled,
    Progress,
    Recipe,
    Signal,
    Splits,
    Task,
    no_progress,
    read_only,
)

if TYPE_CHECKING:
    from torch import nn

    from kpbench.scoring.spec import EvaluatorSpec

__all__ = [
    "PRECISIONS",
    "RECIPES",
    "SIGNALS",
    "Array",
    "ConfigurableProtocol",
    "Device",
    "EvaluationProtocol",
    "ExportableMethod",
    "FitContext",
    "ImageSet",
    "Keypoints",
    "LabelReader",
    "Labelled",
    "Method",
    "MethodBase",
    "PreparedProtocol",
    "Progress",
    "Recipe",
    "Signal",
    "Splits",
    "Task",
    "no_progress",
    "read_only",
]


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
    def task(self) -> Task:
        """What goes in and what comes out."""
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
    """A method of task `labels->2D`: the oracle. Its keypoints are as many as it likes."""

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
        in [0, 1], and `logits`, (B, K, n, n), of which a softmax makes heatmaps.

        Raises:
            CheckpointError: the method is not fitted.
        """
        ...


@runtime_checkable
class EvaluationProtocol(Protocol):
    """Owns data, splits, K and the default evaluator. Named so because typing has a Protocol."""

    @property
    def name(self) -> str:
        """Equal to the module's name, and the data set part of its evaluators' names."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same keypoints give another score; old versions stay runnable."""
        ...

    @property
    def description(self) -> str:
        """One sentence: what the images show and what is asked."""
        ...

    @property
    def paper(self) -> str:
        """Where the protocol, or the one whose role it takes, was published."""
        ...

    @property
    def role(self) -> str:
        """The published benchmark whose training settings apply: human36m, deepfashion, taichi."""
        ...

    @property
    def n_keypoints(self) -> int:
        """K, the number of keypoints that a method is asked for."""
        ...

    @property
    def landmarks(self) -> Sequence[str]:
        """Names of the L annotated landmarks, in order."""
        ...

    @property
    def evaluator(self) -> str:
        """Name of the default evaluator, one of `evaluators`."""
        ...

    @property
    def evaluators(self) -> Sequence[EvaluatorSpec]:
        """The default evaluator and the others that a run is scored under."""
        ...

    @property
    def default(self) -> bool:
        """Whether `kpbench evaluate` without arguments runs it."""
        ...

    @property
    def signals(self) -> Sequence[Signal]:
        """The optional signals that the data has."""
        ...

    def sizes(self, recipe: Recipe) -> Mapping[str, int]:
        """Return {"discovery", "regression", "test"}: images, and {"pixels"}: their side."""
        ...

    def fingerprint(self, recipe: Recipe) -> str:
        """Return a hash of everything that determines the data, without making the data."""
        ...

    def splits(
        self,
        recipe: Recipe,
        *,
        device: Device = "cpu",
        signals: Sequence[Signal] = (),
        progress: Progress = no_progress,
    ) -> Splits:
        """Load the data, making it first when necessary.

        Args:
            recipe: selects the sizes.
            device: where data that has to be made is made.
            signals: optional signals that must be present in every split.
            progress: told about data that is being made.
        """
        ...


@runtime_checkable
class ConfigurableProtocol(EvaluationProtocol, Protocol):
    """A protocol with arguments, e.g. which background; those that are set are in the identity."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What can be chosen, JSON-serialisable, and how it is chosen here."""
        ...

    def configured(self, arguments: Mapping[str, Any]) -> EvaluationProtocol:
        """Return the protocol with other arguments.

        Raises:
            UnknownNameError: there is no such argument, or no such value of it.
        """
        ...


@runtime_checkable
class PreparedProtocol(EvaluationProtocol, Protocol):
    """A protocol whose data has to be packed once before its fingerprint is known."""

    def prepare(self, recipe: Recipe, progress: Progress = no_progress) -> None:
        """Pack the data as far as that has not been done.

        Raises:
            MissingDataError: the data is not on this machine; says how to get it.
        """
        ...

    def deviations(self, recipe: Recipe) -> Sequence[str]:
        """Return one sentence for each way in which the data differs from what was published."""
        ...

    def signal_fingerprint(self, recipe: Recipe, signals: Sequence[Signal]) -> str:
        """Return a hash of how computed signals (depth) were made, "" when none was.

        Raises:
            MissingDataError: a signal has not been computed; holds the command.
        """
        ...
