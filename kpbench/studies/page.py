"""The page of the study: Distill-DKP's tables and figure, measured, beside what is reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from kpbench.boards.pages.markdown import (
    HEAD,
    MISSING,
    folded,
    interval,
    number,
    probability,
    spread,
    table,
)
from kpbench.boards.pages.plots import Plot
from kpbench.boards.row import Row
from kpbench.records.published import PublishedNumber
from kpbench.studies.figure import figure_section, panels_of, plot
from kpbench.studies.plan import (
    BOTH,
    DATASETS,
    FLOOR,
    METHODS,
    STUDENT,
    TEACHER,
    DataSet,
)
from kpbench.studies.results import (
    NAMES,
    Comparison,
    Studied,
    as_printed,
    comparisons,
    not_above_floor,
    of_table,
)

NAME = "distill_dkp.md"
_EXPLAIN = """\
Runs of `kpbench study distill-dkp`: Tables 1 and 2 and Figure 3 of Distill-DKP (arXiv:2410.14700)
on the embedded data. What deviates from the paper, whatever the recipe:

- The images are rendered people that take the roles of the paper's data sets. A value here cannot
  be compared with a value there; whether one method is better than another can, and that is asked.
- Depth is the renderer's and exact; the paper estimates it from RGB with MiDaS 3.1.
- The paper's Table 1 is of 10 trainings a method. Here each row says how many it is of.
- The paper prints Adam, and so `depth_teacher` and `distill_dkp` train under `paper`; AutoLink's
  code, on which it builds, has AdamW with a weight decay of 1e-3: so `autolink` trains, and under
  the other recipes all three do.
- AutoLink's evaluator is the paper's. On `people_plain` and `people_background` it looks at test
  labels to tell left from right, so the order is asked under the strict one, too.

