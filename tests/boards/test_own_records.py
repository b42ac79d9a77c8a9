"""From one's own records to pages: `kpbench leaderboard --results … --output …`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from kpbench.boards.leaderboard import rendered
from kpbench.boards.pages.plots import is_ours
from kpbench.cli.main import main
from kpbench.cli.score_table import leaderboard_command
from kpbench.errors import InvalidInputError, RecordError
from kpbench.records.record import all_records, folder_of, stored_artifact
from tests.boards.board_toys import toy_record

ERRORS = np.random.default_rng(0).uniform(1, 9, 40)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders of records: floor and a method in one, another method and the floor in the other."""
    monkeypatch.chdir(tmp_path)
    for folder, method in (("mine", "autolink"), ("her results", "dff")):
        toy_record(tmp_path / folder, "mean_shape", ERRORS + 5, reference="floor")
        toy_record(tmp_path / folder, method, ERRORS)
    return Path("mine"), Path("her results")


def test_records_of_several_folders_stand_on_one_board(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["leaderboard", "--results", "mine", "--results", "her results", "--output", "boards"]
    assert main(words) == 0
    assert "boards/README.md" in capsys.readouterr().out
    text = Path("boards/people_plain.md").read_text(encoding="utf-8")
    assert "| autolink v1" in text and "| dff v1" in text
    assert len(re.findall(r"- \[mean_shape v1, seed 0\]", text)) == 1, "the first counts"
    assert "from the records in `../mine/`, `../her results/`; do not edit" in text
    links = re.findall(r"\]\(<([^>]+)>\)", text)
    assert len(links) >= 3 and all((Path("boards") / link).is_file() for link in links)
    assert not Path("README.md").exists()
    assert main([*words, "--check"]) == 0
    shutil.rmtree("her results/people_plain/dff")
    assert main([*words, "--check"]) == 1
    assert "--output=boards" in capsys.readouterr().out


def test_artifacts_come_from_the_folder_of_the_record(two: tuple[Path, Path]) -> None:
    records = {record.identity.method: record for record in all_records(two)}
    assert [*records] == ["autolink", "dff", "mean_shape"]
    assert folder_of(two, records["dff"]) == two[1]
    assert folder_of(two, records["mean_shape"]) == two[0]
    path = stored_artifact(two, records["dff"], "scores")
    assert path.is_relative_to(two[1])
    path.write_bytes(b"x")
    with pytest.raises(RecordError, match=r"her results/people_plain/dff/.* was altered"):
        stored_artifact(two, records["dff"], "scores")


def test_results_alone_and_output_alone_have_their_usual_names(two: tuple[Path, Path]) -> None:
    two[0].rename("results")
    assert main(["leaderboard", "--output", "pages"]) == 0
    assert Path("pages/people_plain.md").is_file()
    assert main(["leaderboard", "--results", "results"]) == 0
    assert Path("boards/people_plain.md").is_file()


def test_records_beside_the_pages_are_told_of_as_ever(two: tuple[Path, Path]) -> None:
    two[0].rename("results")
    inside = rendered(Path(), ())
    named = rendered(Path(), (), (Path("results"),))
    assert inside.pages.keys() == named.pages.keys()
    assert "the records in `results/`; do" in named.pages[Path("README.md")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "kpbench leaderboard --results results --output boards"),
        (["--results", "nowhere"], "nowhere holds no records"),
        (["--folder", "mine", "--results", "mine"], "leave out --results"),
        (["--folder", "mine", "--output", "x"], "leave out --results and --output"),
        (["--results", "mine", "--check", "--pictures"], "leave out --pictures"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str], message: str, two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["README.md", "people_plain.md"])
def test_nothing_of_somebody_else_is_overwritten(name: str, two: tuple[Path, Path]) -> None:
    Path("boards").mkdir()
    (Path("boards") / name).write_text("# mine\n")
    assert main(["leaderboard", "--results", "mine", "--output", "boards"]) == 2
    assert [path.name for path in Path("boards").iterdir()] == [name]


def test_a_picture_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    from PIL import Image

    from kpbench.boards.leaderboard import check_replaceable

    path = tmp_path / "speed.png"
    Image.new("RGB", (4, 4)).save(path)
    assert not is_ours(path)
    with pytest.raises(InvalidInputError, match=r"speed.png was not written by kpbench"):
        check_replaceable([], [path])
    check_replaceable([], [tmp_path / "not there.png"])


def test_the_command_can_be_pasted() -> None:
    assert leaderboard_command(Path("out/run[/x]")) == (
        "kpbench leaderboard --results 'out/run[/x]' --output boards"
    )
