"""Run a grid of methods, protocols and seeds; a failure is a record, and the run goes on."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kpbench.api import FitContext, Method, MovableMethod, Progress, Splits, no_progress
from kpbench.boards.board import UNRANKED
from kpbench.errors import (
    CheckpointError,
    ContractError,
    InvalidInputError,
    KpbenchError,
    MissingDataError,
    MissingPackageError,
    MissingWeightsError,
    RecordError,
)
from kpbench.files.atomic import check_writable, write_artifact
from kpbench.records.record import Artifact, Record, read_record
from kpbench.running.measure import measure
from kpbench.running.plan import Cell
from kpbench.running.provenance import collect, failure_of, now
from kpbench.running.resolve import Run, Settings, resolve

__all__ = ["Outcome", "Runner", "Settings", "evaluate", "supervision"]

Status = Literal["ok", "cached", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a cell, and why."""

    cell: Cell
    status: Status
    reason: str
    record: Record | None = None
    trace: str = ""
    title: str = ""
    """Of the cell, with what is set for it; progress names it so, too."""


def evaluate(
    cells: Sequence[Cell], settings: Settings, progress: Progress = no_progress
) -> Iterator[Outcome]:
    """Run the cells in order and yield what became of each as soon as it is known.

    Every finished cell is on disk before the next one starts, so a kill loses at most one.

    Raises:
        StorageError: the results folder cannot be written; nothing was run.
    """
    check_writable(settings.results)
    runner = Runner(settings, progress)
    for cell in cells:
        yield runner.outcome(cell)


