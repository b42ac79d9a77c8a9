"""A speed record as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kpbench.speed.measure import Unmeasured
from kpbench.speed.record import SpeedRecord, Spread

if TYPE_CHECKING:
    from rich.table import Table


def table(found: SpeedRecord | Unmeasured) -> Table:
    """Return a row for each thing that was measured."""
    from rich.table import Table

    title = found.method
    if isinstance(found, SpeedRecord):
        title += (
            f", {found.recipe}, {found.pixels} px, {found.device_name}, threads: {found.threads}"
        )
    made = Table("what", "measured", title=title, title_justify="left")
    rows = [("not measured", found.reason)] if isinstance(found, Unmeasured) else list(_rows(found))
    for what, measured in rows:
        made.add_row(what, measured)
    return made


def _rows(record: SpeedRecord) -> Iterator[tuple[str, str]]:
    if record.random_weights:
        yield "random weights", f"{', '.join(record.random_weights)}: for timing alone"
    for row in record.inference:
        text = f"{row.images_per_s:,.0f} images/s, {_time(row.time)}{_share(row.share_of_peak)}"
        yield f"predict, batch {row.batch}", text
    if (training := record.training) is not None:
        text = f"{training.images_per_s:,.1f} images/s, {_time(training.time)} a step"
        yield f"train, batch {training.batch}", text + _share(training.share_of_peak)
    yield from _sizes(record)
    for peak in record.peaks:
        text = f"{peak.tflops:,.3g} TFLOP/s measured"
        text += f", {peak.datasheet_tflops:,g} printed" if peak.datasheet_tflops else ""
        yield f"peak in {peak.use}", f"{text} ({peak.arithmetic}, threads: {peak.threads})"
    for cell in record.sweep.cells if record.sweep is not None else ():
        share = "" if cell.edge_map_share is None else f", edge map {cell.edge_map_share:.0%}"
        memory = "" if cell.peak_memory_mib is None else f", {cell.peak_memory_mib:,.0f} MiB"
        what = f"step, K = {cell.n_keypoints}, {cell.pixels} px, batch {cell.batch}"
        yield what, f"{_time(cell.time)}{memory}{share}"


def _sizes(record: SpeedRecord) -> Iterator[tuple[str, str]]:
    memory, size = record.memory, record.size
    if memory.training_mib is not None:
        yield "memory, train", f"{memory.training_mib:,.0f} MiB"
    if memory.inference_mib is not None:
        text = f"{memory.inference_mib:,.0f} MiB ({memory.how})"
        yield f"memory, predict, batch {memory.inference_batch}", text
    trained = "" if size.trained is None else f", {size.trained:,} trained"
    yield "numbers", f"{size.kept:,} kept{trained}"
    for what, gflop in (("predict", size.predict), ("train", size.step)):
        if gflop is not None and gflop.computed:
            yield f"operations, {what}", f"{gflop.computed:,.4g} GFLOP an image"


def _time(time: Spread) -> str:
    return f"{time.median_ms:,.2f} ms (p05 {time.p05_ms:,.2f}, p95 {time.p95_ms:,.2f})"


def _share(share: float | None) -> str:
    return "" if share is None else f", {share:.1%} of peak"
