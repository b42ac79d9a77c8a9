"""The study of Distill-DKP: what it runs, that it resumes, and what its page says."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kpbench.api import Method, Recipe
from kpbench.boards.board import read_boards
from kpbench.boards.leaderboard import render, stale_pages, write_pages
from kpbench.boards.pages.markdown import interval, number
from kpbench.cli.main import main
from kpbench.contracts.types import no_progress
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.records.published import PublishedNumber, read_published
from kpbench.records.record import Record, all_records
from kpbench.registry import load_method, load_protocol, recipes
from kpbench.running.plan import Cell, grid
from kpbench.running.resolve import Settings, resolve
from kpbench.scoring.statistics.compare import paired_bootstrap
from kpbench.studies.distill_dkp import STUDIES
from kpbench.studies.forecast import forecast
from kpbench.studies.page import pages, plots
from kpbench.studies.plan import (
    BOTH,
    DATASETS,
    LAYERS,
    METHODS,
    STUDENT,
    TEACHER,
    Work,
    in_figure_alone,
    study,
)
from kpbench.studies.results import comparisons, read_study
from tests.studies.study_toys import toy_record, toy_tables

ROOT = Path(__file__).resolve().parents[2]
BACKGROUND = "people_background"
QUICK = Settings(Path("results"))


@pytest.fixture(scope="module")
def published() -> list[PublishedNumber]:
    return read_published(ROOT / "leaderboards" / "published.csv")


def planned(
    recipe: Recipe = "quick",
    parts: tuple[str, ...] = (),
    protocols: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0, 1),
) -> list[Work]:
    settings = replace(QUICK, recipe=recipe)
    return study(settings, seeds=seeds, figure_seeds=[0], parts=parts, protocols=protocols)


def digest(cell: Cell, settings: Settings) -> str:
    return resolve(cell, settings, no_progress).identity.digest()


# What is run


def test_the_tables_are_the_cells_of_evaluate() -> None:
    """Nothing is trained for the study that a leaderboard has."""
    work = planned(parts=("table1",))
    cells = grid(METHODS, DATASETS, [0, 1])
    assert {digest(*item) for item in work} == {digest(cell, QUICK) for cell in cells}
    assert len(work) == len(cells) == 3 * 4 * 2


def test_table_2_is_of_the_runs_of_table_1_without_people_plain() -> None:
    first, second = planned(parts=("table1",)), planned(parts=("table2",))
    assert [item for item in first if item[0].protocol != "people_plain"] == second
    assert planned(parts=("table1", "table2")) == first


@pytest.mark.parametrize("recipe", ["quick", "paper"])
def test_every_run_is_planned_once_and_tables_come_first_seed_by_seed(recipe: Recipe) -> None:
    work = planned(recipe)
    assert max(Counter(digest(*item) for item in work).values()) == 1
    seeds = [cell.seed for cell, settings in work if not settings.overrides]
    assert seeds == [0] * 12 + [1] * 12
    assert not any(settings.overrides for _, settings in work[:24])
    n_figures = {"quick": 1, "paper": 3}[recipe]
    assert len(work) == 24 + n_figures * (3 * 5 - 1)


def test_figure_3_is_every_layer_at_every_gamma_of_the_papers_ranges() -> None:
    work = planned("paper", parts=("figure3",))
    for name, (low, high), best in (
        (BACKGROUND, (0.1, 1.0), 0.1),
        ("people_taichi", (0.1, 1.0), 0.4),
        ("people_fashion", (0.01, 0.1), 0.1),
    ):
        here = [item for item in work if item[0].protocol == name]
        params = [
            resolve(*item, no_progress).identity.params for item in here if item[0].method == BOTH
        ]
        points = {(p["layer"], p["gamma"]) for p in params}
        gammas = sorted({gamma for _, gamma in points})
        assert points == {(layer, gamma) for layer in LAYERS for gamma in gammas}
        assert (gammas[0], gammas[-1]) == (low, high)
        assert best in gammas
        assert [cell.method for cell, _ in here].count(STUDENT) == 1
        assert [cell.method for cell, _ in here].count(TEACHER) == 1


@pytest.mark.parametrize("recipe", recipes())
@pytest.mark.parametrize("name", DATASETS)
def test_the_published_setting_is_what_the_recipe_trains_with(name: str, recipe: Recipe) -> None:
    role = load_protocol(name).role
    own = load_method(BOTH).configured(role=role, recipe=recipe, overrides={}).params()
    assert own["gamma"] == DATASETS[name].gamma
    assert own["layer"] == LAYERS[0]
    assert own["lambda_"] == 1
    who = resolve(Cell(BOTH, name, 0), replace(QUICK, recipe=recipe), no_progress).identity
    assert not in_figure_alone(who)


def test_the_figure_is_trained_with_the_papers_gammas() -> None:
    found = {s.overrides[BOTH]["gamma"] for _, s in planned() if s.overrides}
    assert found == {0.1, 0.2, 0.4, 0.7, 1.0}
    assert {cell.protocol for cell, s in planned() if s.overrides} == {BACKGROUND}
    assert {cell.protocol for cell, s in planned(protocols=("people_fashion",)) if s.overrides} == {
        "people_fashion"
    }


def test_what_cannot_be_planned_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="did you mean table2, table1"):
        planned(parts=("table3",))
    with pytest.raises(UnknownNameError, match="did you mean people_taichi"):
        planned(protocols=("taichi",))
    with pytest.raises(InvalidInputError, match="figure3 shows none of people_plain"):
        planned(parts=("figure3",), protocols=("people_plain",))


# Running it


def run(folder: Path, *words: str) -> int:
    common = ["--recipe", "smoke", "--seeds", "0", "--folder", str(folder), "-p", BACKGROUND]
    return main(["study", "distill-dkp", *common, "--jobs", "1", *words])


def statuses(text: str) -> dict[str, str]:
    """Return the word before each cell, by method and parameters."""
    found = re.findall(r"^(\w+) +people_background / (\w+) / seed 0( \(layer.*?\))?", text, re.M)
    return {method + settings: status for status, method, settings in found}


def test_it_runs_everything_once_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = replace(DATASETS[BACKGROUND], gammas=(0.1,))
    monkeypatch.setitem(DATASETS, BACKGROUND, dataset)
    monkeypatch.setattr("kpbench.studies.plan.LAYERS", LAYERS[:2])
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    first = statuses(printed)
    assert set(first.values()) == {"ok"}
    assert list(first)[3:] == [f"{BOTH} (layer=transposed_conv, gamma=0.1)"]
    assert "4 cells, 4 of them to run; no earlier run" in printed
    records = list((tmp_path / "results").glob("*/*/*.json"))
    before = {path: path.stat().st_mtime_ns for path in records}
    found = list(all_records(tmp_path / "results"))
    [lost] = [r for r in found if r.identity.params.get("layer") == "transposed_conv"]
    lost.path(tmp_path / "results").unlink()
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "4 cells, 1 of them to run: about " in printed
    again = statuses(printed)
    assert Counter(again.values()) == {"cached": 3, "ok": 1}
    assert again[f"{BOTH} (layer=transposed_conv, gamma=0.1)"] == "ok"
    changed = [path for path in records if path.stat().st_mtime_ns != before[path]]
    assert changed == [lost.path(tmp_path / "results")]
    assert not list(tmp_path.glob("distill_dkp*"))  # smoke runs are on no page


def took(record: Record, folder: Path, seconds: float) -> None:
    """Let a run have taken this long, with and after its training."""
    parts = {"fit": 0.6 * seconds, "predict": 0.4 * seconds}
    record.model_copy(update={"seconds": parts}).save(folder)


@pytest.mark.parametrize(
    ("n_seeds", "jobs", "time"),
    [
        (1, 1, "45 minutes at 1"),
        (5, 3, "75 minutes at 3"),
        (2, 1, "1.5 hours at 1"),
        (4, 1, "3.0 hours at 1"),
        (1, 100, "15 minutes at 100"),  # no more than the 3 cells side by side
    ],
)
def test_the_forecast_is_the_median_of_earlier_trainings(
    tmp_path: Path, n_seeds: int, jobs: int, time: str
) -> None:
    """For a method without any the median of all: 200 + 550 + 1950 s a seed, 45 minutes."""
    for seed, seconds in enumerate((100, 200, 900)):
        took(toy_record(tmp_path, BACKGROUND, STUDENT, 9.0, seed=seed), tmp_path, seconds)
    took(toy_record(tmp_path, BACKGROUND, BOTH, 8.0), tmp_path, 1950)
    took(toy_record(tmp_path, BACKGROUND, STUDENT, 9.0, recipe="paper"), tmp_path, 1e6)
    took(toy_record(tmp_path, BACKGROUND, STUDENT, 9.0, device="cuda"), tmp_path, 1e6)
    shipped = toy_record(tmp_path, BACKGROUND, TEACHER, 8.5)
    shipped.model_copy(update={"seconds": {"predict": 1.0}}).save(tmp_path)
    settings = replace(QUICK, results=tmp_path)
    work = study(settings, seeds=range(n_seeds), figure_seeds=[], parts=["table1"],
                 protocols=[BACKGROUND])  # fmt: skip
    assert forecast(work, jobs) == (
        f"{len(work)} cells, {len(work)} of them to run: about {time} side by side, "
        "if runs take as long as earlier ones"
    )


def test_a_failure_is_reported_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = type(load_method(STUDENT))
    fit = student.fit

    def fails(self: Method, *of: object, **how: object) -> None:
        if type(self) is student:  # the others are AutoLink, too
            raise ZeroDivisionError("diverged")
        fit(self, *of, **how)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(student, "fit", fails)
        assert run(tmp_path, "--part", "table2") == 1
    printed = capsys.readouterr().out
    assert statuses(printed) == {STUDENT: "failed", TEACHER: "ok", BOTH: "ok"}
    assert "diverged" in printed
    assert run(tmp_path, "--part", "table2") == 0
    assert statuses(capsys.readouterr().out) == {STUDENT: "ok", TEACHER: "cached", BOTH: "cached"}


def test_interrupted_it_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(load_method(STUDENT)), "fit", stop, raising=False)
    assert run(tmp_path, "--part", "table2") == 130
    assert "the same command goes on from here" in capsys.readouterr().out


def test_usage_errors_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--part", "table4") == 2
    assert "table4" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# What the page says


def page_of(folder: Path, published: list[PublishedNumber]) -> str:
    [text] = pages(read_study(folder), published).values()
    return text


def table_below(page: str, heading: str, nth: int = 0) -> list[list[str]]:
    """Return the cells of a table's rows below a heading, without its head."""
    section = page.split(heading, 1)[1].split("\n#", 1)[0]
    blocks = re.findall(r"(?:^\|.*\n)+", section, re.M)
    lines = blocks[nth].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


