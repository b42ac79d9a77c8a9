"""What boards say about settings that are not the published ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kpbench.boards.board import Board, read_boards
from kpbench.boards.pages.protocol import protocol_page
from kpbench.boards.pages.published_settings import settings_section
from tests.studies.study_toys import toy_record, toy_tables

SCORES = {"autolink": 9.0, "depth_teacher": 7.0, "distill_dkp": 8.0}


def board(results: Path) -> Board:
    [found] = read_boards(results)
    return found


def line(results: Path, method: str) -> str:
    [found] = [text for text in settings_section(board(results)) if text.startswith(f"- {method} ")]
    return found


def test_each_row_has_a_line_with_the_published_values_in_brackets(tmp_path: Path) -> None:
    toy_tables(tmp_path, SCORES, ["people_background"])
    _, said = line(tmp_path, "autolink").split(": ")
    assert said.split("; ") == [
        "backbone efficientnet_lite0 (vgg16)",
        "batch_size 16 (64)",
        "image_size 32 (128)",
        "steps 500 (20001)",
    ]
    page = protocol_page("people_background", [board(tmp_path)])
    assert page.index("Settings that differ") < page.index("Records:")


def test_what_a_teacher_shares_is_said_once(tmp_path: Path) -> None:
    toy_tables(tmp_path, SCORES, ["people_taichi"])
    found = line(tmp_path, "distill_dkp")
    assert "gamma" not in found, "it is the paper's"
    assert found.count("steps 500") == 1, "the teacher's equal settings are not said twice"


def test_the_values_are_those_of_the_records(tmp_path: Path) -> None:
    """A gamma that nobody foresaw is told, and the published one is not."""
    toy_record(tmp_path, "people_plain", "distill_dkp", 8.0, point=("resnet", 0.3))
    assert "gamma 0.3 (0.1)" in line(tmp_path, "distill_dkp")
    assert "layer resnet (output)" in line(tmp_path, "distill_dkp")
    toy_tables(tmp_path / "paper", SCORES, ["people_plain"], recipe="paper")
    assert "gamma" not in line(tmp_path / "paper", "distill_dkp")


@pytest.mark.parametrize("method", ["random_detector", "method_of_nobody"])
def test_what_was_never_published_or_is_not_known_has_no_line(tmp_path: Path, method: str) -> None:
    record = toy_record(tmp_path, "people_plain", "autolink", 8.0)
    found = board(tmp_path)
    assert settings_section(found) != []
    renamed = record.identity.model_copy(update={"method": method})
    [row] = found.rows
    other = replace(row, records=[record.model_copy(update={"identity": renamed})])
    assert settings_section(replace(found, rows=[other])) == []
