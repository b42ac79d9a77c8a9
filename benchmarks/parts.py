"""Parts of a measurement: processes with time budgets, told in one file. Needs Python alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.packages import missing
from benchmarks.uninstalled import ROOT

SUMMARY, ARCHIVE = "summary.json", "everything.tar.gz"
GRACE = 5.0
"""Seconds that a part has to end when its time is over."""
_LINE = 400
"""Characters kept of the last line that a part printed."""


@dataclass(frozen=True)
class Part:
    """One measurement.

    Attributes:
        name: of the part.
        what: it measures.
        words: arguments of the Python interpreter.
        limit: seconds.
        figures: file in the folder of figures that the part writes, as they come; "" if none.
        needs: packages that this part alone imports.
    """

    name: str
    what: str
    words: tuple[str, ...]
    limit: float
    figures: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """How a part ended.

    Attributes:
        name: of the part.
        ended: "ok", "failed with CODE", "out of time", "no time left", "needs PACKAGES", or, while
            it runs and if the whole call is ended meanwhile, "not ended".
        seconds: that it took.
        limit: seconds that it had.
        left: seconds that were left for the parts after it.
        said: the last line that it printed: of a failure the reason.
    """

    name: str
    ended: str
    seconds: float = 0.0
    limit: float = 0.0
    left: float = 0.0
    said: str = ""


def budget(parts: Sequence[Part], left: float) -> float:
    """Return the seconds of the first part: its own, and what those after it will not need.

    Args:
        parts: all that are still to run.
        left: seconds for all of them.

    Example:
        >>> parts = [Part("a", "", (), 10), Part("b", "", (), 5)]
        >>> budget(parts, 20), budget(parts, 15), budget(parts, 8)
        (15, 10, 8)
    """
    first, *later = parts
    return max(min(first.limit, left), left - sum(part.limit for part in later))


def run(part: Part, log: Path, limit: float, environment: Mapping[str, str]) -> Ended:
    """Run a part and what it starts; all of it has ended when this returns.

    Args:
        part: what.
        log: gets what it prints.
        limit: seconds.
        environment: of the process.
    """
    with log.open("ab") as output:
        output.write(f"\n===== {part.name}: python {' '.join(part.words)}\n".encode())
        output.flush()
        printed = output.tell()
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *part.words],
            cwd=ROOT,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
            ended = f"failed with {code}" if code else "ok"
        except subprocess.TimeoutExpired:
            ended = "out of time"
        finally:
            _stop(process)
    seconds = round(time.monotonic() - start, 1)
    return Ended(part.name, ended, seconds, round(limit, 1), said=_last_line(log, printed))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, which share its session."""
    for number, wait in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(wait)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _last_line(log: Path, start: int) -> str:
    with log.open("rb") as printed:
        printed.seek(start)
        lines = printed.read().decode(errors="replace").split("\n")
    return next((line.strip()[:_LINE] for line in reversed(lines) if line.strip()), "")


def run_all(
    wanted: Sequence[Part], out: Path, environment: Mapping[str, str], seconds: float
) -> list[Ended]:
    """Run the parts one after the other, and keep what each wrote before the next one starts.

    Args:
        wanted: the parts.
        out: folder of the figures, those of other parts included.
        environment: of their processes.
        seconds: for all of them.
    """
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    found: list[dict[str, Any]] = _earlier(out / SUMMARY, wanted)
    ends: list[Ended] = []
    for i, part in enumerate(wanted):
        limit = budget(wanted[i:], deadline - time.monotonic())
        _write(
            out / SUMMARY, [*found, asdict(Ended(part.name, "not ended", limit=round(limit, 1)))]
        )
        ended = _ended(part, out / "log.txt", limit, environment)
        left = round(max(0.0, deadline - time.monotonic()), 1)
        ends.append(Ended(**{**asdict(ended), "left": left}))
        found.append({**asdict(ends[-1]), "figures": _figures(out, part)})
        _write(out / SUMMARY, found)
        _pack(out)
        said = "" if ended.ended == "ok" else f" ({ended.said})"
        say(f"{ended.name}: {ended.ended}, {ended.seconds:.0f} s{said}; {left:.0f} s left")
    return ends


def _ended(part: Part, log: Path, limit: float, environment: Mapping[str, str]) -> Ended:
    if lacking := missing(part.needs):
        return Ended(part.name, f"needs {', '.join(lacking)}")
    return run(part, log, limit, environment) if limit > 0 else Ended(part.name, "no time left")


def _figures(out: Path, part: Part) -> Any:
    """Return what a part wrote, before it was cut off too; None if that is nothing."""
    with suppress(OSError, ValueError):
        return json.loads((out / part.figures).read_bytes())
    return None


def _write(path: Path, found: Sequence[Mapping[str, Any]]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(f"{json.dumps(found, indent=1)}\n", encoding="utf-8")
    partial.replace(path)


def _earlier(summary: Path, wanted: Sequence[Part]) -> list[dict[str, Any]]:
    """Return how the parts ended that were run before and are not run now."""
    with suppress(OSError, ValueError):
        again = {part.name for part in wanted}
        return [e for e in json.loads(summary.read_bytes()) if e["name"] not in again]
    return []


def _pack(out: Path) -> None:
    partial = out / f"{ARCHIVE}.partial"
    with tarfile.open(partial, "w:gz") as archive:
        for path in sorted(p for p in out.rglob("*") if p.is_file()):
            if not path.name.startswith(ARCHIVE):
                archive.add(path, path.relative_to(out))
    partial.replace(out / ARCHIVE)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
