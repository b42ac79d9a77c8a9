"""A row of a board: the records of one method with one set of parameters, and its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from kpbench.contracts.types import Reference
from kpbench.records.folders import Folders
from kpbench.records.record import Identity, Record, stored_artifact
from kpbench.scoring.per_image import Scores, load_scores


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
    def reference(self) -> Reference:
        """What the row is to those that are ranked, "" if it is one of them."""
        return self.records[0].reference

    @property
    def scored(self) -> list[Record]:
        """The records that have scores."""
        return [record for record in self.records if record.status == "ok"]

    def under(self, evaluator: str) -> list[Record]:
        """Return the records that have a score under the evaluator."""
        return [record for record in self.scored if evaluator in record.scores]

    def complete(self, evaluator: str) -> bool:
        """Whether every seed of the board has a score under the evaluator."""
        return {record.identity.seed for record in self.under(evaluator)} == set(self.wanted)

    def reason(self, evaluator: str) -> str:
        """Return why the row is incomplete under the evaluator."""
        why = {record.identity.seed: "no score under it" for record in self.scored}
        why |= {r.identity.seed: r.error.type for r in self.records if r.error is not None}
        scored = {record.identity.seed for record in self.under(evaluator)}
        return "; ".join(
            f"seed {seed}: {why.get(seed, 'not run')}" for seed in self.wanted if seed not in scored
        )

    @property
    def supervision(self) -> str:
        """What the method is told besides unlabelled RGB images."""
        return self.records[0].supervision

    @property
    def backbone(self) -> str:
        """The perceptual backbone of the training loss, "–" without one."""
        return str(self.records[0].identity.params.get("backbone", "–"))

    def mean_of(self, what: Callable[[Record], float | None]) -> float | None:
        """Return the mean over seeds of a number that a record may lack, None if all lack it."""
        found = [value for value in map(what, self.scored) if value is not None]
        return mean(found) if found else None

    def values(self, evaluator: str) -> list[float]:
        """Return the score of every seed that has one."""
        return [record.scores[evaluator].value for record in self.under(evaluator)]

    def mean(self, evaluator: str) -> float:
        """Return the mean over seeds."""
        return mean(self.values(evaluator))

    def notes(self, evaluator: str) -> list[str]:
        """Return what the evaluator has to say about the fit."""
        return [
            f"{self.label}, seed {record.identity.seed}: {note}"
            for record in self.under(evaluator)
            for note in record.scores[evaluator].notes
        ]

    def runs(self, evaluator: str) -> list[Scores]:
        """Return the per-image scores, one entry a seed."""
        return [self.scores[r.identity.seed][evaluator] for r in self.under(evaluator)]


def rows_of(results: Folders, records: Sequence[Record]) -> list[Row]:
    """Return a row for each method and each set of parameters of it.

    Raises:
        RecordError: an artifact is corrupt or missing.
    """
    seeds = tuple(sorted({record.identity.seed for record in records}))
    groups: dict[tuple[str, int, str], list[Record]] = {}
    for record in records:
        who = record.identity
        settings = json.dumps(settings_of(who), sort_keys=True)
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


def settings_of(who: Identity) -> dict[str, Any]:
    """Return what tells rows of one method apart: its parameters, and its teacher's by its name."""
    marks = {"depth": who.data.partition("+")[2][:8], "pretrained": (who.pretrained or "")[:8]}
    found = {**who.params, **{name: value for name, value in marks.items() if value}}
    if who.dependency is not None:
        other = who.dependency
        inner = {"version": other.method_version, **settings_of(other)}
        found |= {f"{other.method}.{name}": value for name, value in inner.items()}
    return found


def setting_names(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the settings in which `own` differs from any of the others, sorted."""
    return sorted(name for name in own if any(own[name] != other.get(name) for other in others))


def _label(record: Record, records: Sequence[Record]) -> str:
    """Return "method v1", with the settings in which the board's rows of the method differ."""
    who, own = record.identity, settings_of(record.identity)
    others = [settings_of(r.identity) for r in records if r.identity.method == who.method]
    settings = ", ".join(f"{name}={own[name]}" for name in setting_names(own, others))
    trained = f"{who.method} v{who.method_version}" + (" pretrained" if who.pretrained else "")
    return trained + (f" ({settings})" if settings else "")
