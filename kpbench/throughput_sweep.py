"""How the cost of a training step grows with K and with the size of the images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from kpbench import throughput_memory as memory
from kpbench.api import Array, Method
from kpbench.errors import TrainingError
from kpbench.provenance import collect, now
from kpbench.throughput_records import Spread, Sweep, SweepCell
from kpbench.throughput_training import Case, StepClock, fitted
from kpbench.timing import measure, timing

KEYPOINTS, SIZES = (8, 16, 32, 64), (64, 128, 256)
_STEPS = {"cpu": 6, "cuda": 300}


def sweep(
    case: Case, keypoints: Sequence[int] = KEYPOINTS, sizes: Sequence[int] = SIZES
) -> Sweep | None:
    """Measure a training step for every K and size.

    Returns:
        None for a method without the parameters `steps`, `batch_size` and `image_size`.

    Raises:
        TrainingError: the method does not report its progress.
    """
    if not case.trains or "image_size" not in case.params:
        return None
    cells = [
        _cell(replace(case, n_keypoints=k, pixels=size, overrides={"image_size": size}))
        for size in sizes
        for k in keypoints
    ]
    return Sweep(finished=now(), commit=collect(case.device)["commit"], cells=tuple(cells))


def _cell(case: Case) -> SweepCell:
    dependency = case.dependency()
    clock = StepClock(case.device)

    def train() -> Method:
        return fitted(case, dependency, steps=_STEPS[case.device], progress=clock)

    peak: float | None
    if case.device == "cuda":
        method, peak = memory.on_cuda(train)
    else:
        method, peak = train(), _memory(case, dependency)
    _, milliseconds = clock.windows()
    if not len(milliseconds):
        raise TrainingError(f"{case.method} does not report its progress, step by step")
    return SweepCell(
        n_keypoints=case.n_keypoints,
        pixels=case.pixels,
        batch=case.batch,
        time=Spread(**asdict(timing(milliseconds))),
        peak_memory_mib=peak,
        edge_map_ms=_edge_map_ms(case, method, clock.threads),
    )


def _memory(case: Case, dependency: Method | None) -> float | None:
    if dependency is None:
        return memory.of_training(case, None)
    with tempfile.TemporaryDirectory() as folder:
        dependency.save(Path(folder))
        return memory.of_training(case, Path(folder))


def _edge_map_ms(case: Case, method: Method, threads: int) -> float | None:
    """Return the median time of the edge map, forward and backward, as in a step of this method."""
    import torch

    images = case.images(case.batch).restricted(method.inputs)
    found = method.predict(images)
    if found.graph is None or "thickness" not in case.params:
        return None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        call = _edge_map(case, found.points, found.graph)
        return measure(call, case.device, repeats=10).median_ms
    finally:
        torch.set_num_threads(before)


def _edge_map(case: Case, points: Array, graph: Array) -> Callable[[], object]:
    import torch

    from kpbench.nn import edge_ends, edge_map

    first, second = (ends.numpy() for ends in edge_ends(case.n_keypoints))
    at, weights = (
        torch.tensor(values, dtype=torch.float32, device=case.device).requires_grad_()
        for values in (points, graph[first, second])
    )
    size = (case.pixels, case.pixels)
    upstream = torch.rand(len(points), 1, *size, device=case.device)

    def call() -> None:
        drawn = edge_map(at, weights, size, case.params["thickness"])
        torch.autograd.grad(drawn, [at, weights], upstream)

    return call
