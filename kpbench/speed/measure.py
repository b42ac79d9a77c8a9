"""How fast a method is: images per second, latency, memory, size, FLOPs, share of the peak."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpbench.api import Device, Method
from kpbench.errors import (
    KpbenchError,
    MissingDataError,
    MissingPackageError,
    MissingWeightsError,
)
from kpbench.registry import load_method, of_recipe
from kpbench.running.measure import WAYS
from kpbench.running.provenance import collect, failure_of, now
from kpbench.speed.peak import arithmetic_of, measure_peak
from kpbench.speed.process import HOW, TrainingRun, prediction_memory, time_training
from kpbench.speed.record import (
    Gflop,
    Inference,
    Memory,
    Peak,
    Size,
    SpeedRecord,
    Spread,
    Sweep,
    SweepCell,
    Training,
)
from kpbench.speed.sweep import sweep_cells
from kpbench.speed.timing import measure, random_weights_where_missing, timing
from kpbench.speed.training import (
    PIXELS,
    Case,
    fitted,
    predict_operations,
    step_operations,
)

if TYPE_CHECKING:
    from kpbench.running.resolve import Settings


@dataclass(frozen=True)
class Unmeasured:
    """Why the speed of a method, or its sweep, could not be measured.

    Attributes:
        method: its name.
        reason: in words.
        failed: whether that is an error; otherwise this machine, or the method, lacks something.
    """

    method: str
    reason: str
    failed: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def throughput_of(
    name: str,
    settings: Settings,
    batches: Sequence[int],
    repeats: int,
    *,
    sweep: bool = False,
) -> Iterator[SpeedRecord | Unmeasured]:
    """Measure one method on random images, K = 16.

    Where pretrained weights are not on the machine, random ones take their place and the record
    says so.

    Yields:
        The record; again after each cell of the sweep, which it then holds; and what ended the
        measurement before its end.

    Args:
        name: of the method.
        settings: recipe, device and precision.
        batches: images in one call of `predict`.
        repeats: calls of `predict` that are timed.
        sweep: measure a training step for several K and sizes, too.
    """
    case = Case(
        name,
        settings.recipe,
        settings.device,
        settings.precision,
        pixels=of_recipe(settings.recipe, PIXELS, "the speed"),
    )
    what = ""
    with ExitStack() as stack:
        try:
            if reason := why_not_timed(load_method(name)):
                yield Unmeasured(name, reason, failed=False)
                return
            try:
                record = _measured(case, batches, repeats)
            except MissingWeightsError:
                random = stack.enter_context(random_weights_where_missing())
                record = _measured(case, batches, repeats, tuple(random))
            yield record
            if sweep:
                what = "the sweep ended early: "
                yield from _swept(record, case)
        except Exception as error:  # the other methods, and what is known of this one, are kept
            reason, failed = _reason(error)
            yield Unmeasured(name, what + reason, failed)


def why_not_timed(method: Method) -> str:
    """Return why a method cannot be shown images alone, "" if it can."""
    if method.task not in WAYS:
        return f"it is for {method.task}, and shown images here"
    return "" if WAYS[method.task].sees else "it reads labels, which no image brings along"


def _swept(record: SpeedRecord, case: Case) -> Iterator[SpeedRecord]:
    """Yield the record with the cells of the sweep that are there, after each."""
    cells: list[SweepCell] = []
    for cell in sweep_cells(case):
        cells.append(cell)
        found = Sweep(finished=now(), commit=record.provenance["commit"], cells=tuple(cells))
        yield record.model_copy(update={"sweep": found})


def _reason(error: Exception) -> tuple[str, bool]:
    """Return what an error says, and whether it is more than something that is not there."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        advice = "measure with another recipe or fewer images a call (--batch)"
        return f"out of memory; {advice} ({str(error).partition('. ')[0]})", True
    if isinstance(error, KpbenchError):
        absent = (MissingDataError, MissingPackageError, MissingWeightsError)
        return str(error), not isinstance(error, absent)
    failure = failure_of(error)
    return f"{failure.type}: {failure.message} ({failure.where})", True


