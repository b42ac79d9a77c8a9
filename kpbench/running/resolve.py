"""A cell of the grid made concrete: configured plugins, identity, the runs that it builds on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from kpbench.api import (
    Device,
    EvaluationProtocol,
    Method,
    PreparedProtocol,
    Progress,
    Recipe,
    Reference,
    Signal,
    Task,
)
from kpbench.data.variants import configured
from kpbench.errors import InvalidInputError, MissingWeightsError
from kpbench.files.checkpoint import checkpoint_hash
from kpbench.records.record import Identity
from kpbench.records.shipped import Shipped, find_shipped
from kpbench.registry import configured_method, find, load_method
from kpbench.running.code import Code, code_of
from kpbench.running.plan import Cell
from kpbench.running.tasks import task_of

Rerun = Literal["", "all", "changed"]
"""What is run again although its record is good: nothing, all, or what was made by other code."""
RERUNS: tuple[Rerun, ...] = get_args(Rerun)


@dataclass(frozen=True)
class Settings:
    """How the grid is run.

    Attributes:
        results: folder of the records.
        recipe: how much training.
        device: "cpu" or "cuda".
        precision: a Lightning precision string.
        rerun: what is run again that has a record already.
        overrides: parameters by method name, part of the identity.
        arguments: arguments by protocol name, part of the identity.
        pretrained: score shipped weights instead of training; reference rows are fitted.

    Raises:
        InvalidInputError: parameters are set for weights that have their own.
    """

    results: Path
    recipe: Recipe = "quick"
    device: Device = "cpu"
    precision: str = "32-true"
    rerun: Rerun = ""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pretrained: bool = False

    def __post_init__(self) -> None:
        """Check that nothing is set that training alone could follow."""
        if self.pretrained and self.overrides:
            raise InvalidInputError(
                f"shipped weights have parameters of their own; leave out either --pretrained or "
                f"what is set for {', '.join(self.overrides)}"
            )

    def title(self, cell: Cell) -> str:
        """Return the name of a cell, with the parameters that are set for its method."""
        own = self.overrides.get(cell.method, {})
        named = ", ".join(f"{name}={value}" for name, value in own.items())
        return f"{cell} ({named})" if named else str(cell)


@dataclass(frozen=True)
class Run:
    """What one cell trains and scores.

    Attributes:
        cell: the entry of the grid.
        settings: how it is run.
        method: configured, not fitted.
        protocol: configured.
        identity: of the record.
        code: on which the result depends, as it was when this was resolved.
        dependency: the run that fits the method that this one depends on, or None.
        origin: the run on another protocol whose fitted method is scored, or None.
        weights: what is scored instead of training, or None.
    """

    cell: Cell
    settings: Settings
    method: Method
    protocol: EvaluationProtocol
    identity: Identity
    code: Code
    dependency: Run | None = None
    origin: Run | None = None
    weights: Shipped | None = None

    @property
    def fits(self) -> bool:
        """Whether the method is fitted to the protocol's own images."""
        return self.origin is None and self.weights is None

    @property
    def task(self) -> Task:
        """What is asked for."""
        return task_of(self.protocol)

    @property
    def title(self) -> str:
        """Name of the cell, with the parameters that are set for its method."""
        return self.settings.title(self.cell)

    def file(self, ending: str) -> Path:
        """Return the path of a file or folder of the run, e.g. "json" or "model"."""
        return self.identity.file(self.settings.results, ending)

    @property
    def reference(self) -> Reference:
        """What the method is to those that are ranked, "" if it is one of them."""
        found: Reference = getattr(self.method, "reference", "")
        return found

    @property
    def trains(self) -> bool:
        """Whether what the run scores depends on how it is trained."""
        return self.fits and not self.reference

    @property
    def needed(self) -> Run | None:
        """The run that has to be fitted before this one."""
        return self.origin or self.dependency

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What is loaded besides RGB: what the method is shown here, and what measuring reads."""
        wanted = {*_shown(self.method, fits=self.fits), *self.task.signals}
        return tuple(s for s in self.protocol.signals if s in wanted)

    @property
    def lacking(self) -> list[str]:
        """The signals that the method asks for and the data does not have."""
        shown = _shown(self.method, fits=self.fits)
        here = [s for s in shown if s not in self.protocol.signals]
        return here + (self.origin.lacking if self.origin else [])

    @property
    def obstacle(self) -> str:
        """Why the method cannot be run on the protocol, "" if it can."""
        if not self.task.accepts(self.method):
            return f"{self.method.name} is for {self.method.task}, not for {self.task.name}"
        return f"{self.protocol.name} has no {', '.join(self.lacking)}" if self.lacking else ""

    @property
    def deviations(self) -> list[str]:
        """Say where the data differs from what was published, e.g. in the size of a split."""
        if not isinstance(self.protocol, PreparedProtocol):
            return []
        return list(self.protocol.deviations(self.identity.recipe))

    @property
    def dependency_hash(self) -> str | None:
        """Return a hash of the fitted method that this run builds on, None if there is none."""
        return None if self.needed is None else checkpoint_hash(self.needed.file("model"))


def resolve(cell: Cell, settings: Settings, progress: Progress) -> Run:
    """Load and configure what a cell names; packs the data of a prepared protocol first.

    Raises:
        UnknownNameError: a name, parameter or argument that does not exist.
        MissingPackageError: a plugin needs a package that is not installed.
        MissingDataError: the data, or a signal that the method needs, is not on this machine.
        BrokenPluginError: a plugin cannot be imported.
        MissingWeightsError: shipped weights are asked for, and none are of this training.
        CheckpointError: shipped weights are corrupt.
    """
    if settings.pretrained and (weights := _weights(cell)) is not None:
        return _pretrained(cell, weights, settings, progress)
    protocol, arguments = configured(cell.protocol, settings.arguments.get(cell.protocol, {}))
    origin = dependency = None
    role, n_keypoints = protocol.role, protocol.n_keypoints
    if cell.train_on is not None:
        origin = resolve(Cell(cell.method, cell.train_on, cell.seed), settings, progress)
        role, n_keypoints = origin.protocol.role, origin.identity.n_keypoints
    method = _method(cell.method, role, settings)
    if origin is None and method.depends_on is not None:
        dependency = resolve(Cell(method.depends_on, cell.protocol, cell.seed), settings, progress)
    identity = Identity(
        protocol=protocol.name,
        protocol_version=protocol.version,
        data=_data(protocol, _shown(method, fits=origin is None), settings.recipe, progress),
        method=method.name,
        method_version=method.version,
        params=dict(method.params()),
        n_keypoints=n_keypoints,
        seed=cell.seed,
        recipe=settings.recipe,
        device=settings.device,
        dependency=None if dependency is None else dependency.identity,
        arguments=arguments,
        trained_on=None if origin is None else origin.identity,
    )
    code = _code(cell, protocol)
    return Run(cell, settings, method, protocol, identity, code, dependency, origin)


def _weights(cell: Cell) -> Shipped | None:
    """Return the shipped weights of a cell, None for a reference row: it learns nothing."""
    if cell.train_on is not None:
        raise InvalidInputError("shipped weights are trained already: leave out --train-on")
    try:
        return find_shipped(cell.method, cell.protocol)
    except MissingWeightsError:
        if load_method(cell.method).paper:
            raise
        return None


def _pretrained(cell: Cell, weights: Shipped, settings: Settings, progress: Progress) -> Run:
    """Return the run that scores shipped weights, if they are of the training that is asked for."""
    protocol, arguments = configured(cell.protocol, settings.arguments.get(cell.protocol, {}))
    params = weights.record.identity.params
    method = configured_method(
        cell.method, role=protocol.role, recipe=settings.recipe, overrides=params
    )
    data = _data(protocol, _shown(method, fits=False), settings.recipe, progress)
    trained = weights.check_asked(
        protocol, seed=cell.seed, recipe=settings.recipe, data=data, arguments=arguments
    )
    identity = Identity(
        protocol=protocol.name,
        protocol_version=protocol.version,
        data=data,
        method=method.name,
        method_version=method.version,
        params=dict(method.params()),
        n_keypoints=trained.n_keypoints,
        seed=cell.seed,
        recipe=settings.recipe,
        device=settings.device,
        dependency=trained.dependency,
        arguments=arguments,
        pretrained=weights.content,
    )
    code = _code(cell, protocol)
    return Run(cell, settings, method, protocol, identity, code, weights=weights)


def _code(cell: Cell, protocol: EvaluationProtocol) -> Code:
    plugins = find("methods", cell.method), find("protocols", cell.protocol)
    return code_of(*plugins, task_of(protocol))


def _method(name: str, role: str, settings: Settings) -> Method:
    return configured_method(
        name, role=role, recipe=settings.recipe, overrides=settings.overrides.get(name, {})
    )


def _shown(method: Method, *, fits: bool) -> list[Signal]:
    """Return the signals that a method is shown, in fitting and prediction or in the latter."""
    return list(dict.fromkeys([*(method.needs if fits else ()), *method.inputs]))


def _data(
    protocol: EvaluationProtocol, shown: list[Signal], recipe: Recipe, progress: Progress
) -> str:
    """Return the fingerprint of the data, with that of computed signals that are shown."""
    if not isinstance(protocol, PreparedProtocol):
        return protocol.fingerprint(recipe)
    protocol.prepare(recipe, progress)
    signals = [s for s in shown if s in protocol.signals]
    computed = protocol.signal_fingerprint(recipe, signals)
    return protocol.fingerprint(recipe) + (f"+{computed}" if computed else "")
