"""Sections and pages beyond the score: landmarks, labels, equivariance, K, transfer."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from kpbench.boards.board import read_boards
from kpbench.boards.leaderboard import render, stale_pages, write_pages
from kpbench.boards.pages.consistency import relative_range
from kpbench.boards.pages.markdown import number
from kpbench.cli.main import main
from kpbench.records.record import Record, all_records
from kpbench.running.execute import Settings, evaluate
from kpbench.running.plan import grid
from kpbench.scoring.per_image import load_scores
from kpbench.scoring.statistics.compare import mean_interval
from kpbench.scoring.statistics.resampling import clusters_of, resample
from tests.conftest import TOY_PROTOCOL, Install, bright

WITH_PEOPLE = TOY_PROTOCOL.replace(
    "return replace(labelled, ",
    "return replace(labelled, groups=np.arange(len(labelled)) // 2, ",
).replace("from dataclasses", "import numpy as np\nfrom dataclasses")
SHIFT = "points = points + 0.2 * (images.images[:, 0, 0] / 255.0)[:, None, :2]"
"""The corner of the image pulls keypoints away, differently for each K and image."""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def folder(tmp_path: Path, install: Install, once: Path) -> Path:
    """Two methods on people in pairs with K = 4 and 8, and one of them between two data sets."""
    other = WITH_PEOPLE.replace("toy_discs", "toy_other").replace("seed=1", "seed=5")
    install("protocols", {"toy_discs": WITH_PEOPLE, "toy_other": other})
    install("methods", {"good": bright("good"), "poor": bright("poor", predict=SHIFT)})
    if not any(once.iterdir()):
        results = once / "results"
        cells = grid(["good", "poor", "mean_shape"], ["toy_discs"], [0, 1])
        list(evaluate(cells, Settings(results, arguments={"toy_discs": {"k": 8}})))
        list(evaluate(grid(["good"], ["toy_other"], [0, 1], ["toy_discs"]), Settings(results)))
        list(evaluate([*cells, *grid(["good"], ["toy_other"], [0])], Settings(results)))
    return Path(shutil.copytree(once, tmp_path / "boards"))


def tables(page: str) -> dict[str, list[list[str]]]:
    """Return the rows of the tables by the last heading or summary before them."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    for line in page.splitlines():
        if line.startswith(("#", "<details")):
            title = line if line not in found else f"{line} (again)"
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.setdefault(title, []).append(cells)
    return found


def section(page: str, word: str) -> list[list[str]]:
    return next(rows for title, rows in tables(page).items() if word in title)


def records(folder: Path, **wanted: object) -> list[Record]:
    found = all_records(folder / "results")
    return [r for r in found if all(getattr(r.identity, name) == v for name, v in wanted.items())]


def toy(folder: Path) -> str:
    return render(folder)[folder / "toy_discs.md"]


def test_intervals_are_over_the_identities_and_say_so(folder: Path) -> None:
    page = toy(folder)
    assert "20 test images, resampled by the 10 identities that they show" in page
    rows = {row[1]: row for row in section(page, "toy_discs/strict")}
    board = next(b for b in read_boards(folder / "results") if b.n_keypoints == 4)
    poor = board.row("poor")
    assert poor is not None
    runs = poor.runs("toy_discs/strict")
    pairs = [(run.errors, run.valid) for run in runs]
    clusters = clusters_of(runs[0].identities)
    assert clusters is not None
    low, high = mean_interval(resample(pairs, "image_mean", clusters=clusters))
    assert rows["poor v1"][3] == f"{number(low)} to {number(high)}"
    assert poor.records[0].scores["toy_discs/strict"].resampled == "identities"


