"""The page of speed: whose score belongs to whose speed, who is optimal, what is not measured."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from kpbench.boards.board import Board, read_boards
from kpbench.boards.leaderboard import rendered, stale_pages, write_pages
from kpbench.boards.pages.plots import is_current
from kpbench.boards.pages.speed import pages
from kpbench.boards.pages.speed_points import comparable, panel, pareto, plot_of, record_of
from kpbench.cli.main import main
from kpbench.errors import RecordError
from kpbench.running.execute import Settings, evaluate
from kpbench.running.plan import grid
from kpbench.speed.record import SpeedRecord
from tests.conftest import Install, bright
from tests.speed.test_record import a_sweep, speed_record, spread

SHIFT = "points = points + 0.2 * (images.images[:, 0, 0] / 255.0)[:, None, :2]"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def folder(tmp_path: Path, toy_discs: str, install: Install, once: Path) -> Path:
    """Two seeds of a good method, its twin, a poor one and the floor, without speeds."""
    sources = {
        "good": bright("good"),
        "twin": bright("twin"),
        "poor": bright("poor", predict=SHIFT),
    }
    install("methods", sources)
    if not any(once.iterdir()):
        cells = grid([*sources, "mean_shape"], [toy_discs], [0, 1])
        list(evaluate(cells, Settings(once / "results", recipe="quick")))
    return Path(shutil.copytree(once, tmp_path / "boards"))


def fast(method: str, images_per_s: float, **changes: Any) -> SpeedRecord:
    rows = [{"batch": 1, "images_per_s": images_per_s, "time": spread(1000 / images_per_s)}]
    params = {} if method == "mean_shape" else {"gain": 4.0}
    return speed_record(method, **{"params": params, "inference": rows, **changes})


def on_gpu(method: str, images_per_s: float) -> SpeedRecord:
    return fast(method, images_per_s, device="cuda", device_name="NVIDIA H200")


def saved(folder: Path, *records: SpeedRecord) -> str:
    """Save the records, write the pages, and return that of speed."""
    for record in records:
        record.save(folder / "speed")
    write_pages(folder)
    return (folder / "speed.md").read_text()


def board_of(folder: Path) -> Board:
    [board] = read_boards(folder / "results")
    return board


def cells(text: str, heading: str) -> dict[str, list[str]]:
    """Return the cells of the first table below a heading, by the first."""
    lines = text[text.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    stop = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    table = [[c.strip() for c in line.strip("|").split("|")] for line in lines[start:stop]]
    return {row[0]: row for row in table if not row[0].startswith(":-")}


POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(POINTS, st.booleans())
def test_the_front_is_what_a_sweep_over_speeds_finds(
    points: list[tuple[int, int]], higher_is_better: bool
) -> None:
    """From the fastest down, a point is optimal if it beats, or repeats, the best so far."""
    worth = {p: p[0] if higher_is_better else -p[0] for p in points}
    front: set[tuple[int, int]] = set()
    for p in sorted(points, key=lambda p: (-p[1], -worth[p])):
        if all(worth[p] > worth[other] or p == other for other in front):
            front.add(p)
    found = pareto([(float(a), float(b)) for a, b in points], higher_is_better=higher_is_better)
    assert found == [p in front for p in points]


def test_direction_and_ties_of_the_front() -> None:
    points = [(5.0, 10.0), (5.0, 10.0), (5.0, 9.0), (4.0, 10.0), (6.0, 1.0)]
    assert pareto(points, higher_is_better=True) == [True, True, False, False, True]
    assert pareto(points, higher_is_better=False) == [False, False, False, True, False]
    assert pareto([], higher_is_better=True) == []


def test_optimal_rows_are_marked_and_references_are_not(folder: Path) -> None:
    text = saved(folder, fast("good", 50), fast("poor", 40), fast("mean_shape", 1e6))
    found = cells(text, "### toy_discs v1, K = 4")
    assert found["method"][-2:] == ["A CPU (TM) 9000", "CUDA"]
    assert found["good v1"][-2:] == ["50.0 ✓", "not measured"]
    assert found["poor v1"][-2:] == ["40.0", "not measured"]
    assert found["mean_shape v1"][-2:] == ["1,000,000", "not measured"]
    text = saved(folder, fast("poor", 60))
    assert cells(text, "### toy_discs")["poor v1"][-2] == "60.0 ✓"
    assert cells(text, "### toy_discs")["good v1"][-2] == "50.0 ✓"


def test_scores_are_those_of_the_board(folder: Path) -> None:
    board = board_of(folder)
    text = saved(folder, fast("poor", 40))
    row = board.row("poor")
    assert row is not None
    shown = cells(text, "### toy_discs")["poor v1"]
    assert float(shown[2].split()[0]) == pytest.approx(row.mean(board.evaluator), rel=2e-3)
    assert shown[3] == "2"
    assert "good v1" not in cells(text, "### toy_discs")  # no speed, so not here


def turned(folder: Path) -> None:
    """Let the scores in the folder be of a metric of which more is better."""
    for path in (folder / "results").glob("*/*/*.json"):
        text = path.read_text()
        assert '"higher_is_better": false' in text
        path.write_text(text.replace('"higher_is_better": false', '"higher_is_better": true'))


BY_ERROR = ["good v1", "twin v1", "poor v1", "mean_shape v1"]
"""The methods of `folder`, the first two tied."""


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_the_most_accurate_comes_first(folder: Path, higher_is_better: bool) -> None:
    if higher_is_better:
        turned(folder)
    methods = [label.split()[0] for label in BY_ERROR]
    text = saved(folder, *(fast(method, 50) for method in methods))
    _, *labels = cells(text, "### toy_discs v1, K = 4")
    first, second, *others = BY_ERROR
    assert labels == ([*others[::-1], first, second] if higher_is_better else BY_ERROR)
    assert ("(%) ↑" if higher_is_better else "(%) ↓") in text


def test_each_device_has_a_column_and_a_front_of_its_own(folder: Path) -> None:
    text = saved(
        folder, fast("good", 50), fast("poor", 40), on_gpu("good", 500), on_gpu("poor", 900)
    )
    found = cells(text, "### toy_discs")
    assert found["method"][-2:] == ["A CPU (TM) 9000", "NVIDIA H200"]
    assert found["poor v1"][-2:] == ["40.0", "900 ✓"]
    assert "not measured" not in text


def test_without_a_gpu_the_table_says_so(folder: Path) -> None:
    found = cells(saved(folder, fast("good", 50)), "## quick recipe")
    assert found["all"][1] == "CUDA"
    assert set(found["all"][2:]) == {"not measured"}


def test_other_parameters_recipes_versions_and_k_are_other_methods(
    folder: Path, toy_discs: str
) -> None:
    board = board_of(folder)
    [good] = [row for row in board.rows if row.method == "good"]
    for change in ({"recipe": "paper"}, {"method_version": 2}, {"n_keypoints": 16}):
        assert record_of(good, board, [fast("good", 1, **change)]) is None, change
    elsewhere = fast("good", 1, params={"gain": 9.0})
    assert record_of(good, board, [elsewhere]) == elsewhere  # the only row of the method
    settings = Settings(folder / "results", overrides={"good": {"gain": 1.0}})
    list(evaluate(grid(["good"], [toy_discs], [0, 1]), settings))
    board = board_of(folder)
    rows = [row for row in board.rows if row.method == "good"]
    assert [record_of(row, board, [elsewhere]) for row in rows] == [None, None]
    found = [record_of(row, board, [elsewhere, fast("good", 2)]) for row in rows]
    assert [r is not None for r in found] == [False, True]  # gain=1.0, gain=4.0


def test_boards_with_arguments_and_incomplete_rows_do_not_count(folder: Path) -> None:
    records = [fast("good", 50)]
    assert comparable([board_of(folder)], records) != []
    next((folder / "results").glob("*/good/quick-1-*.json")).unlink()
    assert comparable([board_of(folder)], records) == []
    arguments = {"images": 3}
    board = Board(**{**vars(board_of(folder)), "arguments": arguments})
    assert comparable([board], [fast("twin", 50)]) == []


def test_the_plot_shows_the_points_of_the_table(folder: Path) -> None:
    board, records = board_of(folder), [fast("good", 50), fast("poor", 60), fast("mean_shape", 9)]
    found = panel(board, "A CPU (TM) 9000", records)
    assert [(p.label, p.images_per_s, p.optimal) for p in found.points] == [
        ("good v1", 50, True),
        ("mean_shape v1", 9, None),
        ("poor v1", 60, True),
    ]
    plot = plot_of([board], [*records, on_gpu("good", 1)])
    assert plot is not None
    assert [p["device_name"] for p in plot.data] == ["A CPU (TM) 9000", "NVIDIA H200"]
    assert plot_of([board], [fast("nobody", 1)]) is None


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_the_plot_has_speed_to_the_right_and_the_better_score_on_top(
    folder: Path, higher_is_better: bool
) -> None:
    if higher_is_better:
        turned(folder)
    board = board_of(folder)
    speeds = {"good": 50.0, "twin": 40.0, "poor": 60.0, "mean_shape": 9.0}
    plot = plot_of([board], [fast(method, speed) for method, speed in speeds.items()])
    assert plot is not None
    drawing = Figure()
    plot.draw(drawing)
    [axes] = drawing.axes
    at = {row.label: (speeds[row.method], row.mean(board.evaluator)) for row in board.rows}
    kinds = {
        "Pareto-optimal": ["poor v1"] if higher_is_better else ["good v1", "poor v1"],
        "dominated": ["twin v1", "good v1"] if higher_is_better else ["twin v1"],
        "reference": ["mean_shape v1"],
    }
    lines = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
    found = {label: [(x, y) for x, y in points] for label, points in lines.items()}
    assert found == {kind: [at[label] for label in labels] for kind, labels in kinds.items()}
    named = {text.get_text(): text.xy for text in axes.texts if isinstance(text, Annotation)}
    assert named == at
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert "images/s" in axes.get_xlabel() and "(%)" in axes.get_ylabel()
    assert (axes.xaxis_inverted(), axes.yaxis_inverted()) == (False, not higher_is_better)


def test_a_plot_is_stale_when_a_number_changes_and_goes_with_its_records(folder: Path) -> None:
    text = saved(folder, fast("good", 50), fast("poor", 40))
    assert "![Accuracy against images per second](speed.png)" in text
    assert "[Accuracy against speed](speed.md)" in (folder / "README.md").read_text()
    assert stale_pages(folder) == []
    before = (folder / "speed.png").read_bytes()
    write_pages(folder)
    assert (folder / "speed.png").read_bytes() == before
    fast("good", 51).save(folder / "speed")
    assert {path.name for path in stale_pages(folder)} == {"speed.md", "speed.png"}
    assert main(["leaderboard", "--folder", str(folder), "--check"]) == 1
    write_pages(folder)
    assert is_current(folder / "speed.png", rendered(folder).plots[folder / "speed.png"])
    (folder / "photo.png").write_bytes(b"not ours")
    shutil.rmtree(folder / "speed")
    assert {path.name for path in stale_pages(folder)} == {"README.md", "speed.md", "speed.png"}
    write_pages(folder)
    assert not (folder / "speed.png").exists() and not (folder / "speed.md").exists()
    assert (folder / "photo.png").exists()


def test_a_corrupt_speed_record_stops_the_pages(folder: Path) -> None:
    saved(folder, fast("good", 50))
    before = (folder / "speed.md").read_bytes()
    next((folder / "speed").iterdir()).write_text("{}")
    with pytest.raises(RecordError, match="speed record"):
        write_pages(folder)
    assert (folder / "speed.md").read_bytes() == before


def test_the_sweep_is_a_table_of_k_and_size() -> None:
    [text] = pages([speed_record(sweep=a_sweep())], []).values()
    found = cells(text, "### Cost of a step: good on A CPU (TM) 9000")
    assert found["K"][1:] == ["64 x 64 px", "128 x 128 px"]
    assert found["8"][1:] == ["50.0 ms, 123 MiB, 10.0 %", "50.0 ms, – MiB, –"]


def test_every_number_of_a_record_is_in_its_column() -> None:
    """The best batch is neither the first, nor the largest, nor the one of training."""
    rows = [
        {"batch": 1, "images_per_s": 20.0, "time": spread(50.0), "share_of_peak": 0.02},
        {"batch": 8, "images_per_s": 80.0, "time": spread(100.0), "share_of_peak": 0.08},
        {"batch": 64, "images_per_s": 32.0, "time": spread(2000.0), "share_of_peak": 0.03},
    ]
    training = {
        "batch": 16, "images_per_s": 40.0, "time": spread(400.0), "steps": 30, "startup_s": 3.0,
        "threads": 1, "share_of_peak": 0.25, "share_of_datasheet": 0.125,
    }  # fmt: skip
    memory = {"how": "?", "training_mib": 2100.0, "inference_mib": 310.0, "inference_batch": 8}
    size = {
        "kept": 12345, "trained": 67890,
        "predict": {"recipe": 1.5, "computed": 1.25}, "step": {"recipe": 9.5, "computed": 7.75},
    }  # fmt: skip
    record = speed_record(inference=rows, training=training, memory=memory, size=size)
    found = cells(pages([record], [])["speed.md"], "## quick recipe")
    assert list(zip(found["method"], found["good"], strict=True)) == [
        ("method", "good"),
        ("device", "A CPU (TM) 9000"),
        ("predict, images/s", "80.0 (batch 8)"),
        ("latency, ms", "50.0 (45.0 to 75.0)"),
        ("best batch, ms", "100 (90.0 to 150)"),
        ("predict, of peak", "8.0 %"),
        ("train, images/s", "40.0"),
        ("step, ms", "400 (360 to 600), batch 16"),
        ("train, of peak", "25.0 %"),
        ("memory, MiB: train", "2,100"),
        ("predict", "310"),
        ("GFLOP an image: train", "9.50 (7.75)"),
        ("predict", "1.50 (1.25)"),
        ("numbers trained", "67,890"),
        ("kept", "12,345"),
    ]


def test_random_weights_peaks_and_provenance_are_on_the_page() -> None:
    peak = {
        "use": "training", "arithmetic": "bfloat16", "threads": 1, "tflops": 700.0,
        "time": spread(1.0), "datasheet_tflops": 989.4, "datasheet": "a datasheet",
    }  # fmt: skip
    record = speed_record(random_weights=["vgg16"], peaks=[peak])
    text = re.sub(" +", " ", pages([record], [])["speed.md"])
    assert "good (random weights)" in text
    assert "random weights, for timing alone: vgg16" in text
    assert "700 TFLOP/s measured, 989.4 printed (a datasheet), bfloat16" in text
    assert "torch 2.15.0; 2026-11-21, commit 0123456" in text


def test_smoke_records_have_no_page() -> None:
    assert pages([speed_record(recipe="smoke")], []) == {}
