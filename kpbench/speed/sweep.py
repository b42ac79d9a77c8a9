"""How the cost of a training step grows with K and with the size of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

from kpbench.api import Array, Method
from kpbench.errors import TrainingError
from kpbench.speed.process import time_training
from kpbench.speed.record import Spread, SweepCell
from kpbench.speed.timing import measure, timing
from kpbench.speed.training import Case, fitted

KEYPOINTS, SIZES = (8, 16, 32, 64), (64, 128, 256)


def sweep_cells(
    case: Case, keypoints: Sequence[int] = KEYPOINTS, sizes: Sequence[int] = SIZES
) -> Iterator[SweepCell]:
    """Measure a training step for every K and size.

    Yields:
        Each cell once it is measured; none for a method without the parameters `steps`,
        `batch_size` and `image_size`.

    Raises:
        TrainingError: the method does not report its progress.
    """
    if not case.trains or "image_size" not in case.params:
        return
    for size in sizes:
        for k in keypoints:
            yield _cell(replace(case, n_keypoints=k, pixels=size, overrides={"image_size": size}))


def _cell(case: Case) -> SweepCell:
    dependency = case.dependency()
    run = time_training(case, dependency)
    if not len(run.steps):
        raise TrainingError(f"{case.method} does not report its progress, step by step")
    return SweepCell(
        n_keypoints=case.n_keypoints,
        pixels=case.pixels,
        batch=case.batch,
        time=Spread(**asdict(timing(run.milliseconds))),
        peak_memory_mib=run.peak_mib,
        edge_map_ms=_edge_map_ms(case, fitted(case, dependency), run.threads),
    )


def _edge_map_ms(case: Case, method: Method, threads: int) -> float | None:
    """Return the median time of the edge map, forward and backward, as in a step of this method."""
    found = method.predict(case.images(case.batch, method.inputs))
    if found.graph is None or "thickness" not in case.params:
        return None
    from kpbench.nn.fast import torch_threads

    with torch_threads(threads):
        call = _edge_map(case, found.points, found.graph)
        return measure(call, case.device, warmup=2, repeats=7).median_ms


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
