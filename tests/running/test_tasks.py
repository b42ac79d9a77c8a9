"""A task from outside enters with its protocol, from evaluate to record and board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kpbench.api import Task
from kpbench.boards.leaderboard import render
from kpbench.cli.main import main
from kpbench.errors import UnknownNameError
from kpbench.records.record import read_record, stored_artifact
from kpbench.registry import load_method, load_protocol
from kpbench.running.execute import Settings, evaluate_all
from kpbench.running.image_2d import IMAGE_2D
from kpbench.running.plan import Cell
from kpbench.running.tasks import task_for, task_of
from kpbench.testing import check_installed
from tests.conftest import Install, bright
from tests.running.lift_toys import PROTOCOL, TASK, lifting

METHODS = {
    "flat": lifting("flat", "np.full(images.shape[:2], 0.5)", "floor"),
    "weighted": lifting("weighted", "images @ [0.5, 0.4]"),
    "wide": lifting("wide", "images"),
}


@pytest.fixture
def lift(install: Install) -> str:
    install("protocols", {"_lift": TASK, "toy_lift": PROTOCOL})
    install("methods", {**METHODS, "shiny": bright("shiny")})
    return "toy_lift"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_of_a_third_party_goes_from_evaluate_to_the_board(
    lift: str, tmp_path: Path, jobs: int
) -> None:
    settings = Settings(tmp_path / "results", recipe="quick")
    work = [(Cell(name, lift, 0), settings) for name in ("flat", "weighted")]
    found = {outcome.cell.method: outcome for outcome in evaluate_all(work, jobs)}
    records = {name: outcome.record for name, outcome in found.items()}
    flat, weighted = records["flat"], records["weighted"]
    assert flat is not None and weighted is not None, [o.reason for o in found.values()]
    assert (weighted.task, weighted.reference, weighted.supervision) == ("2D->3D", "", "keypoints")
    assert flat.reference == "floor"
    assert weighted.equivariance == {} and weighted.label_efficiency is None
    assert weighted.scores["toy_lift/strict"].value < flat.scores["toy_lift/strict"].value
    assert read_record(weighted.path(settings.results)) == weighted
    with np.load(stored_artifact(settings.results, weighted, "predictions")) as arrays:
        assert arrays["test_depths"].shape == (20, 4)
    again = [outcome.status for outcome in evaluate_all(work, jobs)]
    assert again == ["cached", "cached"]
    page = render(tmp_path)[tmp_path / "toy_lift.md"]
    rows = [[c.strip() for c in line.split("|")] for line in page.splitlines() if "v1 " in line]
    ranks = {row[2]: row[1] for row in rows if row[1] in ("one seed", "–")}
    assert ranks == {"weighted v1": "one seed", "flat v1": "–"}
    assert "weighted v1 − flat v1" in page, "the floor is compared with"


def test_its_code_counts_as_the_protocols_own(lift: str, tmp_path: Path) -> None:
    work = [(Cell("flat", lift, 0), Settings(tmp_path / "results", recipe="smoke"))]
    assert [o.status for o in evaluate_all(work, 1)] == ["ok"]
    [path] = tmp_path.glob("site-*/*/_lift.py")
    path.write_text(path.read_text().replace("errors = abs(", "errors = 2 * abs("))
    assert [o.reason for o in evaluate_all(work, 1)] == ["its code changed"]


def test_methods_and_protocols_of_different_tasks_are_skipped(lift: str, tmp_path: Path) -> None:
    work = [(Cell("shiny", lift, 0), Settings(tmp_path / "results", recipe="smoke"))]
    [outcome] = evaluate_all(work, 1)
    assert (outcome.status, outcome.reason) == ("skipped", "shiny is for image->2D, not for 2D->3D")
    assert main(["evaluate", "-m", "flat", "-p", "people_plain", "--results", str(tmp_path)]) == 0


def test_a_wrong_prediction_is_a_record(lift: str, tmp_path: Path) -> None:
    work = [(Cell("wide", lift, 0), Settings(tmp_path / "results", recipe="smoke"))]
    [outcome] = evaluate_all(work, 1)
    assert outcome.record is not None and outcome.record.error is not None
    assert outcome.record.error.message == "wide: depths of shape (20, 4, 2)"


def test_its_plugins_are_checked_by_its_own_rules(lift: str) -> None:
    found = {c.name: (c.status, c.reason) for c in check_installed(["flat", "wide", "toy_lift"])}
    assert found["flat"] == found["toy_lift"] == ("ok", "")
    assert found["wide"] == ("failed", "wide: depths of shape (8, 4, 2)")


def test_a_task_is_found_by_protocol_and_by_method(lift: str) -> None:
    task = task_of(load_protocol(lift))
    assert isinstance(task, Task) and isinstance(IMAGE_2D, Task)
    assert task_for(load_method("flat")) is task
    assert task_of(load_protocol("people_plain")) is task_for(load_method("oracle")) is IMAGE_2D


def test_a_task_that_nobody_brings_is_named(install: Install) -> None:
    install("methods", {"lost": lifting("lost", "images")})
    with pytest.raises(UnknownNameError, match="no task \\(of lost\\) called '2D->3D'"):
        task_for(load_method("lost"))