def test_each_landmark_is_a_row(folder: Path) -> None:
    head, _, *rows = section(toy(folder), "Each landmark alone")
    assert head == ["landmark (%)", "good v1", "mean_shape v1", "poor v1"]
    assert [row[0] for row in rows] == ["top", "right", "bottom", "left"]
    kept = records(folder, method="poor", n_keypoints=4)
    values = []
    for record in kept:
        path = record.path(folder / "results").with_name(record.artifacts["scores"].file)
        values.append(load_scores(path)["toy_discs/strict"].by_landmark())
    wanted = np.mean(np.array(values, float), axis=0)
    assert [row[3] for row in rows] == [number(float(v)) for v in wanted]


def test_equivariance_and_labels_are_means_over_seeds(folder: Path) -> None:
    page = toy(folder)
    head, _, *rows = section(page, "Equivariance")
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    kept = records(folder, method="poor", n_keypoints=4)
    for kind in ("rotation", "scale", "translation", "tps", "mirror"):
        assert found["poor v1"][kind] == number(mean(r.equivariance[kind] for r in kept))
    # the centre of brightness moves with the noise around the disc, too, but less than the warps
    assert float(found["good v1"]["translation"]) < float(found["mean_shape v1"]["translation"])
    head, _, *rows = section(page, "Label efficiency")
    assert head == ["method", "10 labels", "30 labels", "40 labels"]
    curves = [r.label_efficiency for r in kept]
    points = [curve.points[0] for curve in curves if curve is not None]
    text = number(mean(p.mean for p in points))
    assert {row[0]: row for row in rows}["poor v1"][1].startswith(f"{text} ± ")


def test_records_without_the_later_fields_show_dashes(folder: Path) -> None:
    for path in (folder / "results").glob("toy_discs/poor/*.json"):
        raw = json.loads(path.read_text())
        for name in ("equivariance", "label_efficiency"):
            raw.pop(name, None)
        raw["scores"]["toy_discs/strict"].pop("resampled")
        path.write_text(json.dumps(raw))
    page = toy(folder)
    for word in ("Equivariance", "Label efficiency"):
        rows = {row[0]: row[1:] for row in section(page, word)}
        assert set(rows["poor v1"]) <= {"–", "100 %", rows["poor v1"][-1]}
        assert "–" not in rows["good v1"]
    for path in (folder / "results").glob("toy_discs/*/*.json"):
        raw = json.loads(path.read_text())
        for name in ("equivariance", "label_efficiency"):
            raw.pop(name, None)
        path.write_text(json.dumps(raw))
    page = toy(folder)
    assert "### Equivariance" not in page and "### Label efficiency" not in page


def test_boards_of_another_k_are_apart_and_compared(folder: Path) -> None:
    page = toy(folder)
    assert "## Version 1, quick recipe, K = 4, cpu" in page
    assert "## Version 1, quick recipe, K = 8, cpu" in page
    head, _, *rows = section(page, "Consistency over K")
    assert head == ["method", "K = 4", "K = 8", "mean", "spread"]
    found = {row[0]: row for row in rows}
    means = []
    for k, cell in ((4, found["poor v1"][1]), (8, found["poor v1"][2])):
        kept = records(folder, method="poor", n_keypoints=k)
        values = [r.scores["toy_discs/strict"].value for r in kept]
        means.append(mean(values))
        assert cell == f"{number(mean(values))} ± {number(stdev(values))}"
    assert found["poor v1"][3] == number(mean(means))
    shutil.rmtree(folder / "results" / "toy_discs" / "poor")
    assert "poor" not in toy(folder)


def test_relative_range_by_hand() -> None:
    assert relative_range([2.0, 4.0, 3.0]) == pytest.approx(2 / 3)
    assert relative_range([5.0, 5.0]) == 0
    assert relative_range([0.0, 0.0]) is None


