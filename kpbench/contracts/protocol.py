"""What an evaluation protocol promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kpbench.contracts.types import Device, Progress, Recipe, Signal, Splits, no_progress

if TYPE_CHECKING:
    from kpbench.scoring.spec import EvaluatorSpec


@runtime_checkable
class EvaluationProtocol(Protocol):
    """Owns data, splits, K and the default evaluator. Named so because typing has a Protocol.

    One of another task than image->2D has an attribute `task`, a `kpbench.contracts.task.Task`.
    """

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
        """The published benchmark whose training settings apply, e.g. human36m, or one's own."""
        ...

    @property
    def n_keypoints(self) -> int:
        """K, the number of keypoints that a method is asked for."""
        ...

    @property
    def landmarks(self) -> Sequence[str]:
        """Names of the L annotated landmarks, in order.

        Those at the ends of a body (wrists, ankles, the head) may be named once more in an
        attribute `extremities`: how many have a keypoint near them is then told beside the score.
        """
        ...

    @property
    def evaluator(self) -> str:
        """Name of the default evaluator, one of `evaluators`."""
        ...

    @property
    def evaluators(self) -> Sequence[EvaluatorSpec]:
        """The default evaluator and the others that a run is scored under.

        Evaluators that only a comparison of evaluators uses may stand in an attribute `further`.
        """
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
