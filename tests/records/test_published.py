"""The published numbers: the shipped file, the reader's strictness, and the page."""

from __future__ import annotations

import csv
import random
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from kpbench.errors import RecordError
from kpbench.records.published import COLUMNS, PublishedNumber, read_published, render_published

FILE = Path(__file__).parents[2] / "leaderboards" / "published.csv"

ROWS = {
    ("distill-dkp", "Table 1"): 26,
    ("distill-dkp", "Table 2"): 9,
    ("stable-keypoints", "Table 1"): 25,
    ("stable-keypoints", "Section 4.3 (text)"): 1,
    ("stable-keypoints", "Table 2"): 48,
    ("stable-keypoints", "Table 3"): 38,
    ("stable-keypoints", "Table 4"): 5,
    ("stable-keypoints", "Table 5"): 10,
    ("harris-thesis", "Table 3.3"): 5,
    ("harris-thesis", "Table 4.10"): 6,
    ("harris-thesis", "Table 4.11"): 6,
    ("harris-thesis", "Section 4.6.3.3 (text)"): 2,
    ("harris-thesis", "Table 4.16"): 3,
    ("harris-thesis", "Table 4.17"): 16,
    ("harris-thesis", "Figure 4.7 (text)"): 3,
    ("harris-thesis", "Table 4.19"): 12,
    ("harris-thesis", "Table 4.20"): 8,
    ("harris-thesis", "Table 4.23"): 4,
    ("harris-thesis", "Table 4.26"): 6,
    ("harris-thesis", "Table 5.3"): 6,
    ("harris-thesis", "Table 5.8"): 16,
}

