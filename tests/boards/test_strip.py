"""Strips of pictures: drawn on command, checked and linked without an image or a prediction."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpbench.api import Keypoints
from kpbench.boards.board import Board, read_boards
from kpbench.boards.leaderboard import render, stale_pages
from kpbench.boards.pages import strip
from kpbench.boards.pages.plots import LARGEST
from kpbench.cli.main import main
from kpbench.errors import KpbenchError
from kpbench.registry import load_protocol
from tests.boards.board_toys import toy_record

NAME = "toy_discs_v1_quick_k4_cpu.png"
STRICT = ("toy_discs/strict",)


def add(folder: Path, method: str, seed: int = 0, *, kept: bool = True) -> None:
    rng = np.random.default_rng(len(method) + seed)
    points = {f"{split}_keypoints": rng.random((20, 4, 2)) for split in ("train", "test")}
    toy_record(
        folder / "results",
        method,
        rng.random(20),
        seed=seed,
        evaluators=STRICT,
        predictions={**points, "graph": np.eye(4)[::-1]} if kept else None,
        data=load_protocol("toy_discs").fingerprint("quick"),
        n_keypoints=4,
    )


@pytest.fixture
def folder(tmp_path: Path, toy_discs: str) -> Path:
    """Two methods with two seeds; the predictions of one were never kept."""
    for seed in (0, 1):
        add(tmp_path, "good", seed)
        add(tmp_path, "poor", seed, kept=False)
    return tmp_path


def board(folder: Path) -> Board:
    [found] = read_boards(folder / "results")
    return found


def draw(folder: Path) -> int:
    return main(["leaderboard", "--folder", str(folder), "--pictures"])


def test_it_is_drawn_on_command_and_the_page_says_by_which_rule(folder: Path) -> None:
    assert main(["leaderboard", "--folder", str(folder)]) == 0
    assert not (folder / NAME).exists() and ".png" not in (folder / "toy_discs.md").read_text()
    assert draw(folder) == 0
    page = (folder / "toy_discs.md").read_text()
    assert f"]({NAME})" in page and "of index i N / 6" in page and "of seed 0" in page
    assert main(["leaderboard", "--folder", str(folder), "--check"]) == 0
    with Image.open(folder / NAME) as drawn:
        assert drawn.width > drawn.height > 100
        assert len(drawn.convert("RGB").getcolors(drawn.width * drawn.height) or ()) > 20
    assert (folder / NAME).stat().st_size <= LARGEST


def test_pages_are_checked_without_images_and_without_predictions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert draw(folder) == 0
    for path in (folder / "results").rglob("*.predictions.npz"):
        path.unlink()

    def no_protocol(name: str) -> None:
        raise AssertionError(f"asked for the images of {name}")

    monkeypatch.setattr(strip, "load_protocol", no_protocol)
    assert stale_pages(folder) == []
    before = (folder / NAME).read_bytes()
    assert draw(folder) == 0
    assert (folder / NAME).read_bytes() == before


def test_other_predictions_make_it_stale_and_it_goes(folder: Path) -> None:
    assert draw(folder) == 0
    shutil.rmtree(folder / "results" / "toy_discs" / "good")
    for seed in (0, 1):
        add(folder, "good", seed + 7)
    assert folder / NAME in stale_pages(folder)
    assert f"]({NAME})" not in render(folder)[folder / "toy_discs.md"]
    assert main(["leaderboard", "--folder", str(folder)]) == 0
    assert not (folder / NAME).exists() and stale_pages(folder) == []


def test_a_method_that_came_later_is_drawn_when_asked_for(folder: Path) -> None:
    assert draw(folder) == 0
    before = (folder / NAME).read_bytes()
    for seed in (0, 1):
        add(folder, "later", seed)
    assert NAME in "".join(strip.lines(board(folder), [NAME]))
    assert strip.is_current(folder / NAME, board(folder)), "what it shows is still so"
    assert draw(folder) == 0
    with Image.open(folder / NAME) as drawn:
        assert '"later v1"' in drawn.info[strip.KEY]
    assert (folder / NAME).read_bytes() != before


def test_images_that_are_not_those_of_the_records_are_not_drawn(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = load_protocol("toy_discs")
    monkeypatch.setattr(type(protocol), "fingerprint", lambda self, recipe: "other")
    assert draw(folder) == 0
    assert "no pictures: toy_discs: Version 1" in capsys.readouterr().err
    assert not (folder / NAME).exists()
    with pytest.raises(KpbenchError, match="toy_discs has other images now than the records of v1"):
        strip.write_strip(folder, folder / "results", board(folder))


def test_other_pictures_are_left_alone(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "mine.png")
    assert draw(folder) == 0
    assert (folder / "mine.png").exists() and stale_pages(folder) == []


def test_to_check_and_to_draw_at_once_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", "--folder", str(folder), "--check", "--pictures"]) == 2
    assert "leave out --pictures" in capsys.readouterr().err


def test_a_tile_has_the_keypoints_and_edges_of_its_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Keypoints | None] = []
    monkeypatch.setattr(strip, "tile", lambda axes, image, found: drawn.append(found))
    assert draw(folder) == 0
    [path] = (folder / "results").rglob("quick-0-*.predictions.npz")
    with np.load(path) as arrays:
        wanted = arrays["test_keypoints"][[0, 3, 6, 10, 13, 16]]
    found = [each for each in drawn if each is not None]
    np.testing.assert_array_equal(np.concatenate([each.points for each in found]), wanted)
    assert all(each.graph is not None and each.graph.shape == (4, 4) for each in found)


def test_pictures_of_real_images_stay_where_the_data_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says where the images are, and is the same with and without the picture."""
    rng = np.random.default_rng(0)
    toy_record(
        tmp_path / "results",
        "good",
        rng.random(20),
        evaluators=("lips/strict",),
        predictions={f"{split}_keypoints": rng.random((20, 8, 2)) for split in ("train", "test")},
        n_keypoints=8,
    )
    [before] = [text for path, text in render(tmp_path).items() if path.stem == "lips"]
    assert "DeepLabCut-for-Speech-Production" in before and "Licence: " in before
    assert "`kpbench data info lips`" in before and "![" not in before
    images = rng.integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    monkeypatch.setattr(strip, "_images", lambda board, progress: images)
    assert draw(tmp_path) == 0
    drawn = tmp_path / "pictures" / "lips_v1_quick_k8_cpu.png"
    assert drawn.is_file() and drawn.relative_to(tmp_path).as_posix() in before
    assert (tmp_path / "lips.md").read_text() == before
    assert stale_pages(tmp_path) == []
    drawn.unlink()
    assert stale_pages(tmp_path) == []
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()
    assert "leaderboards/pictures/" in ignored
