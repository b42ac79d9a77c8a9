"""The contents of one leaderboard table: rows, ranks and paired differences, from records."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from kpbench.boards.decisions import Decision, decide, ranks_of
from kpbench.boards.row import Row, rows_of
from kpbench.contracts.types import Reference
from kpbench.records.folders import Folders
from kpbench.records.made_by import newest, what_changed
from kpbench.records.record import Record, Score, all_records, data_of
from kpbench.records.shipped import apart
from kpbench.registry import on_boards, place_of
from kpbench.scoring.named import same_rules
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
    def own_k(self) -> bool:
        """Whether K is the protocol's, as published for its role, and not an argument."""
        return "k" not in self.arguments

    @property
    def own_arguments(self) -> dict[str, Any]:
        """The arguments besides K, which has a place of its own."""
        return {name: value for name, value in self.arguments.items() if name != "k"}

    @property
    def evaluator(self) -> str:
        """The default evaluator."""
        return self.rows[0].records[0].evaluator

    @cached_property
    def rules(self) -> dict[str, list[str]]:
        """All evaluators under which a record has a score, the default first.

        One that is the same rule as others has their names, its own first.
        """
        names = {name for row in self.rows for record in row.scored for name in record.scores}
        ordered = sorted(names, key=lambda name: (name != self.evaluator, name))
        return {group[0]: group for group in same_rules(ordered)}

    @property
    def strict(self) -> str | None:
        """The evaluator that looks at no test label, by its first name, None without one."""
        return next((name for name, names in self.rules.items() if is_strict(names)), None)

    def example(self, evaluator: str) -> Score:
        """Return any score under the evaluator, for its metric, unit and direction."""
        records = (record for row in self.rows for record in row.under(evaluator))
        return next(records).scores[evaluator]

    def row(self, method: str) -> Row | None:
        """Return the first row of a method."""
        return next((row for row in self.rows if row.method == method), None)

    def reference(self, kind: Reference) -> Row | None:
        """Return the first row that is the floor, the ceiling or a baseline."""
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

    def decisions(self, evaluator: str) -> list[Decision]:
        """Return the table of paired differences.

        These are all pairs of ranked rows, and each of them against the floor and the baselines.
        With one seed they are of the images alone, and decide no rank.
        """
        if evaluator not in self._decided:
            ranked = self.ranked(evaluator)
            pairs = list(combinations(ranked, 2))
            pairs += [(row, other) for row in ranked for other in self._to_beat(evaluator)]
            found = [(a, b, self.difference(evaluator, a, b)) for a, b in pairs]
            higher = bool(found) and self.example(evaluator).higher_is_better
            self._decided[evaluator] = decide(found, higher_is_better=higher)
        return self._decided[evaluator]

    def ranks(self, evaluator: str) -> dict[str, int]:
        """Return rank by label, as `decisions` have it; none where all rows have one seed."""
        if len(self.seeds) < 2:
            return {}
        return ranks_of(self.ranked(evaluator), self.decisions(evaluator))

    def unbeaten(self, evaluator: str) -> dict[str, list[str]]:
        """Return the baselines than which a ranked row is not better beyond noise, by its label."""
        found: dict[str, list[str]] = {}
        if self.reference("baseline") is None:
            return found
        for decision in self.decisions(evaluator):
            if decision.b.reference == "baseline" and decision.better is not decision.a:
                found.setdefault(decision.a.label, []).append(decision.b.label)
        return found

    def _to_beat(self, evaluator: str) -> list[Row]:
        complete = self.complete(evaluator)
        floors = [row for row in complete if row.reference == "floor"]
        return floors[:1] + [row for row in complete if row.reference == "baseline"]

    @cached_property
    def _decided(self) -> dict[str, list[Decision]]:
        return {}

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


def read_boards(results: Folders, elsewhere: Collection[str] = ()) -> list[Board]:
    """Read all records below `results` and sort them into tables.

    They are in order of their recipes' places. Runs of a recipe that is on no board, such as
    `smoke`, are left out, and so are those trained on another protocol (`transfer`).

    Args:
        results: folder of records.
        elsewhere: digests of runs that are shown on other pages alone.

    Raises:
        RecordError: a record or an artifact is corrupt or missing.
    """
    return boards_of(
        results,
        (
            record
            for record in all_records(results)
            if on_boards(record.identity.recipe) and record.identity.digest() not in elsewhere
        ),
    )


def boards_of(results: Folders, records: Iterable[Record]) -> list[Board]:
    """Sort records into tables, the protocol's own K first and long trainings before short ones.

    Those trained on another protocol (`transfer`) are left out.

    Args:
        results: folder of the records.
        records: some of them.

    Raises:
        RecordError: an artifact is corrupt or missing.
    """
    boards: dict[tuple[str, int, str, int, str, str], dict[str, list[Record]]] = {}
    for record in records:
        who = record.identity
        if who.trained_on is None:
            key = (who.protocol, who.protocol_version, data_of(who), who.n_keypoints, who.recipe)
            arguments = json.dumps(dict(who.arguments), sort_keys=True)
            boards.setdefault((*key, who.device), {}).setdefault(arguments, []).append(record)
    found = [
        Board(*key, {**json.loads(arguments), **mark}, rows_of(results, part))
        for key, by_arguments in sorted(boards.items(), key=lambda item: item[0])
        for arguments, same in sorted(by_arguments.items())
        for mark, part in apart(same)
    ]
    return sorted(
        found, key=lambda board: (board.protocol, place_of(board.recipe), not board.own_k)
    )


def is_strict(names: Iterable[str]) -> bool:
    """Return whether one of the names of an evaluator is that of the strict one."""
    return any(name.endswith("/strict") for name in names)
