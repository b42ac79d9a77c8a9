"""What is printed: in any encoding, of any path, in a terminal of any width."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Task

from kpbench.cli.encoding import NAME, spell_output, spelled
from kpbench.cli.main import main
from kpbench.cli.progress import FittingBar, progress_bar
from kpbench.cli.tables import plain_console, print_fitting
from kpbench.errors import UnknownNameError
from kpbench.files.atomic import write_atomically

HEADS = ["method", "strict ↓\n% of the image", "default ↓\npx at 256", "of the\nway", "seeds"]
ROW = ["random_detector ‡", "12.34", "456.7", "43 %", "3"]
MORE = [f"evaluator_{i}" for i in range(9)]


@given(st.text(), st.sampled_from(["cp1252", "latin-1", "ascii", "cp437", "utf-8", "koi8-r"]))
def test_no_text_is_too_odd_for_an_encoding(text: str, encoding: str) -> None:
    spell_output()
    written = text.encode(encoding, NAME)
    try:
        assert written == text.encode(encoding), "what the encoding has is as it was"
    except UnicodeEncodeError:
        assert written or not text


def test_signs_are_spelled_and_bytes_of_names_are_kept() -> None:
    spell_output()
    assert "8 ± 1 ↓ – 2 ÷ 3 Zürich".encode("ascii", NAME) == b"8 +- 1 v - 2 / 3 Zurich"
    assert "4 – 5 ↑".encode("cp1252", NAME) == b"4 \x96 5 ^"
    name = os.fsdecode(b"caf\xe9.png")
    assert name.encode("utf-8", NAME) == b"caf\xe9.png"
    with pytest.raises(UnicodeDecodeError):
        spelled(UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_commands_end_well_where_output_is_not_utf_8(
    encoding: str, toy_discs: str, tmp_path: Path
) -> None:
    words = ["-m", "mean_shape", "--recipe", "smoke", "--results", str(tmp_path / "zürich ↓")]
    for line in (
        ["evaluate", "-p", "people_taichi", *words],
        ["disagreement", "mean_shape", "people_taichi", *words[2:]],
        ["list"],
        ["show", "people_taichi"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "kpbench", *line],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "200"},
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
    assert "strict" in done.stdout.decode(encoding)


@pytest.mark.parametrize("name", ["run[/x]", "run[lr=3]", "run[red]x[/red]", "a :smile: b"])
def test_a_folder_is_printed_as_it_is_called(
    name: str, toy_discs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / name
    words = ["evaluate", "-p", toy_discs, "-m", "mean_shape", "--results", str(results)]
    assert main([*words, "--recipe", "smoke"]) == 0
    assert f"records: {results}\n" in capsys.readouterr().out
    assert main([*words, "--recipe", "smoke", "--jobs", "1"]) == 0


def drawn(width: int, heads: list[str], row: list[str]) -> tuple[str, list[str]]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, markup=False)
    left_out = print_fitting(console, heads, [row], title="people [v2]")
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue()), left_out


@pytest.mark.parametrize("width", [80, 100, 120, 200, 300])
def test_a_column_is_whole_or_named_as_left_out(width: int) -> None:
    text, left_out = drawn(width, [*HEADS, *MORE], [*ROW, *("1.234" for _ in MORE)])
    assert "…" not in text and "people [v2]" in text
    assert max(map(len, text.splitlines())) <= width
    shown = [name for name in MORE if name in text]
    assert shown + left_out == MORE, "from the left, and none is lost"
    assert all(cell in text for cell in ROW)
    assert (width >= 200) == (not left_out)


def test_what_matters_most_fits_80_columns() -> None:
    text, left_out = drawn(80, HEADS, ROW)
    assert not left_out
    assert ROW[0] in text


def test_what_is_no_terminal_has_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert plain_console().width > 10_000
    monkeypatch.setenv("COLUMNS", "70")
    assert plain_console().width == 70


@pytest.mark.parametrize("width", [140, 100, 80, 60, 40])
def test_progress_leaves_out_columns_before_it_cuts_them(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, markup=False)
    bar = FittingBar(console)
    name = "people_background / distill_dkp / seed 0: step"
    bar.add_task(name, total=20_000, completed=1234)
    with console.capture() as capture:
        console.print(bar.make_tasks_table(list[Task](bar.tasks)))
    text = re.sub(r"\x1b\[[0-9;]*m", "", capture.get())
    assert "…" not in text
    assert "left" in text and "-:--:--" in text
    assert all(len(line) <= width for line in text.splitlines())
    assert "".join(name.split()) in "".join(text.split()) or width < 60
    assert ("1234/20000" in text) == (width >= 80)


def test_progress_tells_text_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, markup=False)
    with progress_bar(console, 1) as show:
        show(1, 2, "run[/x] / [red]: step")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "method", "ünï"], "use lower-case letters (a to z)"),
        (["new", "method", "a" * 250], "it has 250 letters; at most 100"),
        (["evaluate", "-m", "mean_shape", "-p", "people_plain", "--results", "ä" * 200], "has 400"),
        (["train", "random_detector", "--protocol", "people_plain", "--output", "a" * 256], "256"),
        (["leaderboard", "--folder", "a" * 300], "300 bytes"),
        (["evaluate", "-m", "x", "--set", "autolinc.k=3"], "did you mean autolink?"),
    ],
)
def test_names_that_cannot_be_are_refused_before_the_work(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = [] if words[0] not in ("train", "evaluate") else ["--recipe", "smoke"]
    assert main([*words, *recipe]) == 2
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text
    assert not [*tmp_path.iterdir()]


def test_the_longest_name_of_a_file_can_be_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("a" * 255), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 255]


def test_a_suggestion_is_made_once() -> None:
    error = UnknownNameError.of("name", "autolnk", ["autolink", "autolink", "oracle"])
    assert str(error) == "no name called 'autolnk'; did you mean autolink?"


def test_evaluate_ends_with_the_command_that_makes_pages(
    toy_discs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "-p", toy_discs, "-m", "mean_shape", "--recipe", "quick"]
    assert main([*words, "--results", str(tmp_path / "my runs")]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("pages of them: kpbench leaderboard --results ")
    command = shlex.split(last.partition(": kpbench ")[2])
    assert main([*command[:-1], str(tmp_path / "boards")]) == 0
    assert (tmp_path / "boards" / "toy_discs.md").is_file()