A score is the mean over seeds ± their standard deviation; 95 % intervals are over seeds (Student's
t) and test images, or the identities that these share (bootstrap), and differences are paired. An
order holds, or is reversed, if p of the difference is below 5 %; p comes from the same t as the
interval and is adjusted for all pairs of the rows of a table (Holm), and ranks follow from the same
decisions. Of one seed, both know nothing of how trainings differ. "Student only" is `autolink`,
"teacher only" `depth_teacher`, which reads depth at prediction; Table 2 is of the same runs as
Table 1. `mean_shape`, where it was run, is the floor: it sees no image and has no rank; what is not
better than it is said to be so.
"""
_REPORT = """\
Never ranked with what is measured here. The two tables print different values for the same model;
this and other doubts are noted, beside all other rows, in [published.md](published.md).
"""
_TRAINING = ("steps", "batch_size", "image_size", "backbone")
_VARIANTS = {
    STUDENT: "student only (`autolink`)",
    TEACHER: "teacher only (`depth_teacher`)",
    BOTH: "both (`distill_dkp`)",
}
_REPORTED: Mapping[str, tuple[str, ...]] = {
    "Table 1": (NAMES["Table 1"][STUDENT], "AutoLink (thickness-tuned)", NAMES["Table 1"][BOTH]),
    "Table 2": tuple(NAMES["Table 2"][method] for method in METHODS),
}


def pages(studied: Sequence[Studied], published: Sequence[PublishedNumber]) -> dict[str, str]:
    """Return the page by its name; nothing without a run of the study.

    Args:
        studied: of `read_study`.
        published: numbers as papers report them; without the paper's, no order can hold.
    """
    if not studied:
        return {}
    lines = ["# Distill-DKP: its tables and its figure", "", HEAD, _EXPLAIN]
    for (recipe, device), group in _by_run(studied):
        lines += [f"## {recipe} recipe, {device}", "", *_training(group)]
        lines += ["### Table 1: AutoLink and Distill-DKP", "", *_measured(group)]
        lines += _order(group, published, "Table 1")
        lines += ["### Table 2: student only, teacher only, both", "", *_ablation(group)]
        lines += _order(group, published, "Table 2")
        lines += figure_section(group, figure_name(recipe, device))
        lines += _records(group)
    lines += ["## As the paper reports", "", _REPORT]
    for name in NAMES:
        lines += [f"### {name}, as reported", "", *_reported(published, name)]
    return {NAME: "\n".join(lines).rstrip() + "\n"}


def plots(studied: Sequence[Studied]) -> dict[str, Plot]:
    """Return Figure 3 by the name of its file, one a recipe and class of device."""
    found = {}
    for (recipe, device), group in _by_run(studied):
        if panels := panels_of(group):
            found[figure_name(recipe, device)] = plot(panels)
    return found


def figure_name(recipe: str, device: str) -> str:
    """Return the file of Figure 3."""
    return f"distill_dkp_figure3_{recipe}_{device}.png"


def _by_run(studied: Sequence[Studied]) -> Iterator[tuple[tuple[str, str], list[Studied]]]:
    for key, group in groupby(studied, key=lambda found: (found.recipe, found.device)):
        yield key, list(group)


def _training(group: Sequence[Studied]) -> list[str]:
    """Say how much training there was, from a record of it."""
    board = group[0].table or group[0].figure
    assert board is not None
    params = board.rows[0].records[0].identity.params
    own = {name: params.get(name, MISSING) for name in _TRAINING}
    text = (
        f"Trained with {own['steps']} steps of {own['batch_size']} images of {own['image_size']} x "
        f"{own['image_size']} pixels, the perceptual loss on `{own['backbone']}`, and "
        "the paper's γ. The paper: 20 000 steps of 64 images of 128 x 128 pixels, VGG16, γ = 0.1 "
        "(Taichi: 0.4)."
    )
    return [*wrap(text, 100), ""]


def _shown(name: str) -> list[DataSet]:
    """Return the data sets in a table."""
    return [d for d in DATASETS.values() if name == "Table 1" or d.gammas]


def _measured(group: Sequence[Studied]) -> list[str]:
    by_protocol = {found.dataset.protocol: found for found in group}
    cells = []
    for dataset in _shown("Table 1"):
        found = by_protocol.get(dataset.protocol)
        floor = [FLOOR] if found is not None and found.row(FLOOR) is not None else []
        for method in (*METHODS, *floor):
            first = f"`{dataset.protocol}` ({dataset.title})" if method == METHODS[0] else ""
            cells.append([first, *_cells(found, dataset, method)])
    head = ["protocol (in the role of)", "method", "told besides RGB", "score", "95 % interval"]
    return table([*head, "rank", "seeds"], cells)


def _ablation(group: Sequence[Studied]) -> list[str]:
    """Return Table 2 as the paper prints it, of the runs of Table 1."""
    by_protocol = {found.dataset.protocol: found for found in group}
    shown = _shown("Table 2")
    cells = [
        [label, *(_cells(by_protocol.get(d.protocol), d, method)[2] for d in shown)]
        for method, label in _VARIANTS.items()
    ]
    return table(["variant", *(f"`{d.protocol}` ({d.title})" for d in shown)], cells)


def _cells(found: Studied | None, dataset: DataSet, method: str) -> list[str]:
    row = None if found is None else found.row(method)
    if found is None or found.table is None or row is None:
        return [method, MISSING, "not run", MISSING, MISSING, "0"]
    evaluator, _ = dataset.evaluators
    seeds = f"{len(row.under(evaluator))}/{len(row.wanted)}"
    if not row.complete(evaluator):
        return [row.label, row.supervision, row.reason(evaluator), MISSING, MISSING, seeds]
    score = found.table.example(evaluator)
    return [
        row.label,
        row.supervision,
        f"{spread(row.values(evaluator))} {score.unit} {'↑' if score.higher_is_better else '↓'}",
        interval(found.table.interval(evaluator, row)),
        str(found.table.ranks(evaluator).get(row.label, MISSING)),
        seeds,
    ]


def _order(group: Sequence[Studied], published: Sequence[PublishedNumber], name: str) -> list[str]:
    lines, cells = [], []
    for found in (found for found in group if found.dataset in _shown(name)):
        first, *others = [
            comparisons(found, published, name, evaluator) for evaluator in found.dataset.evaluators
        ]
        if first:
            floor = _floor(not_above_floor(found, name, found.dataset.evaluators[0]))
            lines.append(f"- `{found.dataset.protocol}`: {verdict(first)}.{_weight(found)}{floor}")
        cells += [_pair(each) for pairs in (first, *others) for each in pairs]
    if not cells:
        return ["The paper's numbers are not in `published.csv`, so no order can be compared.", ""]
    head = ["evaluator", "the paper's order", "as printed", "measured difference"]
    return [*lines, "", *table([*head, "95 % interval", "p (Holm)", "holds"], cells)]


def verdict(pairs: Sequence[Comparison]) -> str:
    """Return in words whether the paper's order of the methods is the measured one."""
    absent = sorted({m for p in pairs if p.difference is None for m in (p.first, p.second)})
    if absent:
        return f"the paper's order is not measured: not all seeds of {' and '.join(absent)}"
    reversed_ = [pair for pair in pairs if pair.better == pair.second]
    open_ = [pair for pair in pairs if pair.better is None]
    parts = [f"{p.second} is better than {p.first} by {_by(p)}" for p in reversed_]
    parts += [f"{p.first} and {p.second} differ by no more than noise" for p in open_]
    if reversed_:
        return f"the paper's order does not hold: {'; '.join(parts)}"
    if open_:
        return f"the paper's order is undecided: {'; '.join(parts)}"
    parts = [f"{p.first} is better than {p.second} by {_by(p)}" for p in pairs]
    return f"the paper's order holds: {'; '.join(parts)}"


