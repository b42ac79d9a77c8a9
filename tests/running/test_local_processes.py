"""Several cells at once: the same records, whatever dies, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import pytest

from kpbench.errors import StorageError
from kpbench.records.record import Record, all_records
from kpbench.running.engines import workers
from kpbench.running.engines.local_processes import default_jobs
from kpbench.running.execute import Outcome, Settings, evaluate_all
from kpbench.running.plan import Cell, grid
from tests.conftest import TOY_PROTOCOL, Install, bright

STUDENT = '''
"""Looks where its teacher looks."""
from dataclasses import dataclass, field

from kpbench import MethodBase


@dataclass
class Method(MethodBase):
    name = "student"
    depends_on = "teacher"
    shift: float = 0.0
    _teacher: object = field(default=None, init=False)

    def fit(self, images, *, n_keypoints, seed, context):
        self._teacher = context.dependency

    def predict(self, images):
        return self._teacher.predict(images)


PLUGIN = Method()
'''


@pytest.fixture
def results(tmp_path: Path, toy_discs: str) -> Path:
    return tmp_path / "results"


def settings(results: Path, **overrides: dict[str, Any]) -> Settings:
    return Settings(results, recipe="smoke", overrides=overrides)


def content(record: Record) -> dict[str, Any]:
    """Return what has to be equal: all but times."""
    found = record.model_dump(mode="json")
    found["seconds"] = sorted(found["seconds"])
    for name in ("started", "finished"):
        del found["provenance"][name]
    return found


def by_cell(outcomes: Iterator[Outcome]) -> dict[str, Outcome]:
    return {str(outcome.cell): outcome for outcome in outcomes}


def test_two_jobs_give_the_records_of_one(tmp_path: Path) -> None:
    cells = grid(["distill_dkp", "mean_shape"], ["people_plain"], [0])
    stored = []
    for jobs in (1, 2):
        chosen = settings(tmp_path / str(jobs))
        done = by_cell(evaluate_all([(cell, chosen) for cell in cells], jobs))
        assert {outcome.status for outcome in done.values()} == {"ok"}, done
        assert done.keys() == {str(cell) for cell in cells}
        stored.append([content(record) for record in all_records(chosen.results)])
    assert stored[0] == stored[1]
    assert len(stored[0]) == 3


def run(
    results: Path, methods: list[str], jobs: int = 2, **overrides: dict[str, Any]
) -> dict[str, Outcome]:
    work = [(Cell(name, "toy_discs", 0), settings(results, **overrides)) for name in methods]
    return {outcome.cell.method: outcome for outcome in evaluate_all(work, jobs)}


def test_a_killed_process_fails_its_cell_and_no_other(results: Path, install: Install) -> None:
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("no SIGKILL here")
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    sources = {"hungry": bright("hungry", fit=kill), "told": bright("told", fit=stop)}
    install("methods", {**sources, "well": bright("well")})
    found = run(results, ["hungry", "told", "well", "mean_shape"])
    assert {name: outcome.status for name, outcome in found.items()} == {
        "hungry": "failed", "told": "failed", "well": "ok", "mean_shape": "ok",
    }  # fmt: skip
    assert "toy_discs / hungry / seed 0 was killed, perhaps for want of" in found["hungry"].reason
    assert "toy_discs / told / seed 0 was stopped" in found["told"].reason
    stored = {record.identity.method: record for record in all_records(results)}
    assert stored["hungry"].error is not None
    assert stored["hungry"].error.type == "ProcessDiedError"
    assert stored["well"] == found["well"].record


def test_a_killed_rerun_keeps_the_good_record(
    results: Path, install: Install, tmp_path: Path
) -> None:
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("no SIGKILL here")
    kill = f"import os; os.path.exists({str(tmp_path / 'kill')!r}) and os.kill(os.getpid(), 9)"
    install("methods", {"hungry": bright("hungry", fit=kill)})
    run(results, ["hungry", "mean_shape"])
    before = {record.identity.method: record for record in all_records(results)}
    (tmp_path / "kill").touch()
    again = replace(settings(results), rerun="all")
    cells = [Cell(name, "toy_discs", 0) for name in ("hungry", "mean_shape")]
    found = by_cell(evaluate_all([(cell, again) for cell in cells], 2))
    assert [found[str(cell)].status for cell in cells] == ["failed", "ok"]
    assert "was killed" in found[str(cells[0])].reason and "is kept" in found[str(cells[0])].reason
    after = {record.identity.method: record for record in all_records(results)}
    assert after["hungry"] == before["hungry"]


def test_a_failure_in_a_process_is_a_record_with_its_traceback(
    results: Path, install: Install
) -> None:
    late = bright("late").replace("    gain:", '    requires = ("not_there_at_all",)\n    gain:')
    install("methods", {"raises": bright("raises", predict="1 / 0"), "late": late})
    found = run(results, ["raises", "late", "mean_shape"])
    assert (found["raises"].status, found["mean_shape"].status) == ("failed", "ok")
    assert found["raises"].reason == "ZeroDivisionError: division by zero"
    assert "raises.py" in found["raises"].trace
    assert found["late"].status == "skipped"
    assert "pip install not_there_at_all" in found["late"].reason


@pytest.mark.parametrize("listed", [True, False])
def test_what_others_build_on_is_trained_once_and_first(
    results: Path, install: Install, tmp_path: Path, listed: bool
) -> None:
    log = tmp_path / "trainings"
    fit = f"import time; time.sleep(0.3); open({str(log)!r}, 'a').write('x')"
    install("methods", {"teacher": bright("teacher", fit=fit), "student": STUDENT})
    cell = Cell("student", "toy_discs", 0)
    work = [(cell, settings(results, student={"shift": shift})) for shift in (0.0, 1.0, 2.0)]
    if listed:
        work.append((Cell("teacher", "toy_discs", 0), settings(results)))
    found = list(evaluate_all(work, 2))
    assert [outcome.status for outcome in found] == ["ok"] * len(work)
    assert log.read_text() == "x"
    if listed:
        assert found[0].cell.method == "teacher"
    values = {o.record.scores["toy_discs/strict"].value for o in found if o.record is not None}
    assert len(values) == 1


def test_a_teacher_that_fails_takes_only_its_students_along(
    results: Path, install: Install
) -> None:
    broken = bright("teacher", fit="raise MemoryError('big')")
    install("methods", {"teacher": broken, "student": STUDENT})
    found = run(results, ["teacher", "student", "mean_shape"])
    assert (found["teacher"].status, found["mean_shape"].status) == ("failed", "ok")
    assert "student needs teacher, which failed: MemoryError: big" in found["student"].reason


def test_finished_cells_start_no_process(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("methods", {"teacher": bright("teacher"), "student": STUDENT})
    methods = ["student", "teacher", "oracle"]
    first = run(results, methods)
    monkeypatch.setattr(workers.Worker, "submit", None)
    again = run(results, methods)
    assert {outcome.status for outcome in again.values()} == {"cached"}
    assert [again[m].record for m in methods] == [first[m].record for m in methods]


def test_a_changed_teacher_is_trained_before_its_students_look_for_their_records(
    results: Path, install: Install
) -> None:
    package = install("methods", {"teacher": bright("teacher"), "student": STUDENT})
    run(results, ["teacher", "student"])
    path = results.parent / f"site-{package}" / package / "teacher.py"
    state = '{"k": np.array(self._k)'
    path.write_text(path.read_text().replace(state, f'{state}, "more": np.ones(1)'))
    found = run(results, ["student", "teacher"])
    assert found["teacher"].reason == "its code changed"
    assert (found["student"].status, found["student"].reason) == (
        "ok", "the method that it depends on changed",
    )  # fmt: skip


def test_data_is_made_once(install: Install, tmp_path: Path) -> None:
    log = tmp_path / "made"
    make = f"""
        import time
        if not __import__("os").path.exists({str(log)!r}):
            time.sleep(0.5)
            open({str(log)!r}, "a").write("x")
        train, test ="""
    source = TOY_PROTOCOL.replace("toy_discs", "slow_discs").replace(
        "\n        train, test =", make
    )
    install("protocols", {"slow_discs": source})
    work = [
        (cell, settings(tmp_path)) for cell in grid(["mean_shape", "oracle"], ["slow_discs"], [0])
    ]
    assert [outcome.status for outcome in evaluate_all(work, 2)] == ["ok", "ok"]
    assert log.read_text() == "x"


def test_progress_of_all_processes_is_heard(
    results: Path, install: Install, tmp_path: Path
) -> None:
    """Each trains until what it tells was heard."""
    names = ("one", "two")
    fit = """
        import os, time
        for i in range(1200):
            context.progress(i, 1200, "going")
            if os.path.exists(r"{}"):
                break
            time.sleep(0.05)
        else:
            raise TimeoutError("nobody listens")"""
    install("methods", {name: bright(name, fit=fit.format(tmp_path / name)) for name in names})
    told = set()

    def hear(done: int, total: int, text: str) -> None:
        told.add((total, text))
        for name in names:
            if text == f"toy_discs / {name} / seed 0: going":
                (tmp_path / name).touch()

    work = [(Cell(name, "toy_discs", 0), settings(results)) for name in names]
    assert [o.status for o in evaluate_all(work, 2, hear)] == ["ok", "ok"]
    assert {(1200, f"toy_discs / {name} / seed 0: going") for name in names} <= told


def test_reference_rows_come_last(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    well_read = bright("well_read").replace("    gain:", '    paper = "some"\n    gain:')
    install("methods", {"well_read": well_read})
    submit, order = workers.Worker.submit, []

    def note(self: workers.Worker, cell: Cell, chosen: Settings) -> Future[Outcome]:
        order.append(cell.method)
        return submit(self, cell, chosen)

    monkeypatch.setattr(workers.Worker, "submit", note)
    run(results, ["mean_shape", "well_read"])
    assert order == ["well_read", "mean_shape"]


def test_a_process_has_one_thread(
    results: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    fit = f"import os; assert [os.environ.get(n) for n in {names!r}] == ['1'] * 3"
    install("methods", {name: bright(name, fit=fit) for name in ("one", "two")})
    found = run(results, ["one", "two"])
    assert [outcome.status for outcome in found.values()] == ["ok", "ok"], found


def test_a_cell_stops_when_the_program_that_started_it_has_gone(
    results: Path, tmp_path: Path
) -> None:
    cell, before = Cell("mean_shape", "toy_discs", 0), signal.getsignal(signal.SIGTERM)
    mailbox = tmp_path / "mailbox.json"
    try:
        with pytest.raises(KeyboardInterrupt, match="has gone"):
            workers._work(cell, settings(results), mailbox, os.getppid() + 1)
        assert list(all_records(results)) == [] and not mailbox.exists()
        assert workers._work(cell, settings(results), mailbox, os.getppid()).status == "ok"
        assert mailbox.exists()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_generator_that_is_closed_stops_the_processes(
    results: Path, install: Install, tmp_path: Path
) -> None:
    wait = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))"
    install("methods", {"sleeper": bright("sleeper", fit=f"{wait}; __import__('time').sleep(60)")})
    work = [(Cell(name, "toy_discs", 0), settings(results)) for name in ("sleeper", "mean_shape")]
    started = time.monotonic()
    with closing(evaluate_all(work, 2)) as outcomes:
        assert next(outcomes).cell.method == "mean_shape"
        _wait_for(tmp_path / "pid")
    assert time.monotonic() - started < 50
    assert _gone(int((tmp_path / "pid").read_text()))


def _wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def _gone(process: int) -> bool:
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("sent", "code", "whole_group"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)]
)
def test_an_interrupt_ends_every_process_and_keeps_what_is_finished(
    results: Path, install: Install, tmp_path: Path, sent: int, code: int, whole_group: bool
) -> None:
    sleep = "import os, time; open(r'{}', 'w').write(str(os.getpid())); time.sleep(60)"
    names = ("sleeper_a", "sleeper_b")
    markers = [tmp_path / name for name in names]
    sources = {n: bright(n, fit=sleep.format(m)) for n, m in zip(names, markers, strict=True)}
    # no reference row, so that it comes first, and with two processes is over before both sleep
    sources["quickly"] = bright("quickly").replace("    gain:", '    paper = "now"\n    gain:')
    install("methods", sources)
    words = [f"--method={name}" for name in sources]
    # what runs in the background of a script inherits that Ctrl-C is ignored
    main = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from kpbench.cli.main import main; sys.exit(main())"
    )
    program = [sys.executable, "-c", main, "evaluate", "--protocol=toy_discs", *words]
    process = subprocess.Popen(
        [*program, "--recipe=smoke", "--jobs=2", f"--results={results}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for marker in markers:
        _wait_for(marker)
    (os.killpg if whole_group else os.kill)(process.pid, sent)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert all(_gone(int(marker.read_text())) for marker in markers)
    hidden = [path for path in results.rglob(".*") if path.is_file()]
    assert [path for path in hidden if path.suffix != ".lock"] == []
    assert "ok       toy_discs / quickly / seed 0" in output
    [kept] = all_records(results)
    assert (kept.identity.method, kept.status) == ("quickly", "ok")


def test_a_folder_that_cannot_be_written_stops_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose a folder"):
        next(evaluate_all([(Cell("mean_shape", "toy_discs", 0), settings(tmp_path / "file"))], 2))


def test_as_many_jobs_as_there_are_cores_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Settings(tmp_path)
    paper = replace(quick, recipe="paper")
    for cores, wanted in ((1, (1, 1)), (2, (2, 1)), (7, (7, 3)), (64, (8, 8))):
        monkeypatch.setattr(joblib, "cpu_count", lambda cores=cores: cores)
        assert (default_jobs(quick), default_jobs(paper)) == wanted
        assert default_jobs(replace(quick, device="cuda")) == 1
        assert default_jobs(settings(tmp_path)) == 1