TUNED = "AutoLink (thickness-tuned)"
MULTI_TASK = "Multi-task keypoint detector"
# (source, table, method, dataset, text that column, setting or supervision holds, K, value, spread)
SPOT_CHECKS = [
    ("distill-dkp", "Table 1", "Newell et al.", "human36m", "paired GT", 16, "2.16", None),
    ("distill-dkp", "Table 1", "Zhang et al.", "taichi", "videos", 10, "343.67", None),
    ("distill-dkp", "Table 1", "Zhang et al.", "human36m", "unsupervised", 16, "4.91", None),
    ("distill-dkp", "Table 1", "LatentKeypointGAN", "deepfashion", "pck", 16, "49", None),
    ("distill-dkp", "Table 1", "AutoLink", "human36m_background", "", 16, "6.85", None),
    ("distill-dkp", "Table 1", "AutoLink", "deepfashion", "pck", 16, "65", "1.2"),
    ("distill-dkp", "Table 1", TUNED, "human36m_background", "", 16, "5.02", None),
    ("distill-dkp", "Table 1", TUNED, "taichi", "cumulative", 10, "325.32", None),
    ("distill-dkp", "Table 1", "Distill-DKP", "human36m", "", 16, "2.68", "0.04"),
    ("distill-dkp", "Table 1", "Distill-DKP", "human36m_background", "", 16, "3.62", "0.1"),
    ("distill-dkp", "Table 1", "Distill-DKP", "deepfashion", "", 16, "67.3", "0.6"),
    ("distill-dkp", "Table 1", "Distill-DKP", "taichi", "", 10, "306.9", "3.7"),
    ("distill-dkp", "Table 2", "Image student only", "human36m_background", "", 16, "6.8", None),
    ("distill-dkp", "Table 2", "Depth teacher only", "deepfashion", "", 16, "56.5", None),
    ("distill-dkp", "Table 2", "Depth teacher only", "taichi", "", 10, "350.8", None),
    ("distill-dkp", "Table 2", "Distill-DKP", "human36m_background", "", 16, "3.5", None),
    ("stable-keypoints", "Table 1", "Zhang et al.", "celeba_wild", "", 8, "40.82", None),
    ("stable-keypoints", "Table 1", "IMM", "celeba_aligned", "", 10, "3.19", None),
    ("stable-keypoints", "Table 1", TUNED, "celeba_wild", "", 4, "6.11", None),
    ("stable-keypoints", "Table 1", "StableKeypoints", "celeba_wild", "", 8, "4.35", None),
    ("stable-keypoints", "Section 4.3 (text)", "StableKeypoints", "celeba_wild", "100 images", 8,
     "5.33", None),
    ("stable-keypoints", "Table 2", "SCOPS", "cub_all", "GT silhouette", 4, "12.6", None),
    ("stable-keypoints", "Table 2", "SCOPS", "cub_003", "saliency maps", 4, "21.1", None),
    ("stable-keypoints", "Table 2", "ULD", "cub_001", "", 4, "30.1", None),
    ("stable-keypoints", "Table 2", "GANSeg", "cub_aligned", "", 10, "3.23", None),
    ("stable-keypoints", "Table 2", "StableKeypoints", "cub_all", "", 4, "5.4", None),
    ("stable-keypoints", "Table 3", "Sun et al.", "human36m", "videos", 16, "2.53", None),
    ("stable-keypoints", "Table 3", "Zhang et al.", "human36m", "videos", 16, "4.14", None),
    ("stable-keypoints", "Table 3", "AutoLink", "human36m_unaligned", "", 16, "7.59", None),
    ("stable-keypoints", "Table 3", TUNED, "taichi", "cumulative", 10, "316.10", None),
    ("stable-keypoints", "Table 3", "StableKeypoints", "human36m", "px at 128", 16, "4.45", None),
    ("stable-keypoints", "Table 3", "StableKeypoints", "deepfashion", "relative", 16, "6.46", None),
    ("stable-keypoints", "Table 3", "StableKeypoints", "taichi", "cumulative", 10, "234.89", None),
    ("stable-keypoints", "Table 3", "DFF", "taichi", "relative", 10, "14.78", None),
    ("stable-keypoints", "Table 4", "StableKeypoints", "cub_all", "equivariance", 4, "22.2", None),
    ("stable-keypoints", "Table 5", "AutoLink", "human36m_unaligned", "on taichi", 10, "16.92",
     None),
    ("stable-keypoints", "Table 5", "StableKeypoints", "taichi", "cumulative", 10, "317.94", None),
    ("stable-keypoints", "Table 5", "AutoLink", "taichi", "on celeba", 8, "28.2", None),
    ("stable-keypoints", "Table 5", "StableKeypoints", "cub", "on celeba", 8, "18.60", None),
    ("harris-thesis", "Table 3.3", "Kudo et al.", "human36m", "lifting", None, "130.9", None),
    ("harris-thesis", "Table 4.10", "Each task alone", "mnist", "middle", None, "98.30", None),
    ("harris-thesis", "Table 4.11", MULTI_TASK, "mnist", "distractor", None, "0.000518", None),
    ("harris-thesis", "Section 4.6.3.3 (text)", MULTI_TASK, "mnist", "", 7, "97.7", None),
    ("harris-thesis", "Table 4.16", MULTI_TASK, "human36m", "", None, "6.35", None),
    ("harris-thesis", "Table 4.17", MULTI_TASK, "human36m", "left hand", None, "11.53", "7.51"),
    ("harris-thesis", "Table 4.17", MULTI_TASK, "human36m", "mid shoulder", None, "3.37", "2.96"),
    ("harris-thesis", "Figure 4.7 (text)", MULTI_TASK, "human36m", "", None, "56.2", None),
    ("harris-thesis", "Table 4.19", MULTI_TASK, "shoes", "reconstruction", 8, "0.2183", None),
    ("harris-thesis", "Table 4.20", MULTI_TASK, "human36m", "keypoint 3", None, "0.2110", "0.1214"),
    ("harris-thesis", "Table 4.23", "NetB", "mnist", "", 9, "93.1", None),
    ("harris-thesis", "Table 4.26", MULTI_TASK, "chairs", "distractor", 8, "56.12", None),
    ("harris-thesis", "Table 5.3", "Bone rigidity prior", "human36m", "", None, "108.8", None),
    ("harris-thesis", "Table 5.8", MULTI_TASK, "stickman_2d", "left leg", 7, "0.7425", None),
    ("harris-thesis", "Table 5.8", "LVMST keypoint detector", "stickman_2d", "mean self", 7,
     "0.0006", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def numbers() -> list[PublishedNumber]:
    return read_published(FILE)


def test_every_row_of_every_table_is_there(numbers: list[PublishedNumber]) -> None:
    counts: dict[tuple[str, str], int] = {}
    for number in numbers:
        place = (number.source, number.table)
        counts[place] = counts.get(place, 0) + 1
    assert counts == ROWS


@pytest.mark.parametrize("check", SPOT_CHECKS, ids=lambda c: f"{c[0]}-{c[1]}-{c[2]}-{c[6]}")
def test_number_is_the_one_in_the_paper(
    numbers: list[PublishedNumber],
    check: tuple[str, str, str, str, str, int | None, str, str | None],
) -> None:
    source, table, method, dataset, text, k, value, spread = check
    found = [
        (str(n.value), None if n.spread is None else str(n.spread))
        for n in numbers
        if (n.source, n.table, n.method, n.dataset) == (source, table, method, dataset)
        and n.n_keypoints == k
        and re.search(
            rf"(^|\W){re.escape(text)}", f"{n.setting} {n.supervision} {n.metric} {n.unit}"
        )
    ]
    assert found == [(value, spread)]


def test_tables_agree_with_themselves(numbers: list[PublishedNumber]) -> None:
    """Relations that a slip of one digit breaks: averages, rescalings and repeated results."""

    def values(table: str, metric: str) -> dict[tuple[str, str | None], Decimal]:
        chosen = [n for n in numbers if (n.table, n.metric) == (table, metric)]
        return {(n.method, n.setting): n.value for n in chosen if n.source != "distill-dkp"}

    landmarks = values("Table 4.17", "mean_l2").values()
    overall = values("Table 4.16", "mean_l2")[MULTI_TASK, None]
    assert round(sum(landmarks) / len(landmarks), 2) == overall

    relative = values("Table 3", "relative_l2") | values("Table 5", "relative_l2")
    cumulative = values("Table 3", "cumulative_l2") | values("Table 5", "cumulative_l2")
    for row, total in cumulative.items():
        assert total / relative[row] == pytest.approx(Decimal("33.46"), rel=Decimal("0.001"))

    assert values("Table 3.3", "mean_distance_3d").items() <= (
        values("Table 5.3", "mean_distance_3d").items()
    )


def test_direction_belongs_to_the_metric(numbers: list[PublishedNumber]) -> None:
    for number in numbers:
        higher = "accuracy" in number.metric or number.metric.startswith("pck")
        neither = number.metric == "eigenvalue_ratio"
        assert number.higher_is_better is (None if neither else higher), number


def test_percentages_lie_between_0_and_100(numbers: list[PublishedNumber]) -> None:
    assert all(0 < n.value <= 100 for n in numbers if n.unit.startswith("%"))


def test_a_named_evaluator_gives_the_unit_of_the_number(numbers: list[PublishedNumber]) -> None:
    units = {
        "human36m/autolink": {"% of image size"},
        "human36m/stablekeypoints": {"px at 128"},
        "deepfashion/autolink": {"%"},
        "deepfashion/stablekeypoints": {"%"},
        "taichi/autolink": {"px at 256, summed"},
        "taichi/siarohin": {"px at 256, summed"},
        "taichi/stablekeypoints": {"px at 256, summed"},
        "celeba/autolink": {"% of inter-ocular distance"},
        "celeba/stablekeypoints": {"% of inter-ocular distance"},
        "cub/autolink": {"% of image side"},
        "cub/stablekeypoints": {"% of image side"},
    }
    found: dict[str, set[str]] = {}
    for number in numbers:
        found.setdefault(number.evaluator, set()).add(number.unit)
    del found["unknown"]
    assert found == units


def test_own_rows_are_measured_under_the_papers_own_evaluator(
    numbers: list[PublishedNumber],
) -> None:
    own = {"Distill-DKP": "autolink", "StableKeypoints": "stablekeypoints"}
    for number in numbers:
        if number.method in own and number.metric != "relative_l2":
            assert number.evaluator.endswith(f"/{own[number.method]}"), number
        if number.source == "harris-thesis":
            assert number.evaluator == "unknown", number


def test_known_contradictions_carry_a_note(numbers: list[PublishedNumber]) -> None:
    def notes(source: str, table: str, value: str) -> str:
        chosen = [n for n in numbers if (n.source, n.table) == (source, table)]
        return " ".join(n for c in chosen if str(c.value) == value for n in c.notes)

    assert "47.15" in notes("distill-dkp", "Table 1", "3.62")
    assert "27.8" in notes("distill-dkp", "Table 1", "3.62")
    assert "†" in notes("distill-dkp", "Table 1", "6.85")
    assert "3.62" in notes("distill-dkp", "Table 2", "3.5")
    assert "3.48 %" in notes("stable-keypoints", "Table 3", "4.45")
    assert "not comparable" in notes("stable-keypoints", "Table 3", "316.10")
    assert "0.3279" in notes("harris-thesis", "Table 5.8", "0.2651")


def test_page_shows_every_number_and_is_stable(numbers: list[PublishedNumber]) -> None:
    page = render_published(numbers)
    shuffled = list(numbers)
    random.Random(0).shuffle(shuffled)
    assert render_published(shuffled) == page
    assert "as reported" in page
    assert "never ranked with measured numbers" in page
    sections = dict(re.findall(r"^## ([^\n]*), as reported\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    assert list(sections) == [f"{source}, {table}" for source, table in ROWS]
    for (source, table), count in ROWS.items():
        text = sections[f"{source}, {table}"]
        cells = re.findall(r"\| ([0-9.]+)(?: ± ([0-9.]+))? \(", text)
        members = [n for n in numbers if (n.source, n.table) == (source, table)]
        expected = [(str(n.value), str(n.spread or "")) for n in members]
        assert sorted(cells) == sorted(expected)
        assert len(cells) == count
        for note in {note for n in members for note in n.notes}:
            assert re.search(rf"^\d+\. {re.escape(note)}$", text, re.M)


def test_page_puts_numbers_under_their_column() -> None:
    first = _number(line=2)
    page = render_published([first, replace(first, method="Other", value=Decimal("9.10"), line=3)])
    table = page[page.index("## ") :]
    assert table == (
        "## some-paper, Table 1, as reported\n\n"
        "| Method | Cited work | Supervision | taichi, K = 10: cumulative_mae [px] ↓ |\n"
        "| --- | --- | --- | --- |\n"
        "| Ours | Us [1] | unsupervised | 306.90 ± 3.7 (autolink) <sup>1</sup> |\n"
        "| Other | Us [1] | unsupervised | 9.10 ± 3.7 (autolink) <sup>1</sup> |\n\n"
        "The evaluator of a number is in brackets; (?) = unknown. Here: taichi/autolink.\n\n"
        "1. a doubt\n"
    )


def test_page_turns_a_wide_table_round() -> None:
    first = _number(line=2)
    unknown = replace(first, setting="left knee", evaluator="unknown", notes=(), line=3)
    page = render_published([first, replace(unknown, n_keypoints=None, higher_is_better=True)])
    assert "| Method | Ours |\n| --- | --- |\n| Cited work | Us [1] |\n" in page
    assert "| taichi, left knee, K not stated: cumulative_mae [px] ↑ | 306.90 ± 3.7 (?) |" in page


GOOD = dict(
    zip(
        COLUMNS,
        "some-paper,Table 1,Ours,Us [1],taichi,-,10,unsupervised,cumulative_mae,px,306.90,3.7,"
        "false,taichi/autolink,a doubt".split(","),
        strict=True,
    )
)


def _number(line: int) -> PublishedNumber:
    return PublishedNumber(
        source="some-paper",
        table="Table 1",
        method="Ours",
        method_source="Us [1]",
        dataset="taichi",
        setting=None,
        n_keypoints=10,
        supervision="unsupervised",
        metric="cumulative_mae",
        unit="px",
        value=Decimal("306.90"),
        spread=Decimal("3.7"),
        higher_is_better=False,
        evaluator="taichi/autolink",
        notes=("a doubt",),
        line=line,
    )


def _write(folder: Path, *rows: dict[str, str], header: tuple[str, ...] = COLUMNS) -> Path:
    path = folder / "numbers.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(row.values() for row in rows)
    return path


def test_reader_returns_what_is_written(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    assert read_published(path) == [_number(line=2)]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as spreadsheets save it
    assert read_published(path) == [_number(line=2)]
    bare = dict.fromkeys(("setting", "n_keypoints", "supervision", "spread", "note"), "-")
    (number,) = read_published(_write(tmp_path, GOOD | bare | {"higher_is_better": "-"}))
    assert (number.setting, number.n_keypoints, number.supervision) == (None, None, None)
    assert (number.spread, number.higher_is_better, number.notes) == (None, None, ())


@pytest.mark.parametrize(
    ("column", "text"),
    [
        *((column, "") for column in COLUMNS),
        *((column, "  ") for column in COLUMNS),
        *((column, "-") for column in ("source", "table", "method", "dataset", "metric", "value")),
        ("method", " Ours"),
        ("note", "two\nlines"),
        *(("value", text) for text in ("nan", "inf", "1e3", "-1.0", "3,60", "3 %", "65 ± 1", "٣")),
        ("spread", "± 0.1"),
        *(("n_keypoints", text) for text in ("0", "-4", "16.0", "ten")),
        ("higher_is_better", "True"),
        ("evaluator", "taichi/autolnk"),
        ("evaluator", "Unknown"),
        ("evaluator", "human36m/autolink"),
    ],
)  # fmt: skip
def test_malformed_row_names_file_and_line(tmp_path: Path, column: str, text: str) -> None:
    path = _write(tmp_path, GOOD, GOOD | {"method": "Other", column: text})
    with pytest.raises(RecordError, match=r"numbers\.csv, line [34]: "):
        read_published(path)


def test_dataset_of_an_evaluator_may_have_variants(tmp_path: Path) -> None:
    variant = {"dataset": "celeba_wild", "evaluator": "celeba/autolink"}
    assert read_published(_write(tmp_path, GOOD | variant))[0].dataset == "celeba_wild"
    with pytest.raises(RecordError, match="cannot have scored"):
        read_published(_write(tmp_path, GOOD | variant | {"dataset": "celebal"}))


def test_repeated_number_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"line 3: repeats line 2"):
        read_published(_write(tmp_path, GOOD, GOOD | {"value": "9.1", "note": "-"}))


def test_malformed_file_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    head = ",".join(COLUMNS)
    good = ",".join(GOOD.values())
    broken = {
        f"{head},extra\n{good},x\n": r"line 1: unknown columns \['extra'\]",
        f"{head.replace(',unit', '')}\n": r"line 1: .*missing columns \['unit'\]",
        "": "line 1: ",
        f"{head}\n{good}\n{good},more\n": "line 3: 16 fields instead of 15",
        f"{head}\n{good}\n\n": "line 3: 0 fields",
        f'{head}\n"{good}\n': "line 2: not valid CSV",
    }
    for text, message in broken.items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RecordError, match=rf"numbers\.csv, {message}"):
            read_published(path)


def test_unreadable_file_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"absent\.csv: cannot be read"):
        read_published(tmp_path / "absent.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n\xb1\n")
    with pytest.raises(RecordError, match=r"latin\.csv: cannot be read"):
        read_published(path)
