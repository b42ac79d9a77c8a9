"""Several cells at once: the same records, whatever dies, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kpbench.parallel_runs import evaluate_all
from kpbench.plan import grid
from kpbench.records import Record, all_records
from kpbench.runner import Outcome, Settings

FLOORS = ["mean_shape", "oracle"]

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
    cells = grid(["distill_dkp", "mean_shape"], ["people_plain"], [0, 1])
    stored = []
    for jobs in (1, 2):
        chosen = settings(tmp_path / str(jobs))
        done = by_cell(evaluate_all([(cell, chosen) for cell in cells], jobs))
        assert {outcome.status for outcome in done.values()} == {"ok"}, done
        assert done.keys() == {str(cell) for cell in cells}
        stored.append([content(record) for record in all_records(chosen.results)])
    assert stored[0] == stored[1]
    assert len(stored[0]) == 6