@lru_cache
def _machine(device: Device) -> dict[str, Any]:
    """Describe machine and code once a process: what runs is the code that it was started with."""
    return collect(device)


def _measured(
    case: Case, batches: Sequence[int], repeats: int, random: tuple[str, ...] = ()
) -> SpeedRecord:
    import torch

    made = _machine(case.device)
    device_name = str(made["gpu"] if case.device == "cuda" else made["cpu"])
    dependency = case.dependency()
    run = time_training(case, dependency) if case.trains else None
    method = fitted(case, dependency)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        method.save(folder)
        kept, predicted = _kept(folder), predict_operations(case, folder, method.params())
        inference = [_inference(method, case, batch, repeats) for batch in sorted(set(batches))]
        inference_mib = prediction_memory(case, folder, dict(method.params()), max(batches))
    step, trained = step_operations(case, dependency) if case.trains else (None, None)
    peaks = _peaks(case, run, bool(predicted), device_name)
    return SpeedRecord(
        method=method.name,
        method_version=method.version,
        recipe=case.recipe,
        params=case.params,
        n_keypoints=case.n_keypoints,
        pixels=case.pixels,
        device=case.device,
        device_name=device_name,
        precision=case.precision,
        threads=torch.get_num_threads(),
        random_weights=random,
        inference=tuple(_with_share(row, predicted, peaks) for row in inference),
        training=_training(case, run, step, peaks),
        memory=Memory(
            how=HOW[case.device],
            training_mib=None if run is None else run.peak_mib,
            inference_mib=inference_mib,
            inference_batch=max(batches),
        ),
        size=Size(
            kept=kept,
            trained=trained,
            predict=_gflop(predicted),
            step=None if step is None else _gflop(step),
        ),
        peaks=tuple(peaks.values()),
        finished=now(),
        provenance=made,
    )


def _inference(method: Method, case: Case, batch: int, repeats: int) -> Inference:
    images = case.images(batch, method.inputs)
    time = measure(lambda: method.predict(images), case.device, repeats=repeats)
    return Inference(
        batch=batch, images_per_s=1000 * batch / time.median_ms, time=Spread(**asdict(time))
    )


def _gflop(flop: float) -> Gflop:
    return Gflop(computed=flop / 1e9)


def _kept(folder: Path) -> int:
    """Count the numbers in a checkpoint."""
    from safetensors.numpy import load

    files = folder.rglob("*.safetensors")
    return sum(array.size for file in files for array in load(file.read_bytes()).values())


def _peaks(
    case: Case, run: TrainingRun | None, predicts: bool, device_name: str
) -> dict[str, Peak]:
    """Return the peaks that something is compared with: `predict` computes in float32."""
    import torch

    found = {}
    if predicts:
        arithmetic = "tf32" if case.device == "cuda" else "float32"
        found["inference"] = measure_peak(
            "inference", arithmetic, case.device, torch.get_num_threads(), device_name
        )
    if run is not None:
        arithmetic = arithmetic_of(case.precision)
        found["training"] = measure_peak(
            "training", arithmetic, case.device, run.threads, device_name
        )
    return found


def _with_share(row: Inference, flop: float, peaks: dict[str, Peak]) -> Inference:
    if "inference" not in peaks:
        return row
    share = flop * row.images_per_s / (1e12 * peaks["inference"].tflops)
    return row.model_copy(update={"share_of_peak": share})


def _training(
    case: Case, run: TrainingRun | None, step: float | None, peaks: dict[str, Peak]
) -> Training | None:
    """Return what was seen of the training; None if the method never reported its progress."""
    if run is None or not len(run.steps):
        return None
    time, peak = timing(run.milliseconds), peaks["training"]
    images_per_s = 1000 * case.batch / time.median_ms
    share = printed = None
    if step is not None:
        achieved = step * images_per_s / 1e12
        share = achieved / peak.tflops
        printed = achieved / peak.datasheet_tflops if peak.datasheet_tflops else None
    return Training(
        batch=case.batch,
        images_per_s=images_per_s,
        time=Spread(**asdict(time)),
        steps=int(run.steps.sum()),
        startup_s=run.startup_s,
        threads=run.threads,
        share_of_peak=share,
        share_of_datasheet=printed,
    )