class Runner:
    """Runs cells under one `Settings`; the data of the last one is kept, all else is on disk."""

    def __init__(self, settings: Settings, progress: Progress = no_progress) -> None:
        """Take the settings and whom to tell how far the current cell is."""
        self.settings = settings
        self._report = progress
        self._cell: Cell | None = None
        self._splits: tuple[tuple[object, ...], Splits] | None = None

    def progress(self, done: int, total: int, text: str) -> None:
        """Report progress under the title of the current cell."""
        title = f"{self.settings.title(self._cell)}: " if self._cell else ""
        self._report(done, total, f"{title}{text}")

    def outcome(self, cell: Cell) -> Outcome:
        """Run a cell as far as it has to be; only an interrupt leaves this method."""
        self._cell = cell
        run = self.resolved(cell)
        if isinstance(run, Outcome):
            return run
        found = self.kept(run)
        return found if isinstance(found, Outcome) else self._train_and_score(run, found)

    def resolved(self, cell: Cell) -> Run | Outcome:
        """Return what the cell trains and scores, or what became of it when it cannot run."""
        try:
            run = resolve(cell, self.settings, self.progress)
        except (MissingPackageError, MissingDataError, MissingWeightsError) as error:
            return self._outcome(cell, "skipped", str(error))
        except KpbenchError as error:
            return self._outcome(cell, "failed", str(error), trace=traceback.format_exc())
        if run.lacking:
            lacking = f"{run.protocol.name} has no {', '.join(run.lacking)}"
            return self._outcome(cell, "skipped", lacking)
        return run

    def kept(self, run: Run) -> Outcome | str:
        """Return the outcome when a kept record is still good, else why the run has to run."""
        try:
            stored, reason = self._stored(run)
        except KpbenchError as error:
            return self._outcome(run.cell, "failed", str(error), trace=traceback.format_exc())
        return reason if stored is None else self._outcome(run.cell, "cached", reason, stored)

    def failed(self, run: Run, error: Exception, trace: str, started: str) -> Outcome:
        """Return the outcome, and keep a record of what went wrong where no good one is lost."""
        reason = f"{type(error).__name__}: {error}"
        if (good := self._good(run)) is not None:
            reason += f"; the record of {good.provenance.get('finished', 'before')} is kept"
            return self._outcome(run.cell, "failed", reason, trace=trace)
        record = Record(
            **self._head(run),
            status="failed",
            error=failure_of(error),
            provenance=self._provenance(run, started),
        )
        return self._saved(self._outcome(run.cell, "failed", reason, record, trace))

    def _outcome(
        self, cell: Cell, status: Status, reason: str, record: Record | None = None, trace: str = ""
    ) -> Outcome:
        return Outcome(cell, status, reason, record, trace, self.settings.title(cell))

    def _good(self, run: Run) -> Record | None:
        """Return the record of the same run by the same code that has scores, None if none has."""
        path = run.identity.file(self.settings.results, "json")
        try:
            record = read_record(path)
        except RecordError:
            return None
        same = record.identity == run.identity and record.provenance.get("source") == run.source
        return record if same and record.status == "ok" else None

    def _stored(self, run: Run) -> tuple[Record | None, str]:
        """Return the record to reuse, or None and why the cell has to run."""
        path = run.identity.file(self.settings.results, "json")
        if self.settings.rerun:
            return None, "asked for"
        if not path.exists():
            return None, "new"
        record = read_record(path)
        if record.identity != run.identity:
            raise RecordError(f"the record {path} has another identity; delete it and run again")
        if record.status != "ok":
            return None, f"{record.status} before"
        if record.provenance.get("source") != run.source:
            return None, "its code changed"
        trained_in = record.provenance.get("precision", self.settings.precision)
        if _trains(run) and trained_in != self.settings.precision:
            return None, f"it was trained with precision {trained_in}"
        built_on = record.provenance.get("dependency")
        found = run.dependency_hash(self.settings.results)
        if built_on and found and built_on != found:
            return None, "the method that it depends on changed"
        return record, f"of {record.provenance.get('finished', 'unknown date')}"

    def _train_and_score(self, run: Run, reason: str) -> Outcome:
        started = now()
        root = self.settings.results
        try:
            method, seconds = self._fitted(run)
            self.progress(0, 1, "scoring")
            result = measure(method, run.protocol, self.data(run), run.identity.n_keypoints)
            artifacts = {
                kind: _keep(run.identity.file(root, f"{kind}.npz"), data)
                for kind, data in result.files.items()
            }
            record = Record(
                **self._head(run),
                status="ok",
                scores=result.scores,
                unscored=result.unscored,
                foreground_hits=result.foreground_hits,
                equivariance=result.equivariance,
                label_efficiency=result.label_efficiency,
                artifacts=artifacts,
                seconds={**seconds, **result.seconds},
                provenance=self._provenance(run, started),
            )
        except Exception as error:
            return self.failed(run, error, traceback.format_exc(), started)
        return self._saved(self._outcome(run.cell, "ok", reason, record))

    def _saved(self, outcome: Outcome) -> Outcome:
        """Write the record of an outcome; one that cannot be written makes it a failure."""
        try:
            if outcome.record is not None:
                outcome.record.save(self.settings.results)
        except KpbenchError as error:
            reason, trace = str(error), traceback.format_exc()
            return replace(outcome, status="failed", reason=reason, trace=trace)
        return outcome

    def _head(self, run: Run) -> dict[str, Any]:
        return {
            "identity": run.identity,
            "evaluator": run.protocol.evaluator,
            "supervision": supervision(run.method),
        }

    def _fitted(self, run: Run) -> tuple[Method, dict[str, float]]:
        """Return the method to score, and the seconds that it took, without those of others."""
        if run.weights is not None:
            return self._loaded(run.method, run.weights.folder), {}
        needed = None if run.needed is None else self._needed(run, run.needed)
        if run.origin is not None and needed is not None:
            return needed, {}
        discovery = self.data(run).discovery
        if len(discovery) < 2:
            raise InvalidInputError(
                f"{run.protocol.name} has {len(discovery)} image to discover keypoints in; "
                "at least 2 are needed"
            )
        root = self.settings.results
        training = run.identity.file(root, "training")
        if run.identity.file(root, "json").exists():
            shutil.rmtree(training, ignore_errors=True)  # of other code: not to be resumed
        context = FitContext(
            device=self.settings.device,
            precision=self.settings.precision,
            recipe=self.settings.recipe,
            checkpoints=training,
            progress=self.progress,
            dependency=needed,
        )
        clock = time.perf_counter()
        run.method.fit(
            discovery.restricted(run.method.needs),
            n_keypoints=run.identity.n_keypoints,
            seed=run.identity.seed,
            context=context,
        )
        seconds = {"fit": round(time.perf_counter() - clock, 3)}
        run.method.save(run.identity.file(root, "model"))
        shutil.rmtree(training, ignore_errors=True)
        return run.method, seconds

    def _needed(self, run: Run, other: Run) -> Method:
        """Load the fitted method that a run builds on, training it when it is not there."""
        try:
            return self._loaded(other.method, other.identity.file(self.settings.results, "model"))
        except CheckpointError:
            found = self._train_and_score(other, f"needed by {run.method.name}")
            if found.status != "ok":
                raise ContractError(
                    f"{run.method.name} needs {other.method.name}, which failed: {found.reason}"
                ) from None
        return other.method

    def _loaded(self, method: Method, folder: Path) -> Method:
        method.load(folder)
        if isinstance(method, MovableMethod):
            method.to(self.settings.device)
        return method

    def data(self, run: Run) -> Splits:
        """Load the data of a run, or return that of the last one when it is the same."""
        key = (run.protocol.name, run.identity.arguments, run.signals)
        if self._splits is None or self._splits[0] != key:
            self._splits = (
                key,
                run.protocol.splits(
                    self.settings.recipe,
                    device=self.settings.device,
                    signals=run.signals,
                    progress=self.progress,
                ),
            )
        return self._splits[1]

    def _provenance(self, run: Run, started: str) -> dict[str, Any]:
        machine = collect(self.settings.device)
        times = {"started": started, "finished": now()}
        code: dict[str, Any] = {"source": run.source, "precision": self.settings.precision}
        if deviations := run.deviations:
            code["deviations"] = deviations
        if found := run.dependency_hash(self.settings.results):
            code["dependency"] = found
        if run.weights is not None:
            code["pretrained"] = run.weights.provenance()
        return {**machine, **code, **times}


def _keep(path: Path, data: bytes) -> Artifact:
    return Artifact(file=path.name, sha256=write_artifact(path, data))


def _trains(run: Run) -> bool:
    """Whether what the run scores depends on how it is trained."""
    return run.fits and run.identity.method not in UNRANKED


def supervision(method: Method) -> str:
    """Return what a method is told besides unlabelled RGB images, as the board shows it."""
    if method.task == "labels->2D":
        return "labels"
    told = [f"{signal} (input)" for signal in method.inputs]
    told += [f"{signal} (training)" for signal in method.needs if signal not in method.inputs]
    return ", ".join(told) or "none"
