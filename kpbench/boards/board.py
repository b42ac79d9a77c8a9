"""The contents of one leaderboard table: rows, ranks and paired differences, from records."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kpbench.boards.row import Row
from kpbench.contracts.types import Reference
from kpbench.records.made_by import newest, what_changed
from kpbench.records.record import Identity, Record, Score, all_records, data_of, stored_artifact
from kpbench.records.shipped import apart
from kpbench.registry import on_boards, place_of
from kpbench.scoring.per_image import load_scores
from kpbench.scoring.statistics.compare import PairedDifference, mean_interval, paired_difference
from kpbench.scoring.statistics.resampling import Resampled, clusters_of, resample


@dataclass(frozen=True)
class Board:
    """Rows that may be compared: one protocol version, data, K, recipe and device class.

    Attributes:
        protocol: its name.
        version: its version.
        data: fingerprint of the images and labels.
        n_keypoints: K.
        recipe: how much training.
        device: class of the device.
        arguments: of the protocol, if not the default's; and `pretrained`, of shipped weights.
        rows: a method each.
    """

    protocol: str
    version: int
    data: str
    n_keypoints: int
    recipe: str
    device: str
    arguments: Mapping[str, Any]
    rows: Sequence[Row] = field(repr=False)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all rows."""
        return self.rows[0].wanted

    @property
    def own_arguments(self) -> dict[str, Any]:
        """The arguments besides K, which has a place of its own."""
        return {name: value for name, value in self.arguments.items() if name != "k"}

    @property
    def evaluator(self) -> str:
        """The default evaluator."""
        return self.rows[0].records[0].evaluator

    @cached_property
    def evaluators(self) -> list[str]:
        """All evaluators under which a record has a score, the default first."""
        names = {name for row in self.rows for record in row.scored for name in record.scores}
        return sorted(names, key=lambda name: (name != self.evaluator, name))

    def example(self, evaluator: str) -> Score:
        """Return any score under the evaluator, for its metric, unit and direction."""
        records = (record for row in self.rows for record in row.under(evaluator))
        return next(records).scores[evaluator]

    def row(self, method: str) -> Row | None:
        """Return the first row of a method."""
        return next((row for row in self.rows if row.method == method), None)

    def reference(self, kind: Reference) -> Row | None:
        """Return the first row that is the floor, or the ceiling."""
        return next((row for row in self.rows if row.reference == kind), None)

    def complete(self, evaluator: str) -> list[Row]:
        """Return the rows that have a score of every seed under the evaluator."""
        return [row for row in self.rows if row.complete(evaluator)]

    def ranked(self, evaluator: str) -> list[Row]:
        """Return the rows that take part in the ranking under the evaluator."""
        return [row for row in self.complete(evaluator) if not row.reference]

    def changed(self, row: Row) -> list[str]:
        """Return what is other in the newest records of the board than what the row was made by.

        These are rooms of kpbench, and torch; see `kpbench.records.made_by`.
        """
        found = [what_changed(record.provenance, self._newest) for record in row.scored]
        return list(dict.fromkeys(name for names in found for name in names))

    @cached_property
    def _newest(self) -> dict[str, Any]:
        return newest(record for row in self.rows for record in row.scored)

    def interval(self, evaluator: str, row: Row) -> tuple[float, float]:
        """Return the 95 % interval of a complete row's mean, over images and seeds."""
        return mean_interval(self._resampled(evaluator)[row.label])

    def difference(self, evaluator: str, a: Row, b: Row) -> PairedDifference:
        """Return the score of a minus that of b, both complete, on the same images."""
        found = self._resampled(evaluator)
        return paired_difference(found[a.label], found[b.label])

    def identities(self, evaluator: str) -> int | None:
        """Return how many identities are resampled, None where images are."""
        clusters = clusters_of(self._identities(evaluator))
        return None if clusters is None else len(set(clusters.tolist()))

    def ranks(self, evaluator: str) -> dict[str, int]:
        """Return rank by label: one more than the number of rows that are better beyond noise."""
        ranked = self.ranked(evaluator)
        if not ranked:
            return {}
        sign = -1 if self.example(evaluator).higher_is_better else 1

        def better(a: Row, b: Row) -> bool:
            low, high = self.difference(evaluator, a, b).ci95
            return high < 0 if sign > 0 else low > 0

        return {
            row.label: 1 + sum(better(other, row) for other in ranked if other is not row)
            for row in ranked
        }

    @cached_property
    def _cache(self) -> dict[str, dict[str, Resampled]]:
        return {}

    def _resampled(self, evaluator: str) -> dict[str, Resampled]:
        """Return the resampled scores of the complete rows, by label; computed once."""
        if evaluator not in self._cache:
            complete = self.complete(evaluator)
            runs = [run for row in complete for run in row.runs(evaluator)]
            together = resample(
                [(run.errors, run.valid) for run in runs],
                runs[0].aggregation,
                runs[0].groups,
                clusters=clusters_of(self._identities(evaluator)),
            )
            n = len(self.seeds)
            self._cache[evaluator] = {
                row.label: together[i * n : (i + 1) * n] for i, row in enumerate(complete)
            }
        return self._cache[evaluator]

    def _identities(self, evaluator: str) -> Any:
        """Return who each test image shows, from any record that kept it: the images are equal."""
        runs = (run for row in self.rows for run in row.runs(evaluator))
        return next((run.identities for run in runs if run.identities is not None), None)


def read_boards(results: Path, elsewhere: Collection[str] = ()) -> list[Board]:
    """Read all records below `results` and sort them into tables.

    They are in order of their recipes' places. Runs of a recipe that is on no board, such as
    `smoke`, are left out, and so are those trained on another protocol (`transfer`).

    Args:
        results: folder of records.
        elsewhere: digests of runs that are shown on other pages alone.

    Raises:
        RecordError: a record or an artifact is corrupt or missing.
    """
    boards: dict[tuple[str, int, str, int, str, str], dict[str, list[Record]]] = {}
    for record in all_records(results):
        who = record.identity
        if on_boards(who.recipe) and who.trained_on is None and who.digest() not in elsewhere:
            key = (who.protocol, who.protocol_version, data_of(who), who.n_keypoints, who.recipe)
            arguments = json.dumps(dict(who.arguments), sort_keys=True)
            boards.setdefault((*key, who.device), {}).setdefault(arguments, []).append(record)
    return [
        Board(*key, {**json.loads(arguments), **mark}, rows_of(results, part))
        for key, by_arguments in sorted(boards.items(), key=lambda item: _place(item[0]))
        for arguments, records in sorted(by_arguments.items())
        for mark, part in apart(records)
    ]


def _place(key: tuple[str, int, str, int, str, str]) -> tuple[Any, ...]:
    protocol, version, data, n_keypoints, recipe, device = key
    return protocol, version, place_of(recipe), data, n_keypoints, device


def rows_of(results: Path, records: Sequence[Record]) -> list[Row]:
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
