"""Run the benchmarks and compare them with the stored run, by ratio.

    python tests/benchmarks/compare.py            # run and compare
    python tests/benchmarks/compare.py --store    # run and store instead

Times are of the processor, on one thread, so that other work on the machine counts little. Machines
differ, so each is divided by that of the calibration (a matrix product and a copy of memory, their
geometric mean) in the same run; what is shown is a ratio of ratios. Nothing fails: whether a ratio
of 1.2 is a loss or noise, the spread beside it helps to judge.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STORED = HERE / "stored.json"
SUITES = ("calibration", "layers", "scoring", "rendering", "training_step")
"""The others need minutes and gigabytes; they are run by name."""
CALIBRATION = "test_calibration.py::"
Times = Mapping[str, Mapping[str, float]]


def trimmed(run: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return median and interquartile range in milliseconds by name, of pytest-benchmark's JSON."""
    return {
        benchmark["fullname"].rpartition("/")[2]: {
            "median_ms": 1000 * benchmark["stats"]["median"],
            "iqr_ms": 1000 * benchmark["stats"]["iqr"],
        }
        for benchmark in run["benchmarks"]
    }


def machine_ratio(stored: Times, new: Times) -> float:
    """Return how many times as long the calibration takes as in the stored run."""
    names = [name for name in stored if name.startswith(CALIBRATION)]
    if not names or not set(names) <= set(new):
        raise SystemExit("a run without calibration cannot be compared; run all suites")
    logs = [math.log(new[name]["median_ms"] / stored[name]["median_ms"]) for name in names]
    return math.exp(sum(logs) / len(logs))


def ratios(stored: Times, new: Times) -> dict[str, float]:
    """Return new time / stored time, each relative to its machine; below 1 is faster."""
    machine = machine_ratio(stored, new)
    return {
        name: new[name]["median_ms"] / stored[name]["median_ms"] / machine
        for name in stored
        if name in new
    }


def run_suites() -> dict[str, Any]:
    """Run the suites in a process of their own and return times, hardware and versions."""
    from kpbench.running.provenance import collect, now

    files = [str(HERE / f"test_{name}.py") for name in SUITES]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.json"
        command = [sys.executable, "-m", "pytest", *files, "-q", "--benchmark-only"]
        command += [f"--benchmark-json={out}", "--benchmark-columns=median,iqr,rounds"]
        command += ["--benchmark-timer=time.process_time"]
        if subprocess.run(command, cwd=HERE.parents[1]).returncode:
            raise SystemExit("a benchmark failed")
        run = json.loads(out.read_text(encoding="utf-8"))
    return {"finished": now(), "machine": collect("cpu"), "benchmarks": trimmed(run)}


def show(stored: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Print the ratios, the slowest first."""
    from rich.console import Console
    from rich.table import Table

    before, after = stored["benchmarks"], new["benchmarks"]
    found = ratios(before, after)
    factor = machine_ratio(before, after)
    title = f"relative to the machine, which takes {factor:.2f} times as long"
    table = Table("benchmark", "stored", "now", "now / stored", title=title, title_justify="left")
    for name in sorted(found, key=lambda name: -found[name]):
        table.add_row(name, _time(before[name]), _time(after[name]), f"{found[name]:.2f}")
    console = Console(highlight=False, width=120)
    console.print(table)
    console.print(f"stored: {stored['finished']} on {stored['machine']['cpu']}")
    for text, names in (("new", set(after) - set(before)), ("gone", set(before) - set(after))):
        if names:
            console.print(f"{text}: {', '.join(sorted(names))}", soft_wrap=True)


def _time(found: Mapping[str, float]) -> str:
    return f"{found['median_ms']:,.4g} ± {found['iqr_ms']:,.2g} ms"


def main() -> None:
    """Run and compare, or store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", action="store_true", help=f"write {STORED.name} instead")
    chosen = parser.parse_args()
    if not chosen.store and not STORED.is_file():
        raise SystemExit(f"there is no {STORED}; make it with --store")
    new = run_suites()
    if chosen.store:
        STORED.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    else:
        show(json.loads(STORED.read_text(encoding="utf-8")), new)


if __name__ == "__main__":
    main()