GOOD = {STUDENT: 9.0, TEACHER: 8.5, BOTH: 8.0}
"""The paper's order of Table 2 on Human3.6M, where lower is better."""


@pytest.mark.parametrize(
    ("protocol", "scores", "verdict"),
    [
        (BACKGROUND, GOOD, "the paper's order holds: distill_dkp is better than autolink by 1.000"),
        (BACKGROUND, {**GOOD, BOTH: 9.5}, "does not hold: autolink is better than distill_dkp"),
        (BACKGROUND, {**GOOD, BOTH: 9.0}, "is undecided: distill_dkp and autolink differ by no"),
        ("people_fashion", {**GOOD, BOTH: 9.5}, "the paper's order holds: distill_dkp is better"),
        ("people_fashion", GOOD, "not hold: autolink is better than distill_dkp by 1.000 points"),
    ],
)
def test_whose_order_holds_in_both_directions_of_a_metric(
    tmp_path: Path,
    published: list[PublishedNumber],
    protocol: str,
    scores: dict[str, float],
    verdict: str,
) -> None:
    toy_tables(tmp_path, scores, [protocol])
    section = page_of(tmp_path, published).split("### Table 1")[1].split("### Table 2")[0]
    [line] = [line for line in section.splitlines() if line.startswith(f"- `{protocol}`")]
    assert verdict in line


