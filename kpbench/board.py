"""The contents of one leaderboard table: rows, ranks and paired differences, from records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean

from kpbench.records import Identity, Record, Score, all_records, stored_artifact
from kpbench.stats import PairedDifference, Scores, load_scores, paired_bootstrap, runs_interval

FLOOR, CEILING = "mean_shape", "oracle"
UNRANKED = (FLOOR, "random_detector", CEILING)
"""Reference rows: shown, never ranked."""


@dataclass(frozen=True)
class Row:
    """One method with one set of parameters: a record a seed.

    Attributes:
        label: method, version, and the parameters in which rows of the method differ.
        records: in order of the seed.
        scores: per-image scores by seed, then by evaluator.
        wanted: the seeds that a complete row has.
    """

    label: str
    records: Sequence[Record]
    scores: dict[int, dict[str, Scores]]
    wanted: tuple[int, ...]

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.records[0].identity.method

    @property
    def scored(self) -> list[Record]:
        """The records that have scores."""
        return [record for record in self.records if record.status == "ok"]

    @property
    def complete(self) -> bool:
        """Whether every seed of the board has a score."""
        return {record.identity.seed for record in self.scored} == set(self.wanted)

    @property
    def reason(self) -> str:
        """Why the row is incomplete."""
        errors = {r.identity.seed: r.error.type for r in self.records if r.error is not None}
        scored = {record.identity.seed for record in self.scored}
        return "; ".join(
            f"seed {seed}: {errors.get(seed, 'not run')}"
            for seed in self.wanted
            if seed not in scored
        )

    @property
    def supervision(self) -> str:
        """What the method is told besides unlabelled RGB images."""
        return self.records[0].supervision

    @property
    def backbone(self) -> str:
        """The perceptual backbone of the training loss, "–" without one."""
        return str(self.records[0].identity.params.get("backbone", "–"))

    @property
    def hits(self) -> float | None:
        """Mean share of keypoints on the object, None without masks."""
        shares = [r.foreground_hits for r in self.scored if r.foreground_hits is not None]
        return mean(shares) if shares else None

    def values(self, evaluator: str) -> list[float]:
        """Return the score of every seed."""
        return [record.scores[evaluator].value for record in self.scored]

    def mean(self, evaluator: str) -> float:
        """Return the mean over seeds."""
        return mean(self.values(evaluator))

    def notes(self, evaluator: str) -> list[str]:
        """Return what the evaluator has to say about the fit."""
        return [
            f"{self.label}, seed {record.identity.seed}: {note}"
            for record in self.scored
            for note in record.scores[evaluator].notes
        ]

    def runs(self, evaluator: str) -> list[Scores]:
        """Return the per-image scores, one entry a seed."""
        return [self.scores[record.identity.seed][evaluator] for record in self.scored]

    def interval(self, evaluator: str) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of the mean, over images and seeds."""
        runs = self.runs(evaluator)
        pairs = [(run.errors, run.valid) for run in runs]
        return runs_interval(pairs, runs[0].aggregation, runs[0].groups)


@dataclass(frozen=True)
class Board:
    """Rows that may be compared: one protocol version, data, K, recipe and device class."""

    protocol: str
    version: int
    data: str
    n_keypoints: int
    recipe: str
    device: str
    rows: Sequence[Row] = field(repr=False)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all rows."""
        return self.rows[0].wanted

    @property
    def evaluator(self) -> str:
        """The default evaluator."""
        return self.rows[0].records[0].evaluator

    @cached_property
    def evaluators(self) -> list[str]:
        """All evaluators that every scored record has, the default first."""
        scored = [record for row in self.rows for record in row.scored]
        names = (
            [n for n in scored[0].scores if all(n in r.scores for r in scored)] if scored else []
        )
        return sorted(names, key=lambda name: (name != self.evaluator, name))

    def example(self, evaluator: str) -> Score:
        """Return any score under the evaluator, for its metric, unit and direction."""
        return next(record for row in self.rows for record in row.scored).scores[evaluator]

    def row(self, method: str) -> Row | None:
        """Return the first row of a method."""
        return next((row for row in self.rows if row.method == method), None)

    @property
    def ranked(self) -> list[Row]:
        """The rows that take part in the ranking."""
        return [row for row in self.rows if row.complete and row.method not in UNRANKED]

    def difference(self, evaluator: str, a: Row, b: Row) -> PairedDifference:
        """Return the score of a minus that of b, on the same images."""
        one, two = a.runs(evaluator), b.runs(evaluator)
        return paired_bootstrap(
            [(run.errors, run.valid) for run in one],
            [(run.errors, run.valid) for run in two],
            one[0].aggregation,
            one[0].groups,
        )

    def ranks(self, evaluator: str) -> dict[str, int]:
        """Return rank by label: one more than the number of rows that are better beyond noise."""
        if not self.ranked:
            return {}
        sign = -1 if self.example(evaluator).higher_is_better else 1

        def better(a: Row, b: Row) -> bool:
            low, high = self.difference(evaluator, a, b).ci95
            return high < 0 if sign > 0 else low > 0

        return {
            row.label: 1 + sum(better(other, row) for other in self.ranked if other is not row)
            for row in self.ranked
        }


def read_boards(results: Path) -> list[Board]:
    """Read all records below `results` and sort them into tables; `smoke` runs are left out.

    Raises:
        RecordError: a record or an artifact is corrupt or missing.
    """
    boards: dict[tuple[str, int, str, int, str, str], list[Record]] = {}
    for record in all_records(results):
        who = record.identity
        if who.recipe != "smoke":
            key = (who.protocol, who.protocol_version, who.data, who.n_keypoints, who.recipe)
            boards.setdefault((*key, who.device), []).append(record)
    return [
        Board(*key, rows=_rows(results, records))
        for key, records in sorted(boards.items(), key=lambda item: item[0])
    ]


def _rows(results: Path, records: Sequence[Record]) -> list[Row]:
    seeds = tuple(sorted({record.identity.seed for record in records}))
    groups: dict[tuple[str, int, str], list[Record]] = {}
    for record in records:
        who = record.identity
        settings = json.dumps([who.params, _digest(who.dependency)], sort_keys=True)
        groups.setdefault((who.method, who.method_version, settings), []).append(record)
    rows = []
    for group in (groups[key] for key in sorted(groups)):
        ordered = sorted(group, key=lambda record: record.identity.seed)
        scores = {
            record.identity.seed: load_scores(stored_artifact(results, record, "scores"))
            for record in ordered
            if record.status == "ok"
        }
        rows.append(Row(_label(ordered[0], records), ordered, scores, seeds))
    return rows


def _digest(dependency: Identity | None) -> str:
    """Name a dependency without its seed, which is the seed of the row's record."""
    return "" if dependency is None else dependency.model_copy(update={"seed": 0}).digest()


def _label(record: Record, records: Sequence[Record]) -> str:
    """Return "method v1", with the parameters in which the board's rows of the method differ."""
    who = record.identity
    others = [r.identity.params for r in records if r.identity.method == who.method]
    varying = sorted(
        name for name in who.params if any(who.params[name] != p.get(name) for p in others)
    )
    settings = ", ".join(f"{name}={who.params[name]}" for name in varying)
    return f"{who.method} v{who.method_version}" + (f" ({settings})" if settings else "")
