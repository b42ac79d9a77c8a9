"""What a task promises: what a method is asked for, and how that is predicted and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kpbench.contracts.method import Method
from kpbench.contracts.protocol import EvaluationProtocol
from kpbench.contracts.types import Array, Signal

if TYPE_CHECKING:
    from kpbench.records.record import LabelCurve, Score


@dataclass(frozen=True)
class Measured:
    """What a record keeps of a run, and the files to keep: predictions and per-image scores.

    Diagnostics that a task does not have stay empty.
    """

    scores: Mapping[str, Score]
    unscored: Mapping[str, str]
    files: Mapping[str, bytes]
    seconds: Mapping[str, float]
    foreground_hits: float | None = None
    equivariance: Mapping[str, float] | None = None
    diagnostics: Mapping[str, float] | None = None
    label_efficiency: LabelCurve | None = None


@runtime_checkable
class Task(Protocol):
    """One object a task; `image->2D` is kpbench's own, any other comes with its protocols.

    `Splits`, below, is whatever the protocols of the task load, and `Part` a labelled part of it.
    """

    @property
    def name(self) -> str:
        """What goes in and what comes out, e.g. "image->2D"."""
        ...

    @property
    def signals(self) -> Sequence[Signal]:
        """What measuring reads besides what the method is shown, where the data has it."""
        ...

    def accepts(self, method: Method) -> bool:
        """Return whether the method is for this task: whether `method.task` is a name of it."""
        ...

    def supervision(self, method: Method) -> str:
        """Return what the method is told besides the task's bare input, as a board shows it."""
        ...

    def discovery(self, splits: Any, method: Method, who: str) -> Any:
        """Return what the method is fitted on, with the signals that it needs and no other.

        Args:
            splits: of a protocol.
            method: not fitted.
            who: whose data it is, for the error.

        Raises:
            InvalidInputError: it is too little, or a signal is not there.
        """
        ...

    def predict(self, method: Method, part: Any, n_keypoints: int) -> Any:
        """Return what a fitted method finds in a labelled part, checked.

        Raises:
            ContractError: the prediction is not what the task asks for.
        """
        ...

    def measure(
        self, method: Method, protocol: EvaluationProtocol, splits: Any, n_keypoints: int
    ) -> Measured:
        """Predict, score under every evaluator of the protocol, and diagnose.

        Raises:
            ContractError: a prediction is not what the task asks for.
            UndefinedScoreError: the default evaluator has nothing to average.
            InvalidInputError: the default evaluator cannot be applied.
        """
        ...

    def toys(self) -> Any:
        """Return small data to check methods on: `Splits` whose `test` can be indexed by images."""
        ...

    def numbers(self, prediction: Any) -> Array:
        """Return a prediction as an array, (N, ...), N images; a unit of it is the whole image."""
        ...

    def check_data(
        self, protocol: EvaluationProtocol, splits: Any, signals: Sequence[Signal]
    ) -> None:
        """Check the `smoke` data of a protocol: sizes, leaks, what its evaluators make of it.

        Args:
            protocol: of this task.
            splits: its data.
            signals: those that were loaded.

        Raises:
            AssertionError: a promise is broken; the message names protocol and promise.
        """
        ...
