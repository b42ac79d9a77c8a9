"""Ranks follow from what a table prints; one seed decides nothing; baselines have to be beaten."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from kpbench.api import Array
from kpbench.boards.board import Board, boards_of, read_boards
from kpbench.boards.decisions import Decision, decide, ranks_of
from kpbench.boards.leaderboard import render
from kpbench.boards.row import Row
from kpbench.cli.score_table import print_scores
from kpbench.records.record import LabelCurve, LabelPoint, all_records
from kpbench.registry import load_method
from kpbench.scoring.statistics.compare import PairedDifference
from tests.boards.board_toys import PLAIN, TAICHI, toy_record

IMAGES = 60
HARD = np.random.default_rng(0).normal(9, 2, IMAGES)
"""What the images are to all methods."""


def errors(score: float, rng: np.random.Generator, noise: float = 0.5, sd: float = 0.1) -> Array:
    """Return errors (N,) of one training."""
    own = rng.normal(0, noise, IMAGES)
    return np.asarray(HARD - HARD.mean() + own - own.mean() + score + rng.normal(0, sd))


def fill(results: Path, scores: dict[str, float], seeds: int = 3, **further: Any) -> None:
    """Write the records of methods, those of references after what they are: "floor:rings"."""
    rng = np.random.default_rng(1)
    for seed in range(seeds):
        for name, score in scores.items():
            reference, _, method = name.rpartition(":")
            own: Any = {"reference": reference, "seed": seed, **further}
            toy_record(results, method, errors(score, rng), **own)


def page_of(folder: Path, protocol: str = "people_plain") -> str:
    return re.sub(" +", " ", render(folder)[folder / f"{protocol}.md"])


def tables(page: str, first: str) -> list[list[dict[str, str]]]:
    """Return the tables whose head begins so, as rows by column."""
    found: list[list[dict[str, str]]] = []
    head: list[str] = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells
            if head[0] == first:
                found.append([])
        elif head[0] == first and not cells[0].startswith(":--"):
            found[-1].append(dict(zip(head, cells, strict=True)))
    return found


def row(name: str) -> Row:
    return Row(name, (), {}, (0, 1))


def decision(a: Row, b: Row, difference: float, p_value: float) -> Decision:
    found = PairedDifference(difference, (difference - 1, difference + 1), p_value)
    return Decision(a, b, found, p_value, higher_is_better=False)


def test_decided_to_be_better_is_a_smaller_rank_though_decisions_are_not_transitive() -> None:
    """D beats A, A beats B, and D against B is open, as D − B is measured badly.

    To count the methods that are decided to be better gave A and B the rank 2, one against the
    table.
    """
    a, b, d = map(row, "ABD")
    found = [decision(d, a, -1, 0.01), decision(a, b, -1, 0.01), decision(d, b, -2, 0.3)]
    assert ranks_of([a, b, d], found) == {"D": 1, "A": 2, "B": 3}
    assert ranks_of([a, b, d], found[2:]) == {"D": 1, "A": 1, "B": 1}
    flipped = [decision(e.b, e.a, -e.found.difference, e.p_value) for e in found]
    assert ranks_of([d, b, a], flipped) == {"D": 1, "A": 2, "B": 3}


@pytest.mark.parametrize("seed", range(20))
def test_no_rank_contradicts_a_decision(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [row(str(i)) for i in range(6)]
    scores = rng.normal(size=6)
    found = [
        decision(rows[i], rows[j], scores[i] - scores[j], rng.choice([0.01, 0.5]))
        for i, j in combinations(range(6), 2)
    ]
    ranks = ranks_of(rows, found)
    for each in found:
        if (better := each.better) is not None:
            worse = each.b if better is each.a else each.a
            assert ranks[better.label] < ranks[worse.label]


def test_holm_is_of_the_whole_table() -> None:
    rows = [row(str(i)) for i in range(3)]
    pairs = [(a, b, PairedDifference(-1.0, (-1.9, -0.1), 0.02)) for a, b in combinations(rows, 2)]
    assert decide(pairs[:1], higher_is_better=False)[0].better is rows[0]
    assert decide(pairs[:1], higher_is_better=True)[0].better is rows[1]
    assert [each.better for each in decide(pairs, higher_is_better=False)] == [None] * 3
    assert [each.p_value for each in decide(pairs, higher_is_better=False)] == [0.06] * 3


def ranks_by_the_page(page: str) -> dict[str, int]:
    """Return the ranks that a reader finds from a page's table of differences alone."""
    [printed] = tables(page, "paired difference")[:1]
    beats = set()
    for line in printed:
        a, b = line["paired difference"].split(" − ")
        if line["decided"] == "yes":
            beats.add((a, b) if line["mean"].startswith("−") else (b, a))
    names = {name for line in printed for name in line["paired difference"].split(" − ")}
    for middle in names:
        for a in names:
            beats |= {(a, c) for c in names if (a, middle) in beats and (middle, c) in beats}
    return {name: 1 + sum((other, name) in beats for other in names) for name in names}