def _weight(found: Studied) -> str:
    """Return a sentence on the γ that was trained with, where it is not the paper's."""
    row = found.row(BOTH)
    own = None if row is None else row.records[0].identity.params.get("gamma")
    if own is None or own == found.dataset.gamma:
        return ""
    return f" {BOTH} was trained with γ = {own:g}, the paper with {found.dataset.gamma:g}."


def _floor(pairs: Sequence[Comparison]) -> str:
    """Return a sentence on the methods that are not better than the floor, "" without one."""
    parts = [
        f"{pair.first} (worse by {_by(pair)})" if pair.better else f"{pair.first} (within noise)"
        for pair in pairs
    ]
    return f" Not better than the floor, {FLOOR}: {', '.join(parts)}." if parts else ""


def _by(pair: Comparison) -> str:
    assert pair.difference is not None
    return f"{number(abs(pair.difference.difference))} {_unit(pair)}"


def _unit(pair: Comparison) -> str:
    """Return the unit of a difference; "better by 1 %" would be read as a share of the score."""
    return "points" if pair.unit == "%" else pair.unit


def _pair(pair: Comparison) -> list[str]:
    cells = [f"`{pair.evaluator}`", f"{pair.first} before {pair.second}", ", ".join(pair.printed)]
    if pair.difference is None or pair.decision is None:
        return [*cells, MISSING, MISSING, MISSING, pair.holds]
    value = f"{pair.second} − {pair.first} = {number(pair.difference.difference)} {_unit(pair)}"
    p_value = probability(pair.decision.p_value)
    return [*cells, value, interval(pair.difference.ci95), p_value, pair.holds]


def _reported(published: Sequence[PublishedNumber], name: str) -> list[str]:
    numbers = [n for n in of_table(published, name) if n.method in _REPORTED[name]]
    shown = _shown(name)
    found = {(n.method, n.dataset): n for n in numbers}
    cells = [
        [method, *(_printed(found.get((method, d.published))) for d in shown)]
        for method in _REPORTED[name]
    ]
    return table(["as reported", *(d.title for d in shown)], cells)


def _printed(found: PublishedNumber | None) -> str:
    if found is None:
        return MISSING
    return f"{as_printed(found)} {found.unit} {'↑' if found.higher_is_better else '↓'}"


def _records(group: Sequence[Studied]) -> list[str]:
    """Link the records, once each."""
    rows: list[Row] = []
    for board in (board for found in group for board in (found.table, found.figure) if board):
        rows += board.rows
    lines: dict[str, str] = {}
    for row in rows:
        for record in row.records:
            path = record.path(Path("results")).as_posix()
            who = record.identity
            text = f"- [{who.protocol} / {row.label}, seed {who.seed}]({path}): {record.status}"
            lines.setdefault(path, text)
    return folded("Records", [*lines.values(), ""])
