"""Run a grid of methods, protocols and seeds; a failure is a record, and the run goes on."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kpbench.api import (
    Device,
    EvaluationProtocol,
    FitContext,
    Method,
    Progress,
    Recipe,
    Signal,
    Splits,
    no_progress,
)
from kpbench.checkpoint import checkpoint_hash
from kpbench.errors import (
    CheckpointError,
    ContractError,
    InvalidInputError,
    KpbenchError,
    MissingPackageError,
    RecordError,
)
from kpbench.measure import measure
from kpbench.plan import Cell
from kpbench.provenance import collect, failure_of, now, source_hash
from kpbench.records import Artifact, Identity, Record, read_record
from kpbench.registry import find, load_method, load_protocol
from kpbench.storage import check_writable, write_artifact


@dataclass(frozen=True)
class Outcome:
    """What became of a cell, and why."""

    cell: Cell
    status: Literal["ok", "cached", "skipped", "failed"]
    reason: str
    record: Record | None = None
    trace: str = ""


@dataclass(frozen=True)
class Settings:
    """How the grid is run.

    Attributes:
        results: folder of the records.
        recipe: how much training.
        device: "cpu" or "cuda".
        precision: a Lightning precision string.
        rerun: run again what has a record already.
        overrides: parameters by method name, part of the identity.
    """

    results: Path
    recipe: Recipe = "quick"
    device: Device = "cpu"
    precision: str = "32-true"
    rerun: bool = False
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def evaluate(
    cells: Sequence[Cell], settings: Settings, progress: Progress = no_progress
) -> Iterator[Outcome]:
    """Run the cells in order and yield what became of each as soon as it is known.

    Every finished cell is on disk before the next one starts, so a kill loses at most one.

    Raises:
        StorageError: the results folder cannot be written; nothing was run.
    """
    check_writable(settings.results)
    run = _Run(settings, progress)
    for cell in cells:
        yield run.outcome(cell)


class _Run:
    """The data of the current protocol is kept between cells; all else is on disk."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self._splits: tuple[tuple[object, ...], Splits] | None = None

    def outcome(self, cell: Cell) -> Outcome:
        try:
            protocol = load_protocol(cell.protocol)
            method = self._configured(cell.method, protocol)
            if lacking := _lacking(method, protocol):
                return Outcome(cell, "skipped", f"{protocol.name} has no {', '.join(lacking)}")
            identity = self._identity(method, protocol, cell.seed)
            stored, reason = self._stored(identity)
        except MissingPackageError as error:
            return Outcome(cell, "skipped", str(error))
        except KpbenchError as error:
            return Outcome(cell, "failed", str(error), trace=traceback.format_exc())
        if stored is not None:
            return Outcome(cell, "cached", reason, stored)
        return self._train_and_score(cell, method, protocol, identity, reason)

    def _configured(self, name: str, protocol: EvaluationProtocol) -> Method:
        return load_method(name).configured(
            role=protocol.role,
            recipe=self.settings.recipe,
            overrides=self.settings.overrides.get(name, {}),
        )

    def _identity(self, method: Method, protocol: EvaluationProtocol, seed: int) -> Identity:
        dependency = None
        if method.depends_on is not None:
            other = self._configured(method.depends_on, protocol)
            dependency = self._identity(other, protocol, seed)
        return Identity(
            protocol=protocol.name,
            protocol_version=protocol.version,
            data=protocol.fingerprint(self.settings.recipe),
            method=method.name,
            method_version=method.version,
            params=dict(method.params()),
            n_keypoints=protocol.n_keypoints,
            seed=seed,
            recipe=self.settings.recipe,
            device=self.settings.device,
            dependency=dependency,
        )

    def _stored(self, identity: Identity) -> tuple[Record | None, str]:
        """Return the record to reuse, or None and why the cell has to run."""
        path = identity.file(self.settings.results, "json")
        if self.settings.rerun:
            return None, "asked for"
        if not path.exists():
            return None, "new"
        record = read_record(path)
        if record.identity != identity:
            raise RecordError(f"the record {path} has another identity; delete it or use --rerun")
        if record.status != "ok":
            return None, f"{record.status} before"
        if record.provenance.get("source") != _source(identity):
            return None, "its code changed"
        trained_on, found = record.provenance.get("dependency"), self._dependency_hash(identity)
        if trained_on and found and trained_on != found:
            return None, "the method that it depends on changed"
        return record, f"of {record.provenance.get('finished', 'unknown date')}"

    def _train_and_score(
        self,
        cell: Cell,
        method: Method,
        protocol: EvaluationProtocol,
        identity: Identity,
        reason: str,
    ) -> Outcome:
        started = now()
        root = self.settings.results
        fields: dict[str, Any] = {
            "identity": identity,
            "evaluator": protocol.evaluator,
            "supervision": supervision(method),
        }
        failure = trace = ""
        try:
            seconds = self._fit(cell, method, protocol, identity)
            self.progress(0, 1, "scoring")
            result = measure(method, protocol, self._data(protocol, method))
            artifacts = {
                kind: _keep(identity.file(root, f"{kind}.npz"), data)
                for kind, data in result.files.items()
            }
            record = Record(
                **fields,
                status="ok",
                scores=result.scores,
                foreground_hits=result.foreground_hits,
                artifacts=artifacts,
                seconds={**seconds, **result.seconds},
                provenance=self._provenance(identity, started),
            )
        except Exception as error:
            failure, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
            record = Record(
                **fields,
                status="failed",
                error=failure_of(error),
                provenance=self._provenance(identity, started),
            )
        try:
            record.save(root)
        except KpbenchError as error:
            return Outcome(cell, "failed", str(error), record, traceback.format_exc())
        if failure:
            return Outcome(cell, "failed", failure, record, trace)
        return Outcome(cell, "ok", reason, record)

    def _fit(
        self, cell: Cell, method: Method, protocol: EvaluationProtocol, identity: Identity
    ) -> dict[str, float]:
        """Fit and save the method; return the seconds it took, without those of its dependency."""
        dependency = self._dependency(cell, method, protocol, identity)
        discovery = self._data(protocol, method).discovery
        if len(discovery) < 2:
            raise InvalidInputError(
                f"{protocol.name} has {len(discovery)} image to discover keypoints in; "
                "at least 2 are needed"
            )
        root = self.settings.results
        training = identity.file(root, "training")
        if identity.file(root, "json").exists():
            shutil.rmtree(training, ignore_errors=True)  # of other code: not to be resumed
        context = FitContext(
            device=self.settings.device,
            precision=self.settings.precision,
            recipe=self.settings.recipe,
            checkpoints=training,
            progress=self.progress,
            dependency=dependency,
        )
        clock = time.perf_counter()
        method.fit(
            discovery.restricted(method.needs),
            n_keypoints=protocol.n_keypoints,
            seed=identity.seed,
            context=context,
        )
        seconds = {"fit": round(time.perf_counter() - clock, 3)}
        method.save(identity.file(root, "model"))
        shutil.rmtree(training, ignore_errors=True)
        return seconds

    def _dependency(
        self, cell: Cell, method: Method, protocol: EvaluationProtocol, identity: Identity
    ) -> Method | None:
        """Load the fitted method that this one depends on, training it when it is not there."""
        if method.depends_on is None or identity.dependency is None:
            return None
        other = self._configured(method.depends_on, protocol)
        try:
            other.load(identity.dependency.file(self.settings.results, "model"))
        except CheckpointError:
            needed = Cell(other.name, cell.protocol, cell.seed)
            found = self._train_and_score(
                needed, other, protocol, identity.dependency, f"needed by {method.name}"
            )
            if found.status != "ok":
                raise ContractError(
                    f"{method.name} needs {other.name}, which failed: {found.reason}"
                ) from None
        return other

    def _data(self, protocol: EvaluationProtocol, method: Method) -> Splits:
        wanted = {*method.needs, *method.inputs, *({"mask"} & {*protocol.signals})}
        signals: tuple[Signal, ...] = tuple(s for s in protocol.signals if s in wanted)
        key = (protocol.name, signals)
        if self._splits is None or self._splits[0] != key:
            self._splits = (
                key,
                protocol.splits(
                    self.settings.recipe,
                    device=self.settings.device,
                    signals=signals,
                    progress=self.progress,
                ),
            )
        return self._splits[1]

    def _provenance(self, identity: Identity, started: str) -> dict[str, Any]:
        machine = collect(self.settings.device)
        times = {"started": started, "finished": now()}
        code = {"source": _source(identity), "precision": self.settings.precision}
        if found := self._dependency_hash(identity):
            code["dependency"] = found
        return {**machine, **code, **times}

    def _dependency_hash(self, identity: Identity) -> str | None:
        if identity.dependency is None:
            return None
        return checkpoint_hash(identity.dependency.file(self.settings.results, "model"))


def _keep(path: Path, data: bytes) -> Artifact:
    return Artifact(file=path.name, sha256=write_artifact(path, data))


def _source(identity: Identity) -> str:
    return source_hash(find("methods", identity.method), find("protocols", identity.protocol))


def _lacking(method: Method, protocol: EvaluationProtocol) -> list[str]:
    return [s for s in (*method.needs, *method.inputs) if s not in protocol.signals]


def supervision(method: Method) -> str:
    """Return what a method is told besides unlabelled RGB images, as the board shows it."""
    if method.task == "labels->2D":
        return "labels"
    told = [f"{signal} (input)" for signal in method.inputs]
    told += [f"{signal} (training)" for signal in method.needs if signal not in method.inputs]
    return ", ".join(told) or "none"