def test_transfer_is_a_matrix_and_stays_off_the_boards(folder: Path) -> None:
    pages = render(folder)
    page = pages[folder / "transfer.md"]
    head, _, *rows = section(page, "good v1, quick recipe, cpu")
    assert head[0] == "trained on"
    assert [cell.partition(":")[0] for cell in head[1:]] == ["toy_discs v1", "toy_other v1"]
    assert "`toy_other/strict` (normalised L2, %) ↓" in head[2]
    assert [row[0] for row in rows] == ["toy_discs v1, K = 4"]
    moved = [r for r in records(folder, protocol="toy_other") if r.identity.trained_on]
    assert len(moved) == 2
    for cell, here in (
        (rows[0][2], moved),
        (rows[0][1], records(folder, method="good", n_keypoints=4, protocol="toy_discs")),
    ):
        values = [next(iter(r.scores.values())).value for r in here]
        assert cell.startswith(f"{number(mean(values))} ± {number(stdev(values))} (")
    other = pages[folder / "toy_other.md"]
    assert "1/1" in other  # the run trained there alone
    assert "(transfer.md)" in pages[folder / "README.md"]
    write_pages(folder)
    shutil.rmtree(folder / "results" / "toy_other")
    assert folder / "transfer.md" in stale_pages(folder)


def test_failed_transfers_show_why(folder: Path, install: Install) -> None:
    install(
        "methods", {"breaks": bright("breaks", predict="1 / 0 if images.images.mean() < 0 else 0")}
    )
    settings = Settings(folder / "results")
    list(evaluate(grid(["breaks"], ["toy_other"], [0], ["toy_discs"]), settings))
    [record] = [r for r in records(folder, method="breaks", protocol="toy_other")]
    raw = json.loads(record.path(folder / "results").read_text())
    raw |= {"status": "failed", "scores": {}, "error": {"type": "ContractError", "message": "x"}}
    record.path(folder / "results").write_text(json.dumps(raw))
    page = render(folder)[folder / "transfer.md"]
    [row] = section(page, "breaks v1")[2:]
    assert row[2] == "ContractError" and row[1][0].isdigit()


def test_scores_of_two_origins_are_not_averaged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "-m", "good", "--test-on", "toy_other", "--results"]
    words += [str(folder / "results"), "--recipe", "quick"]
    assert main([*words, "--train-on", "toy_discs", "--train-on", "toy_other"]) == 0
    said = capsys.readouterr().out
    assert "good, trained on toy_discs" in said.replace("\n", " ")
    moved = [r for r in records(folder, protocol="toy_other", seed=0) if r.identity.trained_on]
    value = moved[0].scores["toy_other/strict"].value
    assert f"{value:.4g}" in said


def test_a_row_without_a_score_under_one_evaluator_keeps_the_others(folder: Path) -> None:
    """E.g. too few rows for its keypoints: a dash and the reason, and nothing lost for the rest."""
    [first, _] = records(folder, method="poor", n_keypoints=8)
    other = first.scores["toy_discs/strict"].model_copy(update={"value": 1.0})
    for record in records(folder, protocol="toy_discs"):
        path = record.path(folder / "results")
        scores = path.with_name(record.artifacts["scores"].file)
        with np.load(scores) as arrays:
            kept = {name: arrays[name] for name in arrays.files}
        if record.identity.method != "poor":
            old, new = "toy_discs/strict", "toy_discs/other"
            kept |= {name.replace(old, new): v for name, v in kept.items() if name.startswith(old)}
        np.savez(scores, **kept)
        digest = hashlib.sha256(scores.read_bytes()).hexdigest()
        artifact = record.artifacts["scores"].model_copy(update={"sha256": digest})
        found = {**record.scores}
        if record.identity.method != "poor":
            found["toy_discs/other"] = other
        changes = {"scores": found, "artifacts": {**record.artifacts, "scores": artifact}}
        record.model_copy(update=changes).save(folder / "results")
    page = toy(folder)
    rows = {row[1]: row for row in section(page, "toy_discs/other")}
    assert rows["good v1"][0] == "1" and rows["good v1"][3] != "–"
    assert rows["poor v1"][:3] == ["–", "poor v1", "–"]
    assert "seed 0: no score under it; seed 1: no score under it" in rows["poor v1"]
    assert {row[1]: row for row in section(page, "toy_discs/strict")}["poor v1"][0] == "2"
