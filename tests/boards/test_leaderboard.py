"""Pages: a pure function of the records, honest about noise and about what is missing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from kpbench.boards.board import read_boards
from kpbench.boards.leaderboard import render, stale_pages, write_pages
from kpbench.boards.pages.markdown import GENERATED
from kpbench.cli.main import main
from kpbench.errors import RecordError
from kpbench.records.record import all_records
from kpbench.running.execute import Settings, evaluate
from kpbench.running.plan import grid
from kpbench.studies.distill_dkp import STUDIES
from tests.conftest import Install, bright

ROOT = Path(__file__).resolve().parents[2]
SHIFT = "points = points + 0.2 * (images.images[:, 0, 0] / 255.0)[:, None, :2]"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the boards of `folder` are kept between the tests."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def folder(tmp_path: Path, toy_discs: str, install: Install, once: Path) -> Path:
    """Two seeds of a good method, its twin, a poor one, one that fails, floor and ceiling."""
    sources = {
        "good": bright("good"),
        "twin": bright("twin"),
        "poor": bright("poor", predict=SHIFT),
        "fails": bright("fails", fit="1 / 0 if seed else None"),
    }
    install("methods", sources)
    if not any(once.iterdir()):
        cells = grid([*sources, "mean_shape", "joint_ceiling"], [toy_discs], [0, 1])
        list(evaluate(cells, Settings(once / "results", recipe="quick")))
    return Path(shutil.copytree(once, tmp_path / "boards"))


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of the first table by method."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    first = table[: next((i for i, row in enumerate(table) if "paired" in row[0]), len(table))]
    return {row[1].split()[0]: row for row in first[2:]}


def page(folder: Path) -> str:
    return render(folder)[folder / "toy_discs.md"]


def test_rank_is_shared_inside_noise(folder: Path) -> None:
    found = rows(page(folder))
    assert (found["good"][0], found["twin"][0], found["poor"][0]) == ("1", "1", "3")
    assert (found["mean_shape"][0], found["joint_ceiling"][0]) == ("–", "–")
    assert "0 %" in found["mean_shape"] and "100 %" in found["joint_ceiling"]
    assert "| good v1 − twin v1 | 0.000 | 0.000 to 0.000 | 1.000 | no |" in re.sub(
        " +", " ", page(folder)
    )


def test_incomplete_row_has_no_rank_and_the_reason(folder: Path) -> None:
    fails = rows(page(folder))["fails"]
    assert fails[0] == "one seed"
    assert "seed 1: ZeroDivisionError" in fails
    assert "1/2" in fails


def test_a_board_on_which_everything_failed_is_still_a_page(
    tmp_path: Path, toy_discs: str, install: Install
) -> None:
    install("methods", {"fails": bright("fails", fit="1 / 0")})
    list(evaluate(grid(["fails"], [toy_discs], [0]), Settings(tmp_path / "results")))
    pages = render(tmp_path)
    assert "| – " in pages[tmp_path / "README.md"]
    assert "fails v1, seed 0" in pages[tmp_path / "toy_discs.md"]
    assert "failed" in pages[tmp_path / "toy_discs.md"]


def test_numbers_on_the_page_are_those_of_the_records(folder: Path) -> None:
    values = {
        record.identity.method: record.scores["toy_discs/strict"].value
        for record in all_records(folder / "results")
        if record.status == "ok" and record.identity.seed == 0
    }
    found = rows(page(folder))
    for method in ("good", "poor", "mean_shape"):
        assert float(found[method][2].split()[0]) == pytest.approx(values[method], rel=2e-3)


def test_pages_are_stable_and_staleness_is_noticed(folder: Path) -> None:
    written = write_pages(folder)
    assert [path.name for path in written] == ["README.md", "toy_discs.md"]
    assert stale_pages(folder) == []
    assert main(["leaderboard", "--folder", str(folder), "--check"]) == 0
    with (folder / "toy_discs.md").open("a", encoding="utf-8") as file:
        file.write("edited by hand")
    assert main(["leaderboard", "--folder", str(folder), "--check"]) == 1
    write_pages(folder)
    for path in (folder / "results").rglob("twin"):
        shutil.rmtree(path)
    assert folder / "toy_discs.md" in stale_pages(folder)


@pytest.mark.parametrize("name", ["README.md", "toy_discs.md"])
def test_a_page_of_somebody_else_is_not_overwritten(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "# Über mein Projekt: `kpbench leaderboard`\n".encode("latin-1")
    (folder / name).write_bytes(own)
    for words in ([], ["--check"]):
        assert main(["leaderboard", "--folder", str(folder), *words]) == 2
        assert f"{name} was not written by kpbench leaderboard" in capsys.readouterr().err
    assert [path.name for path in folder.glob("*.md")] == [name]
    assert (folder / name).read_bytes() == own


def test_other_files_beside_the_pages_are_left_alone(folder: Path) -> None:
    (folder / "notes.md").write_bytes("Über\n".encode("latin-1"))
    (folder / "drafts.md").mkdir()
    write_pages(folder)
    assert stale_pages(folder) == []
    assert {"notes.md", "drafts.md"} < {path.name for path in folder.iterdir()}


def test_pages_of_earlier_versions_are_ours(folder: Path) -> None:
    for old in (ROOT / "leaderboards").glob("*.md"):
        shutil.copy(old, folder)
    shutil.copy(ROOT / "leaderboards" / "disagreement.md", folder / "toy_discs.md")
    line = "Generated by `kpbench leaderboard` from the records in `results/`; do not edit."
    (folder / "README.md").write_text(f"# Leaderboards\n\n{line}\n")
    write_pages(folder)
    assert {path.name for path in folder.glob("*.md")} == {"README.md", "toy_discs.md"}


def test_the_numbers_of_papers_are_linked_where_there_are_some(folder: Path) -> None:
    assert "published.md" not in render(folder)[folder / "README.md"]
    shutil.copy(ROOT / "leaderboards" / "published.csv", folder)
    assert "(published.md)" in render(folder)[folder / "README.md"]


def test_every_page_names_its_source() -> None:
    pages = render(ROOT / "leaderboards", STUDIES)
    for path, text in pages.items():
        if path.name == "speed.md":
            assert f"{GENERATED}what `speed/` holds" in text
        elif path.name != "published.md":
            assert f"{GENERATED}the records in `results/`" in text


def test_a_page_without_records_is_stale(folder: Path) -> None:
    write_pages(folder)
    shutil.rmtree(folder / "results" / "toy_discs")
    assert folder / "toy_discs.md" in stale_pages(folder)
    write_pages(folder)
    assert not (folder / "toy_discs.md").exists()


def test_a_corrupt_record_or_artifact_stops_the_pages(folder: Path) -> None:
    write_pages(folder)
    before = (folder / "toy_discs.md").read_bytes()
    scores = next((folder / "results").rglob("*.scores.npz"))
    scores.write_bytes(scores.read_bytes() + b"x")
    with pytest.raises(RecordError, match="was altered"):
        write_pages(folder)
    assert (folder / "toy_discs.md").read_bytes() == before


def test_other_parameters_are_other_rows(folder: Path, toy_discs: str) -> None:
    settings = Settings(folder / "results", overrides={"good": {"gain": 1.0}})
    list(evaluate(grid(["good"], [toy_discs], [0, 1]), settings))
    [board] = read_boards(folder / "results")
    labels = [row.label for row in board.rows if row.method == "good"]
    assert labels == ["good v1 (gain=1.0)", "good v1 (gain=4.0)"]


def test_smoke_runs_and_recipes_never_share_a_table(folder: Path, toy_discs: str) -> None:
    for recipe in ("smoke", "paper"):
        settings = Settings(folder / "results", recipe=recipe)
        list(evaluate(grid(["good"], [toy_discs], [0]), settings))
    boards = read_boards(folder / "results")
    assert sorted(board.recipe for board in boards) == ["paper", "quick"]
    assert [len(board.rows) for board in boards if board.recipe == "paper"] == [1]


def test_published_pages_are_up_to_date() -> None:
    assert stale_pages(ROOT / "leaderboards", STUDIES) == []


def test_committed_records_hold_what_their_methods_are(tmp_path: Path) -> None:
    for path in (ROOT / "leaderboards" / "results").glob("*/*/*.json"):
        record = json.loads(path.read_text())
        assert record["identity"]["recipe"] in ("quick", "paper")
        assert record["provenance"]["commit"], path


def remade(folder: Path, method: str, **changes: object) -> None:
    """Say of the records of a method that they were made otherwise."""
    for record in list(all_records(folder / "results")):
        if record.identity.method == method:
            told = {**record.provenance, **changes}
            record.model_copy(update={"provenance": told}).save(folder / "results")


def footnotes(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.startswith("- †")}


def test_rows_of_other_code_than_the_newest_are_marked(folder: Path) -> None:
    [code] = {
        json.dumps(record.provenance["kpbench"]) for record in all_records(folder / "results")
    }
    assert "†" not in page(folder)
    other = {**json.loads(code), "scoring": "regression=00000000", "files": "atomic=00000000"}
    remade(folder, "poor", kpbench=other, finished="2020-01-01T00:00:00Z")
    text = page(folder)
    assert footnotes(text) == {
        "- † poor v1 was not measured by the code of the newest rows here; changed since: files, "
        "scoring"
    }
    assert "| poor v1 † " in text and "good v1 †" not in text
    remade(folder, "poor", finished="2999-01-01T00:00:00Z")
    marked = {line.split()[2] for line in footnotes(page(folder))}
    assert marked == {"good", "twin", "fails", "mean_shape", "joint_ceiling"}, (
        "now it is the newest"
    )


def test_rows_of_another_minor_version_of_torch_are_marked(folder: Path) -> None:
    [packages] = {
        json.dumps(record.provenance["packages"]) for record in all_records(folder / "results")
    }
    major, minor = json.loads(packages)["torch"].split(".")[:2]
    remade(folder, "good", packages={"torch": f"{major}.{minor}.99"}, finished="2020")
    assert footnotes(page(folder)) == set()
    remade(folder, "good", packages={"torch": "1.13.0"}, finished="2020")
    assert footnotes(page(folder)) == {
        "- † good v1 was not measured by the code of the newest rows here; changed since: "
        f"torch 1.13 (now {major}.{minor})"
    }
    remade(folder, "good", packages={}, kpbench={})
    assert footnotes(page(folder)) == set(), "of old records nothing is known"
