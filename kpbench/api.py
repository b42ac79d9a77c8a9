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
from kpbench.contracts.parameters import (
    Channels,
    Images,
    NotNegative,
    Pixels,
    Positive,
    Share,
    Steps,
    check_parameters,
)
from kpbench.contracts.protocol import ConfigurableProtocol, EvaluationProtocol, PreparedProtocol
from kpbench.contracts.recipes import DeclaredRecipe, declare_recipe, declared, for_recipe
from kpbench.contracts.task import Measured, Task
from kpbench.contracts.types import (
    PRECISIONS,
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
from kpbench.errors import TrainingError, UnknownNameError

__all__ = [
    "PRECISIONS",
    "SIGNALS",
    "Array",
    "Channels",
    "ConfigurableProtocol",
    "DeclaredRecipe",
    "Device",
    "EvaluationProtocol",
    "ExportableMethod",
    "FitContext",
    "ImageSet",
    "Images",
    "Keypoints",
    "LabelReader",
    "Labelled",
    "Measured",
    "Method",
    "MethodBase",
    "MovableMethod",
    "NotNegative",
    "Pixels",
    "Positive",
    "PreparedProtocol",
    "Progress",
    "Recipe",
    "Reference",
    "Share",
    "Signal",
    "Splits",
    "Steps",
    "Task",
    "declare_recipe",
    "no_progress",
    "read_only",
]


@dataclass
class MethodBase(ABC):
    """Defaults for a method: subclass it as a dataclass whose fields are the parameters.

    Their annotations say which values they may have, see `kpbench.contracts.parameters`.

    A subclass sets `name` and implements `fit` and `predict`. What `fit` learns is returned by
    `state` and taken back by `restore`; saving, loading and checking are done here.

    Attributes:
        recipes: parameters by recipe; what a recipe does not name is the dataclass's default, which
            is the paper's value, so that `paper` need not be named. A method that names no recipe
            has the same values in all.
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
    recipes: ClassVar[Mapping[Recipe, Mapping[str, Any]]] = {}

    def configured(self, *, role: str, recipe: Recipe, overrides: Mapping[str, Any]) -> Self:
        """Return a new method with the recipe's values, then `overrides`; `role` changes nothing.

        Raises:
            UnknownNameError: no such recipe, see `of_recipe`, or an override names no parameter.
            TrainingError: a value that the annotation of its field does not allow.
        """
        return self._with({**self.of_recipe(recipe), **overrides})

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Mapping[str, Any]:
        """Return the parameters that a recipe names.

        A method that names some recipes is refused the others, as its row would not be what it is
        called; a reference, which is not trained, takes those of the recipe's base.

        Raises:
            UnknownNameError: no such recipe, or the method has no values for it.
        """
        declared(recipe)
        if not cls.recipes:
            return {}
        named: dict[Recipe, Mapping[str, Any]] = {"paper": {}, **cls.recipes}
        if cls.reference:
            return for_recipe(recipe, named, cls.name)
        if recipe not in named:
            raise UnknownNameError(
                f"{cls.name} has no values for the recipe {recipe!r}; it has: {', '.join(named)}"
            )
        return named[recipe]

    def _with(self, values: Mapping[str, Any]) -> Self:
        check_parameters(type(self), values, self.name, TrainingError)
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
        from kpbench.files.checkpoint import read_checkpoint, restoring

        state = read_checkpoint(folder, self)
        with restoring(folder, state):
            self.restore(state)
            for name in self.state():  # what `restore` does without is lost, too
                state[name]