@pytest.mark.parametrize("seed", range(6))
def test_ranks_are_what_the_printed_table_says(tmp_path: Path, seed: int) -> None:
    """Differences near the edge of what is decided, where each interval alone decides otherwise."""
    rng = np.random.default_rng(seed)
    methods = [f"m{i}" for i in range(6)]
    for method, score in zip(methods, 8 + 0.12 * rng.permutation(6), strict=True):
        for at in range(3):
            noise, sd = rng.choice([0.3, 1.5]), 0.05
            toy_record(tmp_path / "results", method, errors(score, rng, noise, sd), seed=at)
    page = page_of(tmp_path)
    [shown] = tables(page, "rank")[:1]
    assert {line["method"]: int(line["rank"]) for line in shown} == ranks_by_the_page(page)
    assert page_of(tmp_path) == page


def test_an_interval_that_excludes_0_need_not_decide_or_rank(tmp_path: Path) -> None:
    """With ten pairs some interval excludes 0 by chance, and made a rank once."""
    contradicted = 0
    for at in range(12):
        rng = np.random.default_rng(100 + at)
        folder = tmp_path / str(at)
        for method in "abcde":
            for seed in range(3):
                toy_record(folder / "results", method, errors(8, rng), seed=seed)
        [board] = read_boards(folder / "results")
        decisions = board.decisions(board.evaluator)
        clear = [d for d in decisions if d.found.ci95[0] > 0 or d.found.ci95[1] < 0]
        contradicted += bool(clear) and set(board.ranks(board.evaluator).values()) == {1}
    assert contradicted >= 2


def test_one_seed_is_not_ranked_and_says_so(tmp_path: Path) -> None:
    fill(tmp_path / "results", {"good": 5, "poor": 8, "floor:rings": 9}, seeds=1)
    page = page_of(tmp_path)
    shown = {line["method"]: line["rank"] for line in tables(page, "rank")[0]}
    assert shown == {"good v1": "one seed", "poor v1": "one seed", "rings v1": "–"}
    [printed] = tables(page, "paired difference")[:1]
    assert len(printed) == 3
    assert {(line["p (Holm)"], line["decided"]) for line in printed} == {("–", "one seed")}
    assert "excludes 0" not in page and "| yes |" not in page
    index = render(tmp_path)[tmp_path / "README.md"]
    assert "good v1" not in index


def test_the_second_seed_is_missing(tmp_path: Path) -> None:
    fill(tmp_path / "results", {"good": 5}, seeds=2)
    toy_record(tmp_path / "results", "late", HARD)
    shown = {line["method"]: line for line in tables(page_of(tmp_path), "rank")[0]}
    assert (shown["good v1"]["rank"], shown["late v1"]["rank"]) == ("1", "one seed")
    assert "seed 1: not run" in shown["late v1"].values()


BASELINES = {"baseline:centre": 7.0, "baseline:random": 8.0, "floor:rings": 9.5, "other:strips": 1}


def test_who_does_not_beat_every_baseline_is_marked(tmp_path: Path) -> None:
    fill(tmp_path / "results", {"good": 5, "poor": 7.02, "worst": 8.5, **BASELINES})
    page = page_of(tmp_path)
    first = {line["method"] for line in tables(page, "rank")[0]}
    assert {"good v1", "poor v1 ‡", "worst v1 ‡", "centre v1", "random v1"} < first
    assert "- ‡ poor v1 is not better than centre v1 beyond noise\n" in page
    assert "- ‡ worst v1 is not better than centre v1 and random v1 beyond noise\n" in page
    printed = {line["paired difference"]: line for line in tables(page, "paired difference")[0]}
    for method in ("good v1", "poor v1", "worst v1"):
        for other in ("centre v1", "random v1", "rings v1"):
            assert f"{method} − {other}" in printed
    assert not any("strips" in name for name in printed)
    assert printed["poor v1 − random v1"]["decided"] == "yes"


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_terminal_marks_them_too(
    tmp_path: Path, seeds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, {"good": 5, "poor": 7.02, **BASELINES}, seeds=seeds)
    print_scores(Console(width=200), list(all_records(tmp_path)), tmp_path)
    said = capsys.readouterr().out
    assert "poor ‡" in said and "good ‡" not in said
    noise = "beyond noise" + (" of the images alone (one seed)" if seeds == 1 else "")
    assert f"‡ poor v1 is not better than centre v1 {noise} (people_plain/autolink)" in said


def test_without_a_baseline_nobody_is_marked(tmp_path: Path) -> None:
    fill(tmp_path / "results", {"poor": 9.5, "floor:rings": 9})
    assert "‡ poor" not in page_of(tmp_path)


def test_which_methods_have_to_be_beaten() -> None:
    for name in ("random_detector", "mask_centroid"):
        assert getattr(load_method(name), "reference", "") == "baseline"


