"""What is reused, what waits for what and where data is made is decided once, for every engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import pytest

from kpbench.api import Progress
from kpbench.records.record import all_records
from kpbench.running.engines.engine import Engine
from kpbench.running.engines.here import Here
from kpbench.running.engines.local_processes import LocalProcesses
from kpbench.running.execute import Outcome, Settings, execute_all
from kpbench.running.one_run import Data, execute
from kpbench.running.plan import Cell
from kpbench.running.resolve import Run
from tests.conftest import TOY_PROTOCOL, Install, bright
from tests.running.test_local_processes import STUDENT


class LastFirst:
    """A third engine, as a cluster might be: runs wait in a queue, and the last is served first."""

    slots = 3

    def __init__(self) -> None:
        self.queue: list[tuple[Run, Data, Progress, Future[Outcome]]] = []
        self.side_by_side: list[set[str]] = []
        self.entered = False

    def start(self, run: Run, data: Data, progress: Progress) -> Future[Outcome]:
        assert self.entered and len(self.queue) < self.slots
        future: Future[Outcome] = Future()
        self.queue.append((run, data, progress, future))
        return future

    def report(self) -> None:
        if self.queue:
            self.side_by_side.append({str(run.cell.method) for run, *_ in self.queue})
            run, data, progress, future = self.queue.pop()
            future.set_result(execute(run, data, progress))

    def __enter__(self) -> Self:
        self.entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self.entered = False


ENGINES: dict[str, Callable[[], Engine]] = {
    "here": Here, "local processes": lambda: LocalProcesses(2), "last first": LastFirst,
}  # fmt: skip


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]()


@pytest.fixture
def results(tmp_path: Path, toy_discs: str) -> Path:
    return tmp_path / "results"


def settings(results: Path, **overrides: dict[str, Any]) -> Settings:
    return Settings(results, recipe="smoke", overrides=overrides)


def logging(path: Path, text: str = "x") -> str:
    return f"open({str(path)!r}, 'a').write({text!r})"


def by_method(found: Iterator[Outcome]) -> dict[str, Outcome]:
    return {outcome.cell.method: outcome for outcome in found}


def test_every_engine_gives_the_same_records(
    results: Path, install: Install, engine: Engine, tmp_path: Path
) -> None:
    log = tmp_path / "trainings"
    install("methods", {"teacher": bright("teacher", fit=logging(log)), "student": STUDENT})
    names = ("student", "mean_shape", "oracle")
    work = [(Cell(name, "toy_discs", 0), settings(results)) for name in names]
    found = by_method(execute_all(work, engine))
    assert {name: outcome.reason for name, outcome in found.items()} == dict.fromkeys(names, "new")
    assert {o.status for o in found.values()} == {"ok"}
    assert log.read_text() == "x", "trained once, without a cell of its own"
    values = {r.identity.method: r.scores["toy_discs/strict"].value for r in all_records(results)}
    assert values.keys() == {*names, "teacher"}
    assert values["student"] == values["teacher"] < values["mean_shape"]
    again = by_method(execute_all(work, engine))
    assert {outcome.status for outcome in again.values()} == {"cached"}


def test_a_teacher_and_its_students_never_run_side_by_side(results: Path, install: Install) -> None:
    install("methods", {"teacher": bright("teacher"), "student": STUDENT})
    work = [(Cell("student", "toy_discs", 0), settings(results, student={"shift": s}))
            for s in (0.0, 1.0)]  # fmt: skip
    work += [(Cell(name, "toy_discs", 0), settings(results)) for name in ("teacher", "mean_shape")]
    engine = LastFirst()
    assert [o.status for o in execute_all(work, engine)] == ["ok"] * 4
    assert {"teacher", "mean_shape"} in engine.side_by_side
    assert not any({"teacher", "student"} <= names for names in engine.side_by_side)
    assert not engine.entered


@pytest.mark.parametrize("listed", [True, False])
def test_a_teacher_that_fails_is_not_tried_again_for_each_student(
    results: Path, install: Install, engine: Engine, tmp_path: Path, listed: bool
) -> None:
    log = tmp_path / "trainings"
    broken = bright("teacher", fit=f"{logging(log)}; raise MemoryError('big')")
    install("methods", {"teacher": broken, "student": STUDENT})
    work = [(Cell("teacher", "toy_discs", 0), settings(results))] if listed else []
    work += [(Cell("student", "toy_discs", 0), settings(results, student={"shift": s}))
             for s in (0.0, 1.0)]  # fmt: skip
    found = list(execute_all(work, engine))
    assert {outcome.status for outcome in found} == {"failed"} and len(found) == len(work)
    students = [o.reason for o in found if o.cell.method == "student"]
    why = "ContractError: student needs teacher, which failed: MemoryError: big"
    assert students == [why] * 2
    assert log.read_text() == "x"
    [kept] = [r for r in all_records(results) if r.identity.method == "teacher"]
    assert kept.error is not None and kept.error.message == "big"


def test_a_model_that_was_deleted_is_trained_again_for_those_that_need_it(
    results: Path, install: Install, engine: Engine
) -> None:
    install("methods", {"teacher": bright("teacher"), "student": STUDENT})
    teacher = [(Cell("teacher", "toy_discs", 0), settings(results))]
    [made] = execute_all(teacher, engine)
    assert made.record is not None
    shutil.rmtree(made.record.identity.file(results, "model"))
    student = [(Cell("student", "toy_discs", 0), settings(results))]
    found = by_method(execute_all([*teacher, *student], engine))
    assert (found["teacher"].status, found["student"].status) == ("cached", "ok")
    assert made.record.identity.file(results, "model").is_dir()


def test_data_that_cannot_be_made_is_a_record_of_each_cell(
    install: Install, engine: Engine, tmp_path: Path
) -> None:
    log = tmp_path / "made"
    source = TOY_PROTOCOL.replace("toy_discs", "no_discs").replace(
        "        train, test =",
        f"        {logging(log)}; raise OSError('disc full')\n        train, test =",
    )
    install("protocols", {"no_discs": source})
    work = [
        (Cell(name, "no_discs", 0), settings(tmp_path / "r")) for name in ("mean_shape", "oracle")
    ]
    found = list(execute_all(work, engine))
    assert [outcome.reason for outcome in found] == ["OSError: disc full"] * 2
    assert all(o.record is not None and "disc full" in o.trace for o in found)
    assert log.read_text() == "xx", "tried once for each, here and not in a process again"


def test_training_a_teacher_is_told_under_the_title_of_the_cell_that_needs_it(
    results: Path, install: Install
) -> None:
    fit = "context.progress(1, 2, 'training')"
    install("methods", {"teacher": bright("teacher", fit=fit), "student": STUDENT})
    told: list[str] = []
    work = [(Cell("student", "toy_discs", 0), settings(results))]
    [outcome] = execute_all(work, Here(), lambda done, total, text: told.append(text))
    assert outcome.status == "ok"
    assert "toy_discs / student / seed 0: training" in told
    assert not [text for text in told if "teacher" in text]
