"""One resolved run: fit, measure, record. What goes wrong is a record, too."""

from __future__ import annotations

import shutil
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kpbench.api import FitContext, Method, MovableMethod, Progress, Splits, no_progress
from kpbench.errors import KpbenchError
from kpbench.files.alone import alone_in
from kpbench.files.atomic import write_artifact
from kpbench.records.record import Artifact, Record
from kpbench.running.plan import Cell
from kpbench.running.provenance import collect, failure_of, now
from kpbench.running.resolve import Run
from kpbench.running.reuse import good

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


class Data:
    """The data of runs: made once, and that of the last run kept in memory."""

    def __init__(self) -> None:
        """Start without any."""
        self._made: set[tuple[object, ...]] = set()
        self._last: tuple[tuple[object, ...], Splits] | None = None

    def make(self, run: Run, progress: Progress = no_progress) -> None:
        """Render, pack or load what was not made before; raises whatever the protocol raises."""
        if _key(run) not in self._made:
            self.of(run, progress)

    def of(self, run: Run, progress: Progress = no_progress) -> Splits:
        """Return the data of a run, that of the last one when it is the same."""
        key = _key(run)
        if self._last is None or self._last[0] != key:
            self._last = None  # not two at once in memory
            loaded = run.protocol.splits(
                run.settings.recipe,
                device=run.settings.device,
                signals=run.signals,
                progress=progress,
            )
            self._last = key, loaded
            self._made.add(key)
        return self._last[1]


def _key(run: Run) -> tuple[object, ...]:
    arguments = tuple(sorted((name, str(v)) for name, v in run.identity.arguments.items()))
    where = run.settings.recipe, run.settings.device
    return run.protocol.name, run.identity.data, arguments, run.signals, *where


def execute(run: Run, data: Data, progress: Progress = no_progress) -> Outcome:
    """Fit, measure and record a run, whatever records there are; only an interrupt leaves this.

    What it builds on has to be fitted. The record is on disk before this returns. While another
    process runs the same, this one waits, and takes its record if that is good.

    Args:
        run: resolved.
        data: from which its own is taken.
        progress: told how far it is.
    """
    started = now()

    def waiting() -> None:
        progress(0, 1, "waiting for another process that runs the same")

    try:
        with alone_in(run.file("training"), waiting) as waited:
            if waited and (record := good(run)) is not None:
                reason = "made meanwhile by another process"
                return Outcome(run.cell, "cached", reason, record, title=run.title)
            record = _executed(run, data, progress, started)
            return _saved(run, Outcome(run.cell, "ok", "", record, title=run.title))
    except Exception as error:
        return failed(run, error, traceback.format_exc(), started)


def _executed(run: Run, data: Data, progress: Progress, started: str) -> Record:
    method, seconds = _fitted(run, data, progress)
    progress(0, 1, "scoring")
    splits = data.of(run, progress)
    result = run.task.measure(method, run.protocol, splits, run.identity.n_keypoints)
    artifacts = {
        kind: _keep(run.file(f"{kind}.npz"), content) for kind, content in result.files.items()
    }
    return Record(
        **_head(run),
        status="ok",
        scores=result.scores,
        unscored=result.unscored,
        foreground_hits=result.foreground_hits,
        equivariance=result.equivariance or {},
        diagnostics=result.diagnostics or {},
        label_efficiency=result.label_efficiency,
        artifacts=artifacts,
        seconds={**seconds, **result.seconds},
        provenance=_provenance(run, started),
    )


def failed(run: Run, error: Exception, trace: str = "", started: str = "") -> Outcome:
    """Return the outcome, and keep a record of what went wrong where no good one is lost."""
    reason = f"{type(error).__name__}: {error}"
    if (before := good(run)) is not None:
        reason += f"; the record of {before.provenance.get('finished', 'before')} is kept"
        return Outcome(run.cell, "failed", reason, trace=trace, title=run.title)
    record = Record(
        **_head(run),
        status="failed",
        error=failure_of(error),
        provenance=_provenance(run, started or now()),
    )
    return _saved(run, Outcome(run.cell, "failed", reason, record, trace, run.title))


def _saved(run: Run, outcome: Outcome) -> Outcome:
    """Write the record of an outcome; one that cannot be written makes it a failure."""
    try:
        if outcome.record is not None:
            outcome.record.save(run.settings.results)
    except KpbenchError as error:
        reason, trace = str(error), traceback.format_exc()
        return replace(outcome, status="failed", reason=reason, trace=trace)
    return outcome


def _head(run: Run) -> dict[str, Any]:
    return {
        "identity": run.identity,
        "evaluator": run.protocol.evaluator,
        "supervision": run.task.supervision(run.method),
        "task": run.task.name,
        "reference": run.reference,
    }


def _fitted(run: Run, data: Data, progress: Progress) -> tuple[Method, dict[str, float]]:
    """Return the method to score, and the seconds that it took, without those of others."""
    if run.weights is not None:
        return loaded(run, run.weights.folder), {}
    needed = None if run.needed is None else loaded(run.needed, run.needed.file("model"))
    if run.origin is not None and needed is not None:
        return needed, {}
    discovery = run.task.discovery(data.of(run, progress), run.method, run.protocol.name)
    training = run.file("training")
    if run.file("json").exists():
        shutil.rmtree(training, ignore_errors=True)  # of other code: not to be resumed
    context = FitContext(
        device=run.settings.device,
        precision=run.settings.precision,
        recipe=run.settings.recipe,
        checkpoints=training,
        progress=progress,
        dependency=needed,
    )
    clock = time.perf_counter()
    run.method.fit(
        discovery, n_keypoints=run.identity.n_keypoints, seed=run.identity.seed, context=context
    )
    seconds = {"fit": round(time.perf_counter() - clock, 3)}
    run.method.save(run.file("model"))
    shutil.rmtree(training, ignore_errors=True)
    return run.method, seconds


def loaded(run: Run, folder: Path) -> Method:
    """Return the method of a run with what it learnt.

    Raises:
        CheckpointError: the folder holds no such method.
    """
    run.method.load(folder)
    if isinstance(run.method, MovableMethod):
        run.method.to(run.settings.device)
    return run.method


def _provenance(run: Run, started: str) -> dict[str, Any]:
    machine = collect(run.settings.device)
    times = {"started": started, "finished": now()}
    code: dict[str, Any] = {
        "source": run.code.own,
        "kpbench": run.code.kpbench,
        "precision": run.settings.precision,
    }
    if deviations := run.deviations:
        code["deviations"] = deviations
    if found := run.dependency_hash:
        code["dependency"] = found
    if run.weights is not None:
        code["pretrained"] = run.weights.provenance()
    return {**machine, **code, **times}


def _keep(path: Path, data: bytes) -> Artifact:
    return Artifact(file=path.name, sha256=write_artifact(path, data))
