"""What a table of paired differences decides, and the ranks that follow from it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kpbench.boards.row import Row
from kpbench.scoring.statistics.compare import PairedDifference, holm

LEVEL = 0.05
"""How often a table in which nothing differs may decide anything."""


@dataclass(frozen=True)
class Decision:
    """One line of a table of paired differences.

    Attributes:
        a: a row.
        b: another.
        found: the score of a minus that of b.
        p_value: of no difference, adjusted for all lines of the table.
        higher_is_better: direction of the score.
    """

    a: Row
    b: Row
    found: PairedDifference
    p_value: float
    higher_is_better: bool

    @property
    def better(self) -> Row | None:
        """The row that is better beyond noise, None if that is not decided."""
        if self.p_value >= LEVEL:
            return None
        return self.a if (self.found.difference > 0) == self.higher_is_better else self.b

    def is_of(self, a: Row, b: Row) -> bool:
        """Return whether it is of these two rows, in whatever order."""
        return {self.a.label, self.b.label} == {a.label, b.label}


def decide(
    differences: Sequence[tuple[Row, Row, PairedDifference]], *, higher_is_better: bool
) -> list[Decision]:
    """Return the lines of one table, their p-values adjusted for each other by `holm`."""
    adjusted = holm([found.p_value for _, _, found in differences])
    return [
        Decision(a, b, found, p_value, higher_is_better)
        for (a, b, found), p_value in zip(differences, adjusted, strict=True)
    ]


def ranks_of(rows: Sequence[Row], decisions: Sequence[Decision]) -> dict[str, int]:
    """Return rank by label: one more than the number of rows that are better.

    Better by a decision, or by a chain of them: a row that is decided to be better has the smaller
    rank, whatever the other decisions. (Decisions alone need not be transitive, as differences are
    not measured equally well.)
    """
    labels = {row.label for row in rows}
    directly: dict[str, set[str]] = {label: set() for label in labels}
    for decision in decisions:
        pair = {decision.a.label, decision.b.label}
        if decision.better is not None and pair <= labels:
            [worse] = pair - {decision.better.label}
            directly[worse].add(decision.better.label)

    def better(label: str) -> set[str]:
        return directly[label].union(*map(better, directly[label]))

    return {row.label: 1 + len(better(row.label)) for row in rows}
