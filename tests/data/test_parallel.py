"""Work in several processes: all of it, and what goes wrong is told."""

from __future__ import annotations

import os
import signal
import warnings

import pytest

from kpbench.data.packing.parallel import on_all_cores
from kpbench.errors import DataError
from tests.data.toy_source import let_processes_know


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def fail(number: int) -> int:
    if number == 3:
        raise DataError("image 3 is no image")
    return number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


let_processes_know(__name__)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)


def test_every_task_is_done_once_elsewhere() -> None:
    found = list(on_all_cores(square, [(i,) for i in range(20)]))
    assert sorted(value for value, _ in found) == [i * i for i in range(20)]
    assert os.getpid() not in {pid for _, pid in found}


def test_few_tasks_start_no_process() -> None:
    assert list(on_all_cores(square, [(2,), (3,)])) == [(4, os.getpid()), (9, os.getpid())]


def test_errors_come_through() -> None:
    with pytest.raises(DataError, match="image 3 is no image"):
        list(on_all_cores(fail, [(i,) for i in range(8)]))


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(DataError, match="run again, what was finished is kept"):
        list(on_all_cores(die, [(i,) for i in range(8)]))
    assert len(list(on_all_cores(square, [(i,) for i in range(8)]))) == 8  # and others follow it


def test_stopping_early_is_silent() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = on_all_cores(square, [(i,) for i in range(50)])
        next(results)
        results.close()
    assert caught == []
