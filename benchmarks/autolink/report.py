"""What was measured, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tabulate import tabulate

from benchmarks.autolink.agreement import Agreement
from kpbench.speed.timing import Timing

DEVICES = {"cpu": "CPU", "cuda": "GPU"}
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Row:
    """The same work on both sides.

    Attributes:
        what: was timed.
        images: that it took in.
        official: time of the official code; None where it is not at hand.
        ours: time of kpbench.
        ratio: how many times as long the official code takes; None where it is not at hand.
        target: the ratio aimed at on a GPU, or None.
    """

    what: str
    images: int
    official: Timing | None
    ours: Timing
    ratio: float | None
    target: float | None = None

    @property
    def summary(self) -> str:
        """In one line."""
        ours = duration(self.ours.median_ms)
        if self.official is None:
            return f"{self.what}: kpbench {ours}; the official code is not at hand"
        official = duration(self.official.median_ms)
        return f"{self.what}: official {official}, kpbench {ours}, {self.ratio:.1f} x"

    @property
    def images_per_s(self) -> dict[str, float | None]:
        """Of both sides."""
        times = {"official": self.official, "kpbench": self.ours}
        return {name: None if t is None else _rate(t, self.images) for name, t in times.items()}


@dataclass(frozen=True)
class Convolutions:
    """How much of the device's arithmetic the training step uses for convolutions alone.

    Attributes:
        side: whose step.
        gflop: of the convolutions of one image and step.
        gflop_in_all: with everything else that is counted.
        tflops: of convolutions, over the time of the whole step.
        of_measured: share of a large matrix product's rate, measured in the same run.
        of_datasheet: share of the maker's figure; None where it is not known.
    """

    side: str
    gflop: float
    gflop_in_all: float
    tflops: float
    of_measured: float
    of_datasheet: float | None


@dataclass(frozen=True)
class Report:
    """One run.

    Attributes:
        setting: checkout, device, versions, date, shapes, whatever a reader has to know.
        differences: one sentence for each way in which the two sides do not do the same.
        agreement: of results from the same weights.
        rows: of speed.
        convolutions: of the training step with a batch that is ready; () before they are counted.
        peak: of the device, as measured here; {} before.
    """

    setting: Mapping[str, Any]
    differences: Sequence[str]
    agreement: Sequence[Agreement]
    rows: Sequence[Row] = ()
    convolutions: Sequence[Convolutions] = ()
    peak: Mapping[str, Any] = field(default_factory=dict)

    def with_row(self, row: Row) -> Report:
        """Return a report with one row more."""
        return replace(self, rows=(*self.rows, row))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; a difference that is not finite is null."""
        found = asdict(self)
        for a in found["agreement"]:
            a["difference"] = a["difference"] if math.isfinite(a["difference"]) else None
        device = self.setting["device"]
        found["rows"] = [
            {**asdict(row), "images_per_s": row.images_per_s, "device": device} for row in self.rows
        ]
        return found

    def markdown(self) -> str:
        """Return the tables; what was not measured says so."""
        setting = "\n".join(f"- {name}: {_text(value)}" for name, value in self.setting.items())
        differences = "\n".join(f"- {sentence}" for sentence in self.differences)
        return "\n\n".join(
            (
                "## kpbench beside the official AutoLink code",
                setting,
                "### Same weights, same results",
                _agreement(self.agreement),
                "### Speed",
                _speed(self.rows, self.setting["device"]),
                _convolutions(self.convolutions, self.setting["device"]),
                "What differs:\n\n" + differences,
            )
        )


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(v)}" for name, v in value.items() if v is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v) for v in value) or "none"
    return str(value)


def _agreement(found: Sequence[Agreement]) -> str:
    rows = [
        (a.what, f"{a.difference:.1e}", f"{a.tolerance:.0e}", "yes" if a.holds else "NO", a.note)
        for a in found
    ]
    return _table(rows, ("compared", "largest relative difference", "allowed", "agrees", ""))


def _speed(rows: Sequence[Row], device: str) -> str:
    table = []
    for row in rows:
        ratios = {name: NOT_MEASURED for name in DEVICES}
        if row.ratio is not None:
            ratios[device] = f"{row.ratio:.1f} x"
        target = f"{row.target:g} x" if row.target else ""
        table.append(
            (
                *(row.what, row.images, _time(row.official, row), _time(row.ours, row)),
                *(ratios["cpu"], ratios["cuda"], target),
            )
        )
    here = DEVICES[device]
    head = ("measured", "images", f"official, {here}", f"kpbench, {here}")
    return _table(table, (*head, "ratio, CPU", "ratio, GPU", "target, GPU"))


def _rate(time: Timing, images: int) -> float:
    return 1000 * images / time.median_ms


def _time(time: Timing | None, row: Row) -> str:
    if time is None:
        return NOT_MEASURED
    spread = f"{duration(time.p05_ms)} to {duration(time.p95_ms)}"
    return f"{duration(time.median_ms)} ({spread}), {short(_rate(time, row.images))} images/s"


def duration(ms: float) -> str:
    """Return a time with its unit.

    Example:
        >>> duration(8.7813), duration(15540.0)
        ('8.78 ms', '15.5 s')
    """
    return f"{short(ms)} ms" if ms < 1000 else f"{short(ms / 1000)} s"


def short(value: float) -> str:
    """Return three digits, and all before the point.

    Example:
        >>> short(0.24242), short(1234.5)
        ('0.242', '1,234')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _convolutions(found: Sequence[Convolutions], device: str) -> str:
    rows = []
    for c in found:
        datasheet = f"{c.of_datasheet:.0%}" if c.of_datasheet is not None else NOT_MEASURED
        numbers = (f"{c.gflop:.1f}", f"{c.gflop_in_all:.1f}", short(c.tflops))
        rows.append((c.side, *numbers, f"{c.of_measured:.0%}", datasheet))
    head = (
        f"convolutions of the step, {DEVICES[device]}",
        "GFLOP an image",
        "GFLOP in all",
        "TFLOP/s",
        "of a matrix product",
        "of the datasheet",
    )
    return _table(rows, head)


def _table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)
