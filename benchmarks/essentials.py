"""Measure the speed of one thing on a GPU, and write the figures as they come.

    python benchmarks/essentials.py training_step --checkout AutoLink --json step.json

`benchmarks/gpu.py --part essentials` runs all of them. Without a checkout of the public AutoLink
code kpbench is measured alone, and the figures say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if __name__ == "__main__":  # run by its path, not as a module
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kpbench.api import Device, Recipe
from kpbench.errors import KpbenchError, UnknownNameError

if TYPE_CHECKING:
    from benchmarks.autolink.bench import Bench
    from benchmarks.autolink.report import Report

Figures = dict[str, Any]
METHOD, PROTOCOL, SEED = "autolink", "people_background", 0
"""What is trained at `quick`."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def training_step(bench: Bench, report: Report) -> Iterator[Figures]:
    """Yield the step's time on both sides, and then its share of the measured peak."""
    from benchmarks.autolink.run import with_shares, with_step

    row, steps = bench.step()
    report = with_step(report, row, steps)
    yield report.as_dict()
    yield with_shares(report, bench, steps).as_dict()


def edge_map(bench: Bench, report: Report) -> Iterator[Figures]:
    """Yield the edge map beside the official one, and then beside its formula written out."""
    from benchmarks.edge_map import compare

    found = report.with_row(bench.edge_map()).as_dict()
    yield found
    formula: list[Figures] = []
    for k in (16, 32):
        formula.append(compare(k, bench.plan.case.batch, bench.plan.device, bench.amount.repeats))
        yield {**found, "formula": [*formula]}


def detector(bench: Bench, report: Report) -> Iterator[Figures]:
    """Yield the time of the detector."""
    yield report.with_row(bench.detector()).as_dict()


def test_loop(bench: Bench, report: Report) -> Iterator[Figures]:
    """Yield the time of the test loop on images in memory."""
    from benchmarks.autolink.run import write_frames

    write_frames(bench)
    yield report.with_row(bench.loop_from_memory()).as_dict()


BESIDE_AUTOLINK: dict[str, Callable[[Bench, Report], Iterator[Figures]]] = {
    "training_step": training_step,
    "edge_map": edge_map,
    "detector": detector,
    "test_loop": test_loop,
}
QUICK_TRAINING = "quick_training"


def beside_autolink(
    name: str, device: str, batch: int | None, checkout: Path | None
) -> Iterator[Figures]:
    """Yield the figures of one row of `BESIDE_AUTOLINK` each time that they have grown."""
    from benchmarks.against_autolink import amount_of
    from benchmarks.autolink.checkout import find_checkout
    from benchmarks.autolink.run import opened

    official = None if checkout is None else find_checkout(checkout)
    with opened(official, amount_of(device, batch), say) as (bench, report):
        yield from BESIDE_AUTOLINK[name](bench, report)


def quick_training(device: Device, recipe: Recipe = "quick") -> Iterator[Figures]:
    """Yield the score of a training on the device, and then that on the CPU beside it.

    Both are trained side by side, from the same seed on the same data.

    Args:
        device: to compare with the CPU.
        recipe: of both.

    Raises:
        KpbenchError: one of them failed.
    """
    from kpbench.running.provenance import collect, now

    found: Figures = {"method": METHOD, "protocol": PROTOCOL, "recipe": recipe, "seed": SEED}
    found["machine"] = collect(device)
    places: dict[str, Device] = {"measured": device, "cpu": "cpu"}
    records = {}
    with tempfile.TemporaryDirectory(prefix="kpbench-") as name:
        folder, start = Path(name), time.perf_counter()
        started = {side: _evaluate(place, recipe, folder / side) for side, place in places.items()}
        try:
            for side, process in started.items():
                if code := process.wait():
                    raise KpbenchError(
                        f"kpbench evaluate --device {places[side]} ended with {code}"
                    )
                records[side] = _record(folder / side)
                seconds = time.perf_counter() - start
                found = {**found, "finished": now(), side: _scored(records[side], seconds)}
                yield found
        finally:
            for process in started.values():
                process.kill()
                process.wait()
    scores = [next(iter(_values(record).values())) for record in records.values()]
    same = records["measured"]["identity"]["data"] == records["cpu"]["identity"]["data"]
    yield found | {"difference": scores[0] - scores[1], "same data": same}


def _evaluate(device: Device, recipe: Recipe, results: Path) -> subprocess.Popen[bytes]:
    words = evaluate_words(device, recipe, results)
    return subprocess.Popen([sys.executable, "-m", "kpbench", *words])


def evaluate_words(device: Device, recipe: Recipe, results: Path) -> list[str]:
    """Return what kpbench's command line is told."""
    words = ["evaluate", "-m", METHOD, "-p", PROTOCOL, "--seeds", str(SEED), "--recipe", recipe]
    return [*words, "--device", device, "--results", str(results), "--jobs", "1"]


def _record(results: Path) -> Figures:
    """Read the one record in a folder."""
    [path] = results.glob(f"{PROTOCOL}/{METHOD}/*.json")
    found: Figures = json.loads(path.read_bytes())
    return found


def _values(record: Figures) -> dict[str, float]:
    """Return the scores by evaluator, that of the record first."""
    values = {name: score["value"] for name, score in record["scores"].items()}
    return {record["evaluator"]: values[record["evaluator"]], **values}


def _scored(record: Figures, seconds: float) -> Figures:
    """Return what is told of a training; `seconds` until it ended, with imports and rendering."""
    where, evaluator = record["provenance"], record["evaluator"]
    return {
        "device": record["identity"]["device"],
        "precision": where["precision"],
        "scores": _values(record),
        "unit": record["scores"][evaluator]["unit"],
        "seconds of the training": record["seconds"]["fit"],
        "seconds in all": round(seconds, 1),
    }


def say(text: str) -> None:
    """Print a line."""
    typer.echo(text)


@app.command()
def main(
    row: Annotated[str, typer.Argument(help="What to measure.")],
    checkout: Annotated[
        Path | None, typer.Option(help="Folder of the public AutoLink repository.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    batch: Annotated[
        int | None, typer.Option(min=2, help="Images a step. [64 on a GPU, 4 on a CPU]")
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here, as they come.")
    ] = None,
) -> None:
    """Measure the speed of one thing on a GPU."""
    from kpbench.cli.arguments import parse_device
    from kpbench.files.atomic import write_atomically

    try:
        if row not in (known := [*BESIDE_AUTOLINK, QUICK_TRAINING]):
            raise UnknownNameError.of("row", row, known)
        found = (
            quick_training(parse_device(device))
            if row == QUICK_TRAINING
            else beside_autolink(row, device, batch, checkout)
        )
        for figures in found:
            if as_json is not None:
                text = json.dumps(figures, indent=1, allow_nan=False)
                write_atomically(as_json, f"{text}\n".encode())
    except KpbenchError as error:
        typer.echo(f"essentials: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
