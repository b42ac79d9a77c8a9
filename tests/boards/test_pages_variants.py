"""The section on what a changed training does to a score."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpbench.boards.leaderboard import render, write_pages
from kpbench.boards.pages.markdown import number
from kpbench.records.record import all_records
from kpbench.running.execute import Settings, evaluate
from kpbench.running.plan import Cell
from tests.conftest import Install, bright

EVALUATOR = "toy_discs/strict"
FEWER = {"toy_discs": {"images": 4}}


@pytest.fixture
def folder(tmp_path: Path, toy_discs: str, install: Install) -> Path:
    """A method to which the number of images matters, with all and with four of them."""
    install(
        "methods",
        {
            "counter": bright("counter", fit="self.shift = 1 / len(images)", predict=(
                "points = points + self.shift * (images.images[:, :1, 0] / 255.0)[..., :2]"
            ))
        },
    )  # fmt: skip
    results = tmp_path / "results"
    cells = [Cell("counter", toy_discs, seed) for seed in (0, 1)]
    for settings, wanted in (
        (Settings(results), cells),
        (Settings(results, arguments=FEWER), cells[:1]),
        (Settings(results, arguments={"toy_discs": {"k": 3, "images": 4}}), cells[:1]),
    ):
        assert {outcome.status for outcome in evaluate(wanted, settings)} == {"ok"}
    return tmp_path


def test_a_variant_is_a_row_beside_the_unchanged_run(folder: Path) -> None:
    values = {
        (r.identity.n_keypoints, r.identity.seed, bool(r.identity.arguments)): r.scores[
            EVALUATOR
        ].value
        for r in all_records(folder / "results")
    }
    few, whole = values[4, 0, True], values[4, 0, False]
    assert abs(few - whole) > 0.01
    page = render(folder)[folder / "toy_discs.md"]
    [row] = [line for line in page.splitlines() if line.startswith("| [images=4]")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == ["counter v1", number(few), number(whole), number(few - whole)]
    low, high = cells[5].replace("−", "-").split(" to ")
    assert float(low) <= few - whole <= float(high)


def test_a_variant_has_no_board_of_its_own_beside_the_unchanged_one(folder: Path) -> None:
    write_pages(folder)
    page = (folder / "toy_discs.md").read_text()
    assert page.count("## Version 1") == 2  # K = 4, and K = 3, of which nothing is unchanged
    assert "K = 4, cpu, images=4" not in page
    index = (folder / "README.md").read_text()
    assert index.count("[toy_discs](toy_discs.md)") == 2
