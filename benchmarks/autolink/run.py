"""The comparison: agreement first, then every part timed on both sides in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.autolink.bench import Amount, Bench, Say
from benchmarks.autolink.checkout import STUBBED, Checkout, imported
from benchmarks.autolink.inference import packed
from benchmarks.autolink.report import Convolutions, Report, Row
from benchmarks.autolink.training import Flop, Plan, Steps, official_flop, our_flop
from benchmarks.autolink.tree import write_tree
from kpbench.running.provenance import collect, now
from kpbench.speed.peak import arithmetic_of, measure_peak
from kpbench.speed.record import Peak
from kpbench.speed.timing import random_weights_where_missing

DIFFERENCES = (
    "Precision on a GPU: official float16 with a gradient scaler, as published; kpbench bfloat16 "
    "in training, and float32 in prediction, where cuDNN multiplies in TF32. On a CPU float32 on "
    "both sides.",
    "Training: the official step is its own `training_step` and optimiser without its trainer's "
    "overhead; kpbench's is `fit`, all included, once it runs. Both have the CPU threads that "
    "kpbench takes at the published batch.",
    "Fed from disk: the official loader decodes each JPEG each time; kpbench packs the data set "
    "once, which is not timed here, and trains on what it packed.",
    "Test loop: the official one without its trainer's overhead; kpbench's also computes a 95 % "
    "interval. From disk, files are in the system's cache on both sides. From memory, the official "
    "batches are float32, as its loader hands them over, and kpbench's images uint8; both in RAM.",
    "The official data loaders get the published number of processes, at most one a core.",
)


@contextmanager
def opened(checkout: Checkout | None, amount: Amount, say: Say) -> Iterator[tuple[Bench, Report]]:
    """Yield the bench, on frames in a temporary folder, and the report to which rows are added.

    Args:
        checkout: the official code; None to time kpbench alone.
        amount: how much.
        say: told what is being done.

    Raises:
        InvalidInputError: the checkout cannot be used.
    """
    with ExitStack() as stack:
        random = stack.enter_context(random_weights_where_missing())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kpbench-")))
        official = stack.enter_context(imported(checkout)) if checkout else None
        protocol = stack.enter_context(packed(folder / "human36m", folder / "cache"))
        bench = Bench(official, amount, protocol, folder / "human36m", say)
        yield bench, Report(_setting(checkout, amount, random), DIFFERENCES, ())


def compare(checkout: Checkout, amount: Amount, say: Say, keep: Callable[[Report], None]) -> Report:
    """Measure everything, also when the two sides disagree, which the report says.

    Args:
        checkout: the official code.
        amount: how much.
        say: told what is being done.
        keep: given the report each time that it has grown, so that no later part can lose it.

    Raises:
        InvalidInputError: the checkout cannot be used.
    """
    with opened(checkout, amount, say) as (bench, empty):
        write_frames(bench)
        for report in measured(bench, empty):
            keep(report)
        return report


def write_frames(bench: Bench) -> None:
    """Write what the test loop and a training from disk read."""
    bench.say("writing frames")
    write_tree(bench.tree, bench.amount.copies)


def measured(bench: Bench, report: Report) -> Iterator[Report]:
    """Yield the report each time that it has grown: what matters most first, what is slow last."""
    yield (report := replace(report, agreement=bench.agreement()))
    for measure in (bench.edge_map, bench.detector):
        yield (report := report.with_row(measure()))
    row, at_rest = bench.step()
    yield (report := with_step(report, row, at_rest))
    for measure in (bench.loop_from_disk, bench.loop_from_memory, bench.step_from_disk):
        yield (report := report.with_row(measure()))
    yield with_shares(report, bench, at_rest)


def with_step(report: Report, row: Row, steps: Steps) -> Report:
    """Return a report that holds the training step too."""
    setting = {**report.setting, "training threads on the CPU": steps.threads}
    return replace(report, setting=setting).with_row(row)


def with_shares(report: Report, bench: Bench, steps: Steps) -> Report:
    """Return a report that says how much of the device's arithmetic the steps used."""
    bench.say("counting operations")
    peak = _peak(bench.plan, steps.threads)
    shares = _shares(bench, steps, peak)
    return replace(report, convolutions=shares, peak=peak.model_dump(mode="json"))


def _shares(bench: Bench, steps: Steps, peak: Peak) -> list[Convolutions]:
    case = bench.plan.case
    sides = [("kpbench, as computed", our_flop(case), steps.ours.median_ms)]
    if steps.official is not None:
        flop = official_flop(bench.model().cpu())
        sides.insert(0, ("official", flop, steps.official.median_ms))
    return [_convolutions(side, flop, case.batch, ms, peak) for side, flop, ms in sides]


def _convolutions(side: str, flop: Flop, batch: int, ms: float, peak: Peak) -> Convolutions:
    tflops = flop.convolutions * batch / ms / 1e9
    return Convolutions(
        side,
        gflop=flop.convolutions / 1e9,
        gflop_in_all=flop.total / 1e9,
        tflops=tflops,
        of_measured=tflops / peak.tflops,
        of_datasheet=tflops / peak.datasheet_tflops if peak.datasheet_tflops else None,
    )


def _peak(plan: Plan, threads: int) -> Peak:
    machine = collect(plan.device)
    return measure_peak(
        "training",
        arithmetic_of(plan.case.precision),
        plan.device,
        threads=threads,
        device_name=str(machine["gpu"] or machine["cpu"]),
    )


def _setting(checkout: Checkout | None, amount: Amount, random: Sequence[str]) -> dict[str, Any]:
    case = amount.plan.case
    machine = collect(case.device)
    return {
        "date": now(),
        "device": case.device,
        "hardware": {"gpu": machine["gpu"], "cpu": machine["cpu"], "cores": machine["cores"]},
        "versions": {**machine["packages"], "python": machine["python"]},
        "official code": "not given, so not measured"
        if checkout is None
        else {"commit": checkout.commit or "unknown", "sha256": checkout.digest},
        "kpbench commit": machine["commit"],
        "shapes": {
            "batch": case.batch,
            "pixels": case.pixels,
            "K": case.n_keypoints,
            "VGG16 at": 224,
            "frames of the test loop": 120 * amount.copies,
        },
        "random weights": list(random),
        "replaced in the official code": list(STUBBED),
    }