def test_the_whole_order_of_table_2_is_asked(
    tmp_path: Path, published: list[PublishedNumber]
) -> None:
    toy_tables(tmp_path, {**GOOD, TEACHER: 7.0}, [BACKGROUND, "people_taichi"])
    page = page_of(tmp_path, published)
    rows = [row for row in table_below(page, "### Table 2", 1) if row[0].endswith("/autolink`")]
    found = {(row[0].split("/")[0].strip("`"), row[1]): row[-1] for row in rows}
    assert found == {
        (BACKGROUND, "distill_dkp before depth_teacher"): "no, reversed",
        (BACKGROUND, "distill_dkp before autolink"): "yes",
        (BACKGROUND, "depth_teacher before autolink"): "yes",
        ("people_taichi", "distill_dkp before autolink"): "yes",
        ("people_taichi", "distill_dkp before depth_teacher"): "no, reversed",
        ("people_taichi", "autolink before depth_teacher"): "no, reversed",
    }


def test_the_difference_is_the_paired_bootstrap(
    tmp_path: Path, published: list[PublishedNumber]
) -> None:
    toy_tables(tmp_path, GOOD, [BACKGROUND], seeds=3)
    page = page_of(tmp_path, published)
    row = next(r for r in table_below(page, "### Table 1", 1) if r[0] == f"`{BACKGROUND}/strict`")
    [found] = read_study(tmp_path)
    runs = {}
    for method in (STUDENT, BOTH):
        of_method = found.row(method)
        assert of_method is not None
        runs[method] = [(s.errors, s.valid) for s in of_method.runs(f"{BACKGROUND}/strict")]
    expected = paired_bootstrap(runs[STUDENT], runs[BOTH], "image_mean")
    assert row[3] == f"autolink − distill_dkp = {number(expected.difference)} points"
    low, high = (float(end) for end in row[4].split(" to "))
    assert (low, high) == pytest.approx(expected.ci95, abs=0.01)
    assert row[2] == "3.62 ± 0.1, 6.85"
    # the images differ by 1, so that intervals of the scores overlap and only pairs can tell
    assert high - low < 0.2