def board_of(results: Path) -> Board:
    [board] = boards_of(results, all_records(results))
    return board


def test_one_rule_under_several_names_is_one_section_and_one_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    fill(results, {"good": 5, "poor": 8}, evaluators=TAICHI)
    page = page_of(tmp_path, "people_taichi")
    heads = [line for line in page.splitlines() if line.startswith("### ")]
    assert heads == [f"### {' = '.join(f'`{name}`' for name in TAICHI)} (default)"]
    assert len(tables(page, "rank")) == 1 and "strict (" not in page
    board = board_of(results)
    assert board.strict == board.evaluator
    print_scores(Console(width=200), list(all_records(results)), results)
    said = capsys.readouterr().out
    assert said.count("px at 256") == 1
    assert all(name.partition("/")[2] in said for name in TAICHI)


def test_the_strict_score_is_beside_the_default_one(tmp_path: Path) -> None:
    fill(tmp_path / "results", {"good": 5, "poor": 8, "floor:rings": 10, "ceiling:joints": 2})
    first, strict = tables(page_of(tmp_path), "rank")
    assert [line["strict (%)"] for line in first] == [line["score (%)"] for line in strict]
    assert "strict (%)" not in strict[0]
    ways = {line["method"]: line["of the way"] for line in first}
    assert (ways["rings v1"], ways["joints v1"]) == ("0 %", "100 %")
    [good] = [row for row in board_of(tmp_path / "results").rows if row.label == "good v1"]
    ends = [board_of(tmp_path / "results").row(name) for name in ("rings", "joints")]
    floor, ceiling = (end.mean(PLAIN[0]) for end in ends if end is not None)
    share = (good.mean(PLAIN[0]) - floor) / (ceiling - floor)
    assert ways["good v1"] == f"{round(100 * share)} %"


def test_few_labels_are_beside_a_strict_score(tmp_path: Path) -> None:
    """Means over seeds; with another default evaluator the strict score is there."""
    for evaluators in (("lips/strict",), PLAIN):
        for seed in (0, 1):
            points = [
                LabelPoint(n_labelled=n, mean=score + seed, sd=0.5, n_draws=draws)
                for n, score, draws in (
                    (10, 20.0, 10),
                    (100, 12.0, 10),
                    (300, 9.0, 10),
                    (817, 8.0, 1),
                )
            ]
            curve = LabelCurve(evaluator=evaluators[-1], points=tuple(points))
            fill(
                tmp_path / "results", {"good": 5}, 1, evaluators=evaluators, seed=seed, labels=curve
            )
    page = page_of(tmp_path, "lips")
    [[good]] = tables(page, "rank")
    assert (good["10 labels"], good["100 labels"]) == ("20.50 ± 0.500", "12.50 ± 0.500")
    assert "30 labels" not in good and "300 labels" not in good
    assert page.index('"n labels" is') < page.index("| rank")
    other = page_of(tmp_path)
    assert '"n labels"' not in other and "10 labels" not in tables(other, "rank")[0][0]


def test_a_board_opens_with_what_it_is_of(tmp_path: Path) -> None:
    """And the protocol's K and longer recipes are before others."""
    results = tmp_path / "results"
    fill(results, {"good": 5, "floor:rings": 10, "ceiling:joints": 2}, n_keypoints=16)
    fill(results, {"good": 6}, n_keypoints=4, arguments={"k": 4})
    fill(results, {"good": 6}, n_keypoints=32, arguments={"k": 32})
    fill(results, {"good": 4}, recipe="paper")
    page = page_of(tmp_path)
    heads = re.findall(r"## Version 1, (\w+) recipe, K = (\d+)", page)
    assert heads == [("paper", "16"), ("quick", "16"), ("quick", "4"), ("quick", "32")]
    assert (
        "K = 16, as published for the role; trained by the recipe `quick`. "
        "0 % of the way is rings v1, 100 % joints v1." in page
    )
    assert "K = 4, not as published for the role; trained by the recipe `quick`.\n" in page


def test_what_keypoints_do_is_a_table_of_what_records_know(tmp_path: Path) -> None:
    results = tmp_path / "results"
    fill(results, {"poor": 8})
    assert "What the keypoints do" not in page_of(tmp_path)
    rng = np.random.default_rng(5)
    for seed, share in enumerate((0.2, 0.4, 0.6)):
        found = {"joint_coverage": share, "camera_code": 0.97}
        toy_record(results, "good", errors(5, rng), seed=seed, diagnostics=found)
    page = page_of(tmp_path)
    [shown] = tables(page.partition("### What the keypoints do")[2], "method")[:1]
    assert list(shown[0]) == [
        "method", "joints with a keypoint", "explained by 4 clusters", "on the object"
    ]  # fmt: skip
    assert [list(line.values()) for line in shown] == [
        ["good v1", "40 %", "97 %", "–"],
        ["poor v1", "–", "–", "–"],
    ]
    assert page.index("rank |") < page.index("What the keypoints do") < page.index("strict`")
