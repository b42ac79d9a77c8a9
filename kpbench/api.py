"""The contracts of kpbench and the types they exchange. A plugin author needs this file alone.

Conventions, everywhere: points are (x, y) in [0, 1] of the image, and pixel i of n has its centre
at (i + 0.5) / n. Images are uint8, (N, H, W, 3), RGB, read-only. A method or a file format with
another convention converts at its own border.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from kpbench.contracts.method import (
    ExportableMethod,
    FitContext,
    LabelReader,
    Method,
    MovableMethod,
)
from kpbench.contracts.protocol import ConfigurableProtocol, EvaluationProtocol, PreparedProtocol
from kpbench.contracts.task import Measured, Task
from kpbench.contracts.types import (
    PRECISIONS,
    RECIPES,
    SIGNALS,
    Array,
    Device,
    ImageSet,
    Keypoints,
    Labelled,
    Progress,
    Recipe,
    Reference,
    Signal,
    Splits,
    no_progress,
    read_only,
)
from kpbench.errors import UnknownNameError

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
    "Measured",
    "Method",
    "MethodBase",
    "MovableMethod",
    "PreparedProtocol",
    "Progress",
    "Recipe",
    "Reference",
    "Signal",
    "Splits",
    "Task",
    "no_progress",
    "read_only",
]


@dataclass
class MethodBase(ABC):
    """Defaults for a method: subclass it as a dataclass whose fields are the parameters.

    A subclass sets `name` and implements `fit` and `predict`. What `fit` learns is returned by
    `state` and taken back by `restore`; saving, loading and checking are done here.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    task: ClassVar[str] = "image->2D"
    needs: ClassVar[Sequence[Signal]] = ()
    inputs: ClassVar[Sequence[Signal]] = ()
    depends_on: ClassVar[str | None] = None
    requires: ClassVar[Sequence[str]] = ()
    paper: ClassVar[str] = ""
    reference: ClassVar[Reference] = ""

    def configured(self, *, role: str, recipe: Recipe, overrides: Mapping[str, Any]) -> Self:
        """Return a new method with `overrides` applied; `role` and `recipe` change nothing here.

        Raises:
            UnknownNameError: an override names no parameter.
        """
        return self._with(overrides)

    def _with(self, values: Mapping[str, Any]) -> Self:
        known = list(self.params())
        for name in values:
            if name not in known:
                raise UnknownNameError.of(f"parameter of {self.name}", name, known)
        return replace(self, **values)

    def params(self) -> dict[str, Any]:
        """Return the dataclass fields: everything that changes the result."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @abstractmethod
    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Learn from unlabelled images only."""

    @abstractmethod
    def predict(self, images: ImageSet) -> Keypoints:
        """Return K keypoints an image; one image must not affect another."""

    def state(self) -> dict[str, Array]:
        """Return what `fit` learnt, as named numpy arrays."""
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:  # noqa: B027 - optional, not abstract
        """Take back what `state` returned."""

    def save(self, folder: Path) -> None:
        """Write `state` as safetensors beside a JSON with name, version and parameters."""
        from kpbench.files.checkpoint import write_checkpoint

        write_checkpoint(folder, self, self.state())

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote.

        Raises:
            CheckpointError: missing, corrupt, or of another method, version or parameters.
        """
        from kpbench.files.checkpoint import read_checkpoint

        self.restore(read_checkpoint(folder, self))