def test_incomplete_rows_say_why_and_have_no_rank(
    tmp_path: Path, published: list[PublishedNumber]
) -> None:
    toy_tables(tmp_path, GOOD, [BACKGROUND])
    toy_record(tmp_path, BACKGROUND, BOTH, None, seed=1)
    toy_record(tmp_path, "people_fashion", STUDENT, 20.0)
    page = page_of(tmp_path, published)
    rows = {(row[0] or "", row[1]): row for row in table_below(page, "### Table 1")}
    [both] = [row for row in rows.values() if row[1] == f"{BOTH} v1"]
    assert both[3:] == ["seed 1: TrainingError", "–", "–", "1/2"]
    ranks = [row[5] for row in table_below(page, "### Table 1")]
    assert ranks == ["–"] * 3 + ["2", "1", "–"] + ["–"] * 6, "one seed never ranks"
    assert f"- `{BACKGROUND}`: the paper's order is not measured: not all seeds of" in page
    assert "- `people_fashion`: the paper's order is not measured" in page


def test_recipes_share_no_table(tmp_path: Path, published: list[PublishedNumber]) -> None:
    toy_tables(tmp_path, GOOD, [BACKGROUND])
    toy_tables(tmp_path, {**GOOD, BOTH: 5.0}, [BACKGROUND], recipe="paper")
    toy_tables(tmp_path, {**GOOD, BOTH: 1.0}, [BACKGROUND], recipe="smoke")
    page = page_of(tmp_path, published)
    assert re.findall(r"^## .*", page, re.M) == [
        "## paper recipe, cpu",
        "## quick recipe, cpu",
        "## As the paper reports",
    ]
    paper, quick = page.split("## quick recipe")[0], page.split("## quick recipe")[1]
    assert "5.000 ±" in paper and "8.000 ±" not in paper
    assert "8.000 ±" in quick and "5.000 ±" not in quick
    assert "1.000 ±" not in page
    assert "the paper's γ" in quick and "the paper's γ" in paper
    claims = re.findall(r"^- `people_background`: .*", quick, re.M)
    assert len(claims) == 2
    assert "was trained with γ" not in page


