"""The study: whose page a record is on, the floor, differences, and what must not stop it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kpbench.boards.board import read_boards
from kpbench.boards.leaderboard import render
from kpbench.cli.main import main
from kpbench.files.atomic import write_artifact
from kpbench.records.record import Artifact, Record
from kpbench.running.resolve import Settings
from kpbench.studies.distill_dkp import STUDIES
from kpbench.studies.forecast import forecast
from kpbench.studies.plan import BOTH, FLOOR, STUDENT, TEACHER, study
from kpbench.studies.results import read_study
from tests.studies.study_toys import toy_record, toy_tables

ROOT = Path(__file__).resolve().parents[2]
BACKGROUND, TAICHI = "people_background", "people_taichi"
GOOD = {STUDENT: 9.0, TEACHER: 8.5, BOTH: 8.0}
POINT = ("output", 0.2)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "leaderboards" / "published.csv", tmp_path)
    return tmp_path


def toy_floor(folder: Path, protocol: str, score: float, **further: Any) -> Record:
    """Write a record of the floor with scores as those of the toys."""
    made = toy_record(folder / "aside", protocol, STUDENT, score, **further)
    who = made.identity.model_copy(update={"method": FLOOR, "params": {}})
    data = made.identity.file(folder / "aside", "scores.npz").read_bytes()
    path = who.file(folder / "results", "scores.npz")
    kept = Artifact(file=path.name, sha256=write_artifact(path, data))
    record = made.model_copy(
        update={"identity": who, "artifacts": {"scores": kept}, "reference": "floor"}
    )
    record.save(folder / "results")
    return record


# A record is on a page


@pytest.mark.parametrize(
    "further",
    [{"arguments": {"images": 30}}, {"pretrained": "ab" * 32}, {"steps": 9}, {"data": "older"}],
)
def test_a_point_that_the_figure_does_not_show_is_on_a_leaderboard(
    board: Path, further: dict[str, Any]
) -> None:
    toy_tables(board / "results", GOOD, [BACKGROUND])
    inside = toy_record(board / "results", BACKGROUND, BOTH, 8.2, point=POINT)
    outside = toy_record(board / "results", BACKGROUND, BOTH, 8.4, point=POINT, **further)
    pages = {path.name: text for path, text in render(board, STUDIES).items()}
    assert inside.identity.digest() in pages["distill_dkp.md"]
    assert inside.identity.digest() not in pages[f"{BACKGROUND}.md"]
    assert outside.identity.digest() in pages[f"{BACKGROUND}.md"]


def test_a_point_of_a_transfer_is_no_part_of_the_study(tmp_path: Path) -> None:
    toy_tables(tmp_path, GOOD, [BACKGROUND])
    origin = toy_record(tmp_path / "aside", TAICHI, BOTH, 8.0).identity
    toy_record(tmp_path, BACKGROUND, BOTH, 8.4, point=POINT, trained_on=origin)
    assert [found.figure for found in read_study(tmp_path)] == [None]
    assert [len(found.rows) for found in read_boards(tmp_path)] == [3]


# The floor


def first_section(page: str) -> str:
    return page.split("### Table 1")[1].split("### Table 2")[0]


def test_the_floor_is_in_table_1_and_who_is_not_better_is_named(board: Path) -> None:
    toy_tables(board / "results", GOOD, [BACKGROUND, TAICHI], noise=0.02)
    for seed in (0, 1, 2):  # seed 2 is of no run of the study
        toy_floor(board, BACKGROUND, 12.0, seed=seed)
        toy_floor(board, TAICHI, 8.5, seed=seed, noise=0.02)
    toy_floor(board, TAICHI, 1.0, arguments={"k": 3})
    toy_floor(
        board, TAICHI, 1.0, trained_on=toy_record(board / "a", BACKGROUND, BOTH, 8.0).identity
    )
    page = render(board, STUDIES)[board / "distill_dkp.md"]
    rows = [line.split("|") for line in first_section(page).splitlines() if f"{FLOOR} v1" in line]
    assert [[cell.strip() for cell in row[3:-1]] for row in rows] == [
        ["none", "12.00 ± 0.000 % ↓", rows[0][5].strip(), "–", "2/2"],
        ["none", "8.500 ± 0.000 px at 256 ↓", rows[1][5].strip(), "–", "2/2"],
    ]
    for section, methods in (
        (first_section(page), f"{STUDENT} (worse by 0.500 px at 256)"),
        (
            page.split("### Table 2")[1].split("### Figure 3")[0],
            f"{STUDENT} (worse by 0.500 px at 256), {TEACHER} (within noise)",
        ),
    ):
        of = {
            protocol: next(line for line in section.splitlines() if line.startswith(start))
            for protocol in (BACKGROUND, TAICHI)
            for start in [f"- `{protocol}`:"]
        }
        assert "floor" not in of[BACKGROUND]
        assert of[TAICHI].endswith(f" Not better than the floor, {FLOOR}: {methods}.")


def test_without_a_record_of_the_floor_nothing_is_said_of_it(board: Path) -> None:
    toy_tables(board / "results", GOOD, [BACKGROUND])
    assert FLOOR not in first_section(render(board, STUDIES)[board / "distill_dkp.md"])


def test_a_difference_of_percentages_is_in_points(board: Path) -> None:
    toy_tables(board / "results", GOOD, [BACKGROUND, TAICHI])
    section = first_section(render(board, STUDIES)[board / "distill_dkp.md"])
    assert "distill_dkp is better than autolink by 1.000 points." in section
    assert "distill_dkp is better than autolink by 1.000 px at 256." in section
    assert "autolink − distill_dkp = 1.000 points" in section
    assert "autolink − distill_dkp = 1.000 px at 256" in section


# What must not stop it


def test_a_corrupt_record_of_another_cell_does_not_stop_the_forecast(tmp_path: Path) -> None:
    toy_record(tmp_path, BACKGROUND, STUDENT, 9.0)
    toy_record(tmp_path, TAICHI, STUDENT, 9.0).path(tmp_path).write_text("{ half a rec")
    settings = Settings(tmp_path)
    work = study(settings, seeds=[0], figure_seeds=[], parts=["table1"], protocols=[BACKGROUND])
    assert forecast(work, 1).startswith("3 cells, 3 of them to run: about 2 minutes")


@pytest.mark.parametrize("name", ["README.md", "distill_dkp.md", f"{BACKGROUND}.md"])
def test_files_of_the_user_stop_it_before_the_runs(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes("# Über mein Projekt\n".encode("latin-1"))
    words = ["--recipe", "smoke", "--seeds", "0", "-p", BACKGROUND, "--folder", str(tmp_path)]
    assert main(["study", "distill-dkp", *words]) == 2
    assert f"{name} was not written by kpbench leaderboard" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
