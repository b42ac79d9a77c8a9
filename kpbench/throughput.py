"""How fast a method is: images per second, latency, memory, size and FLOPs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbench.api import FitContext, ImageSet, Method
from kpbench.errors import KpbenchError
from kpbench.provenance import collect
from kpbench.registry import load_method

if TYPE_CHECKING:
    from rich.table import Table

    from kpbench.run import Settings

PIXELS = {"smoke": 32, "quick": 64, "paper": 128}
N_KEYPOINTS = 16
SHORT, LONG = 4, 16


@dataclass(frozen=True)
class Inference:
    """`predict` on one batch size: median and spread over the repeats."""

    batch: int
    images_per_s: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Throughput:
    """What was measured for one method, or why nothing could be."""

    method: str
    recipe: str
    pixels: int
    inference: Sequence[Inference] = ()
    training_images_per_s: float | None = None
    training_ms_per_step: float | None = None
    values: int | None = None
    gflop_per_image: float | None = None
    peak_memory_mib: float | None = None
    machine: dict[str, Any] | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    def table(self) -> Table:
        """Return a table for the terminal."""
        from rich.table import Table

        title = f"{self.method}, {self.recipe}, {self.pixels} px"
        table = Table("what", "measured", title=title, title_justify="left")
        if self.reason:
            table.add_row("not measured", self.reason)
        for row in self.inference:
            table.add_row(
                f"predict, batch {row.batch}",
                f"{row.images_per_s:,.0f} images/s, {row.p50_ms:.2f} ms (p95 {row.p95_ms:.2f})",
            )
        if self.training_images_per_s is not None:
            table.add_row(
                "train",
                f"{self.training_images_per_s:,.1f} images/s, "
                f"{self.training_ms_per_step:,.1f} ms a step",
            )
        for name, value, unit in (
            ("kept values", self.values, ""),
            ("predict", self.gflop_per_image, "GFLOP an image"),
            ("peak memory", self.peak_memory_mib, "MiB"),
        ):
            if value is not None:
                table.add_row(name, f"{value:,.6g} {unit}".strip())
        return table


def throughput_of(
    name: str, settings: Settings, batches: Sequence[int], repeats: int
) -> Throughput:
    """Measure one method on random images, K = 16.

    Training speed is the difference between a run of 4 and one of 16 steps after a first of one,
    so that imports and start-up do not count; it needs the parameters `steps` and `batch_size`.
    Inference is the median of the repeats.

    Raises:
        UnknownNameError: no such method.
    """
    pixels = PIXELS[settings.recipe]
    if settings.device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    try:
        fitted, step = _fit(name, settings, pixels)
        images = _images(max(batches), pixels).restricted(fitted.inputs)
        inference = [_inference(fitted, images[:batch], repeats) for batch in batches]
        gflop = _gflop(fitted, images[:1])
    except KpbenchError as error:
        return Throughput(name, settings.recipe, pixels, reason=str(error))
    return Throughput(
        name,
        settings.recipe,
        pixels,
        inference,
        training_images_per_s=None if step is None else fitted.params()["batch_size"] / step,
        training_ms_per_step=None if step is None else 1000 * step,
        values=_values(fitted),
        gflop_per_image=gflop,
        peak_memory_mib=_peak_memory(settings.device),
        machine=collect(settings.device),
    )


def _images(n: int, pixels: int) -> ImageSet:
    rng = np.random.default_rng(0)
    size = (n, pixels, pixels)
    return ImageSet(
        rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        depth=rng.integers(1000, 5000, size, dtype=np.uint16),
        mask=rng.random(size) < 0.2,
        frames=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
    )


def _fit(name: str, settings: Settings, pixels: int) -> tuple[Method, float | None]:
    """Return a method fitted for a few steps, and the seconds that one step takes."""
    plugin = load_method(name)
    dependency = None
    if plugin.depends_on is not None:
        dependency, _ = _fit(plugin.depends_on, settings, pixels)
    params = plugin.configured(role="human36m", recipe=settings.recipe, overrides={}).params()
    trains = {"steps", "batch_size"} <= set(params)
    seconds = {}
    for steps in (1, SHORT, LONG) if trains else (0,):
        method = plugin.configured(
            role="human36m",
            recipe=settings.recipe,
            overrides={"steps": steps} if trains else {},
        )
        images = _images(max(2 * int(params.get("batch_size", 1)), 2), pixels)
        context = FitContext(
            settings.device, settings.precision, settings.recipe, dependency=dependency
        )
        clock = time.perf_counter()
        method.fit(
            images.restricted(method.needs), n_keypoints=N_KEYPOINTS, seed=0, context=context
        )
        seconds[steps] = time.perf_counter() - clock
    if not trains:
        return method, None
    return method, max(seconds[LONG] - seconds[SHORT], 1e-9) / (LONG - SHORT)


def _inference(method: Method, images: ImageSet, repeats: int) -> Inference:
    """Time `predict`, which returns numpy arrays and so waits for the device."""
    for _ in range(3):
        method.predict(images)
    times = []
    for _ in range(repeats):
        clock = time.perf_counter()
        method.predict(images)
        times.append(time.perf_counter() - clock)
    p50, p95 = np.quantile(times, [0.5, 0.95])
    return Inference(len(images), float(len(images) / p50), float(1000 * p50), float(1000 * p95))


def _gflop(method: Method, images: ImageSet) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        method.predict(images)
    return float(counter.get_total_flops()) / 1e9


def _values(method: Method) -> int:
    """Count the numbers that a checkpoint of the method keeps."""
    from safetensors.numpy import load

    from kpbench.checkpoint import ARRAYS

    with tempfile.TemporaryDirectory() as folder:
        method.save(Path(folder))
        path = Path(folder) / ARRAYS
        return sum(a.size for a in load(path.read_bytes()).values()) if path.exists() else 0


def _peak_memory(device: str) -> float | None:
    if device != "cuda":
        return None
    import torch

    return float(torch.cuda.max_memory_allocated()) / 2**20