def test_other_training_is_no_part_of_the_study(tmp_path: Path) -> None:
    """Runs with parameters set by hand, transfers, arguments, other lambda: not compared."""
    toy_tables(tmp_path, GOOD, [BACKGROUND])
    toy_record(tmp_path, BACKGROUND, STUDENT, 1.0, steps=9)
    toy_record(tmp_path, BACKGROUND, STUDENT, 2.0, arguments={"images": 30})
    toy_record(tmp_path, BACKGROUND, BOTH, 3.0, point=("output", 0.33))
    toy_record(tmp_path, BACKGROUND, "mean_shape", 4.0)
    [found] = read_study(tmp_path)
    assert found.table is not None and found.figure is None
    assert [(row.label, row.wanted) for row in found.table.rows] == [
        (f"{method} v1", (0, 1)) for method in METHODS
    ]


def with_teacher(record: Record, folder: Path, version: int) -> Record:
    """Write the record as of a student whose teacher is of another version."""
    teacher = record.identity.dependency
    assert teacher is not None
    newer = teacher.model_copy(update={"method_version": version})
    who = record.identity.model_copy(update={"dependency": newer})
    found = record.model_copy(update={"identity": who})
    found.save(folder)
    return found


def test_the_newest_versions_are_compared_however_few_their_runs_are(tmp_path: Path) -> None:
    newest = {}
    for method in METHODS:
        for protocol, version, seeds in ((1, 9, 3), (2, 1, 3), (2, 10, 2), (2, 2, 3)):
            for seed in range(seeds):
                record = toy_record(tmp_path, BACKGROUND, method, 9.0, seed=seed,
                                    protocol_version=protocol, method_version=version)  # fmt: skip
                if (protocol, version, seed) == (2, 10, 0):
                    newest[method] = record
    newest[BOTH] = with_teacher(newest[BOTH], tmp_path, 11)
    [found] = read_study(tmp_path)
    assert found.table is not None and found.table.version == 2
    rows = [[record.identity for record in row.records] for row in found.table.rows]
    shown = [(who.method, who.method_version, who.seed) for row in rows for who in row]
    assert shown == [(STUDENT, 10, 0), (STUDENT, 10, 1), (TEACHER, 10, 0), (TEACHER, 10, 1),
                     (BOTH, 10, 0)]  # fmt: skip
    assert rows[-1] == [newest[BOTH].identity]


def test_without_the_published_numbers_there_is_no_order(tmp_path: Path) -> None:
    toy_tables(tmp_path, GOOD, [BACKGROUND])
    assert "not in `published.csv`" in page_of(tmp_path, [])
    assert pages([], []) == {}


def test_the_papers_numbers_are_in_a_table_of_their_own(
    tmp_path: Path, published: list[PublishedNumber]
) -> None:
    toy_tables(tmp_path, GOOD, [BACKGROUND])
    reported = page_of(tmp_path, published).split("## As the paper reports")[1]
    assert table_below(reported, "### Table 1")[2] == [
        "Distill-DKP",
        "2.68 ± 0.04 % of image size ↓",
        "3.62 ± 0.1 % of image size ↓",
        "67.3 ± 0.6 % ↑",
        "306.9 ± 3.7 px at 256, summed ↓",
    ]
    assert table_below(reported, "### Table 2")[1][1:] == [
        "3.70 % of image size ↓",
        "56.5 % ↑",
        "350.8 px at 256, summed ↓",
    ]


def test_both_evaluators_are_asked_and_named(
    tmp_path: Path, published: list[PublishedNumber]
) -> None:
    toy_tables(tmp_path, GOOD, list(DATASETS))
    for found in read_study(tmp_path):
        for evaluator in found.dataset.evaluators:
            [pair] = comparisons(found, published, "Table 1", evaluator)
            assert pair.difference is not None
            assert f"`{evaluator}`" in page_of(tmp_path, published)


# Figure 3


