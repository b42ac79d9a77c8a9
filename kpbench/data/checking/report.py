"""What `kpbench data verify` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the protocol expects.

    Attributes:
        severity: "error", or "note" for what need not be wrong.
        split: where; several are joined by ", ".
        text: what.
        examples: the first cases.
    """

    severity: Literal["error", "note"]
    split: str
    text: str
    examples: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        protocol: its name.
        root: folder of the data set.
        quick: whether images were left unopened.
        counts: split -> number of images.
        published: split -> number of images that the paper reports.
        fingerprint: of files, labels and arguments, equal on all machines with the same data and
            equal to that of a run under the recipe `paper`; "" when an image cannot be read, or was
            not.
        findings: what is not as expected.
    """

    protocol: str
    root: str
    quick: bool
    counts: Mapping[str, int]
    published: Mapping[str, int]
    fingerprint: str
    findings: Sequence[Finding]

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the report as text."""
        lines = [f"{self.protocol} in {self.root}"]
        for split, count in self.counts.items():
            lines.append(f"  {split:10} {count:,} images (published: {self.published[split]:,})")
        for finding in self.findings:
            lines.append(f"  {finding.severity} in {finding.split}: {finding.text}")
            lines += [f"    {example}" for example in finding.examples]
        if self.fingerprint:
            lines.append(f"  fingerprint {self.fingerprint}")
        if self.quick:
            lines.append("  images were not opened: run without --quick for all checks")
        notes = len(self.findings) - self.errors
        lines.append(f"  {_plural(self.errors, 'error')}, {_plural(notes, 'note')}")
        return "\n".join(lines)


def _plural(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
