"""How fast a method is: images per second, latency, memory, size, FLOPs, share of the peak."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpbench import throughput_memory as memory
from kpbench.api import Method
from kpbench.errors import KpbenchError, MissingWeightsError
from kpbench.provenance import collect, now
from kpbench.throughput_peak import arithmetic_of, measure_peak
from kpbench.throughput_records import (
    Gflop,
    Inference,
    Memory,
    Peak,
    Size,
    SpeedRecord,
    Spread,
    Sweep,
    Training,
)
from kpbench.throughput_training import (
    PIXELS,
    Case,
    Operations,
    StepClock,
    fitted,
    predict_operations,
    step_operations,
    time_steps,
)
from kpbench.timing import measure, random_weights_where_missing, timing

if TYPE_CHECKING:
    from kpbench.run import Settings


@dataclass(frozen=True)
class Unmeasured:
    """Why the speed of a method could not be measured."""

    method: str
    reason: str

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
) -> SpeedRecord | Unmeasured:
    """Measure one method on random images, K = 16.

    Where pretrained weights are not on the machine, random ones take their place and the record
    says so.

    Args:
        name: of the method.
        settings: recipe, device and precision.
        batches: images in one call of `predict`.
        repeats: calls of `predict` that are timed.
        sweep: measure a training step for several K and sizes, too.

    Raises:
        UnknownNameError: no such method.
    """
    case = Case(
        name,
        settings.recipe,
        settings.device,
        settings.precision,
        pixels=PIXELS[settings.recipe],
    )
    case.configured()
    try:
        try:
            return _measured(case, batches, repeats, sweep=sweep)
        except MissingWeightsError:
            with random_weights_where_missing() as replaced:
                return _measured(case, batches, repeats, sweep=sweep, random=tuple(replaced))
    except KpbenchError as error:
        return Unmeasured(name, str(error))


def _measured(
    case: Case,
    batches: Sequence[int],
    repeats: int,
    *,
    sweep: bool,
    random: tuple[str, ...] = (),
) -> SpeedRecord:
    import torch

    made = collect(case.device)
    device_name = str(made["gpu"] if case.device == "cuda" else made["cpu"])
    dependency = case.dependency()
    (method, clock), training_mib = _trained(case, dependency)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        method.save(folder)
        kept, predicted = _kept(folder), predict_operations(case, folder, method.params())
        inference = [_inference(method, case, batch, repeats) for batch in sorted(set(batches))]
        inference_mib = _inference_memory(method, case, folder, max(batches))
    step, trained = step_operations(case, dependency) if case.trains else (None, None)
    peaks = _peaks(case, clock, bool(predicted.computed), device_name)
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
        inference=tuple(_with_share(row, predicted.computed, peaks) for row in inference),
        training=_training(case, clock, step, peaks),
        memory=Memory(
            how=memory.HOW[case.device],
            training_mib=training_mib,
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
        sweep=_sweep(case) if sweep else None,
        finished=now(),
        provenance=made,
    )


def _trained(
    case: Case, dependency: Method | None
) -> tuple[tuple[Method, StepClock | None], float | None]:
    """Return the fitted method, the clock of its steps, and the peak memory of training in MiB."""
    if not case.trains:
        return (fitted(case, dependency), None), None
    if case.device == "cuda":
        return memory.on_cuda(lambda: time_steps(case, dependency))
    found = time_steps(case, dependency)
    with tempfile.TemporaryDirectory() as name:
        folder = None if dependency is None else Path(name)
        if dependency is not None:
            dependency.save(Path(name))
        return found, memory.of_training(case, folder)


def _inference(method: Method, case: Case, batch: int, repeats: int) -> Inference:
    images = case.images(batch).restricted(method.inputs)
    time = measure(lambda: method.predict(images), case.device, repeats=repeats)
    return Inference(
        batch=batch, images_per_s=1000 * batch / time.median_ms, time=Spread(**asdict(time))
    )


def _inference_memory(method: Method, case: Case, folder: Path, batch: int) -> float | None:
    if case.device == "cuda":
        images = case.images(batch).restricted(method.inputs)
        return memory.on_cuda(lambda: method.predict(images))[1]
    return memory.of_prediction(case, folder, dict(method.params()), batch)


def _gflop(found: Operations) -> Gflop:
    return Gflop(recipe=found.recipe / 1e9, computed=found.computed / 1e9)


def _kept(folder: Path) -> int:
    """Count the numbers in a checkpoint."""
    from safetensors.numpy import load

    files = folder.rglob("*.safetensors")
    return sum(array.size for file in files for array in load(file.read_bytes()).values())


def _peaks(
    case: Case, clock: StepClock | None, predicts: bool, device_name: str
) -> dict[str, Peak]:
    """Return the peaks that something is compared with: `predict` computes in float32."""
    import torch

    wanted = {}
    if predicts:
        wanted["inference"] = (arithmetic_of("32-true", case.device), torch.get_num_threads())
    if clock is not None:
        wanted["training"] = (arithmetic_of(case.precision, case.device), clock.threads)
    return {
        use: measure_peak(
            use,  # type: ignore[arg-type]
            arithmetic,
            case.device,
            threads=threads,
            device_name=device_name,
        )
        for use, (arithmetic, threads) in wanted.items()
    }


def _with_share(row: Inference, flop: float, peaks: dict[str, Peak]) -> Inference:
    if "inference" not in peaks:
        return row
    share = flop * row.images_per_s / (1e12 * peaks["inference"].tflops)
    return row.model_copy(update={"share_of_peak": share})


def _training(
    case: Case, clock: StepClock | None, step: Operations | None, peaks: dict[str, Peak]
) -> Training | None:
    """Return what the clock saw; None if the method never reported its progress."""
    if clock is None:
        return None
    steps, milliseconds = clock.windows()
    if not len(steps):
        return None
    time = timing(milliseconds)
    images_per_s = 1000 * case.batch / time.median_ms
    peak = peaks.get("training")
    achieved = (0.0 if step is None else step.computed) * images_per_s / 1e12
    printed = None if peak is None else peak.datasheet_tflops
    return Training(
        batch=case.batch,
        images_per_s=images_per_s,
        time=Spread(**asdict(time)),
        steps=int(steps.sum()),
        threads=clock.threads,
        share_of_peak=None if peak is None else achieved / peak.tflops,
        share_of_datasheet=None if printed is None else achieved / printed,
    )


def _sweep(case: Case) -> Sweep | None:
    from kpbench.throughput_sweep import sweep

    return sweep(case)