def figure(folder: Path, protocol: str = BACKGROUND, **scores: float) -> list[Record]:
    """Write Figure 3 with one seed, beside tables with two; worse the later the layer."""
    toy_tables(folder, GOOD, [protocol])
    sign = -1 if protocol == "people_fashion" else 1
    return [
        toy_record(folder, protocol, BOTH, 8 + sign * LAYERS.index(layer) / 4 + sign * gamma / 10,
                   point=(layer, gamma))
        for layer, gamma in DATASETS[protocol].points[1:]
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", [BACKGROUND, "people_fashion"])
def test_figure_3_as_a_table(
    tmp_path: Path, published: list[PublishedNumber], protocol: str
) -> None:
    records = figure(tmp_path, protocol)
    page = page_of(tmp_path, published)
    rows = {row[0]: row[1:] for row in table_below(page, "### Figure 3")}
    record = next(
        r for r in records if (r.identity.params["layer"], r.identity.params["gamma"])
        == ("resnet", DATASETS[protocol].gammas[2])
    )  # fmt: skip
    value = record.scores[f"{protocol}/autolink"].value
    assert rows["`resnet`"][2].split(" (")[0] == number(value)
    low, high = (
        float(end.replace("−", "-")) for end in rows["`resnet`"][2].split("(")[1][:-1].split(" to ")
    )
    assert low < value - 9.0 < high
    assert [rows[f"{method} alone"][0] for method in (STUDENT, TEACHER)] == ["9.000", "8.500"]
    n = len(DATASETS[protocol].gammas)
    assert f"`output` is better than `resnet` beyond noise at {n} of {n} γ, worse at 0" in page
    assert "seeds: 0." in page
    assert "γ = 0.1 " in page


@pytest.mark.parametrize(
    ("protocol", "best", "noise", "worse", "n_worse"),
    [
        (BACKGROUND, 7.0, 0.05, "here 1.000 worse, beyond noise", 1),
        (BACKGROUND, 7.99, 0.5, "here 0.010 worse, within noise", 0),
        ("people_fashion", 9.0, 0.05, "here 1.000 worse, beyond noise", 1),
        ("people_fashion", 8.01, 0.5, "here 0.010 worse, within noise", 0),
    ],
)
def test_another_best_point_than_the_papers_is_compared_with_noise(
    tmp_path: Path,
    published: list[PublishedNumber],
    protocol: str,
    best: float,
    noise: float,
    worse: str,
    n_worse: int,
) -> None:
    """All points score 8 but one of `resnet`, whose images differ by `noise` more or less."""
    toy_tables(tmp_path, GOOD, [protocol], seeds=1)
    dataset = DATASETS[protocol]
    own = "resnet", dataset.gammas[2]
    for point in dataset.points[1:]:
        score, spread = (best, noise) if point == own else (8.0, 0.05)
        toy_record(tmp_path, protocol, BOTH, score, point=point, noise=spread)
    page = re.sub(r"(here [\d.]+) (%|points) worse", r"\1 worse", page_of(tmp_path, published))
    text = f"- Best: `resnet` at γ = {own[1]:g}. The paper: `output` at γ = 0.1, {worse}.\n"
    assert text in page
    n = len(dataset.gammas)
    counted = f"`output` is better than `resnet` beyond noise at 0 of {n} γ, worse at {n_worse}."
    assert counted in page


def test_an_incomplete_figure_has_gaps_and_is_drawn(
    tmp_path: Path, published: list[PublishedNumber]
) -> None:
    for record in figure(tmp_path)[:3]:
        record.path(tmp_path).unlink()
    toy_record(tmp_path, BACKGROUND, BOTH, None, point=("resnet", 1.0))
    page = page_of(tmp_path, published)
    cells = [cell for row in table_below(page, "### Figure 3") for cell in row]
    assert cells.count("not run") == 3
    assert cells.count("seed 0: TrainingError") == 1
    [plot] = plots(read_study(tmp_path)).values()
    assert len(plot.data["panels"][0]["points"]) == 15 - 4


def test_the_plot_has_its_numbers_and_can_be_drawn(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    records = figure(tmp_path)
    figure(tmp_path, "people_fashion")
    found = plots(read_study(tmp_path))
    assert list(found) == ["distill_dkp_figure3_quick_cpu.png"]
    [plot] = found.values()
    panels = plot.data["panels"]
    assert [panel["protocol"] for panel in panels] == [BACKGROUND, "people_fashion"]
    shown = {(p["layer"], p["gamma"]): p["score"] for p in panels[0]["points"]}
    assert len(shown) == 15
    for record in records:
        params = record.identity.params
        key = params["layer"], params["gamma"]
        assert shown[key] == pytest.approx(record.scores[record.evaluator].value)
    drawing = Figure()
    plot.draw(drawing)
    for axis, panel in zip(drawing.axes, panels, strict=True):
        assert panel["protocol"] in axis.get_title()
        assert (panel["autolink"], panel["teacher"]) == pytest.approx((9.0, 8.5))


def test_a_plot_is_another_when_a_number_is(tmp_path: Path) -> None:
    figure(tmp_path)
    [before] = plots(read_study(tmp_path)).values()
    [same] = plots(read_study(tmp_path)).values()
    toy_record(tmp_path, BACKGROUND, BOTH, 8.7, point=("resnet", 1.0))
    [after] = plots(read_study(tmp_path)).values()
    assert before.digest() == same.digest() != after.digest()


def test_bars_and_cells_are_the_interval_of_the_difference(tmp_path: Path) -> None:
    figure(tmp_path)
    [found] = read_study(tmp_path)
    board = found.figure
    assert board is not None
    [plot] = plots([found]).values()
    for point in plot.data["panels"][0]["points"]:
        row, alone = found.points()[point["layer"], point["gamma"]], board.row(STUDENT)
        assert alone is not None
        expected = board.difference(f"{BACKGROUND}/autolink", row, alone).ci95
        assert point["against"] == pytest.approx(expected)
        assert interval(expected).count("to") == 1


# Among the leaderboards


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A folder of the leaderboards with the study's tables and figure on one protocol."""
    shutil.copy(ROOT / "leaderboards" / "published.csv", tmp_path)
    figure(tmp_path / "results")
    return tmp_path


def test_the_leaderboard_writes_and_checks_page_and_plot(board: Path) -> None:
    written = {path.name for path in write_pages(board, STUDIES)}
    assert {"distill_dkp.md", "distill_dkp_figure3_quick_cpu.png"} <= written
    assert "(distill_dkp_figure3_quick_cpu.png)" in (board / "distill_dkp.md").read_text()
    assert "(distill_dkp.md)" in (board / "README.md").read_text()
    assert stale_pages(board, STUDIES) == []
    for record in all_records(board / "results"):
        if record.identity.params.get("gamma") == 0.7:
            record.path(board / "results").unlink()
    assert {path.name for path in stale_pages(board, STUDIES)} == {
        "distill_dkp.md",
        "distill_dkp_figure3_quick_cpu.png",
    }
    for record in all_records(board / "results"):
        if in_figure_alone(record.identity):
            record.path(board / "results").unlink()
    write_pages(board, STUDIES)
    assert not (board / "distill_dkp_figure3_quick_cpu.png").exists()


def test_points_of_the_figure_are_no_rows_of_a_leaderboard(board: Path) -> None:
    """They would have one seed of two, and make the published setting one of fifteen."""
    toy_record(board / "results", BACKGROUND, BOTH, 8.0, point=("output", 0.33))
    runs = [record.identity for record in all_records(board / "results")]
    [found] = read_boards(board / "results", STUDIES[0].alone(runs))
    labels = [row.label for row in found.rows]
    assert labels == [
        "autolink v1",
        "depth_teacher v1",
        "distill_dkp v1 (gamma=0.1)",
        "distill_dkp v1 (gamma=0.33)",
    ]
    page = render(board, STUDIES)[board / f"{BACKGROUND}.md"]
    assert "resnet" not in page and "resnet" in render(board, STUDIES)[board / "distill_dkp.md"]


def test_links_of_the_page_lead_to_records(board: Path) -> None:
    write_pages(board, STUDIES)
    links = re.findall(r"\]\((results/[^)]*)\)", (board / "distill_dkp.md").read_text())
    assert len(links) == len(set(links)) == len(list(all_records(board / "results")))
    assert all((board / link).is_file() for link in links)


def test_the_title_of_a_cell_tells_what_is_set_for_it() -> None:
    cell, settings = planned(parts=("figure3",))[-1]
    assert settings.title(cell) == f"{cell} (layer=resnet, gamma=1.0)"
    assert QUICK.title(cell) == str(cell)
