"""The page of speed: what was measured for each method and device, and accuracy against it."""

from __future__ import annotations

from collections.abc import Sequence

from kpbench.boards.board import Board
from kpbench.boards.pages.markdown import GENERATED, MISSING, spread, table
from kpbench.boards.pages.plots import Plot
from kpbench.boards.pages.speed_points import by_device, comparable, panel, plot_of
from kpbench.boards.row import Row
from kpbench.registry import on_boards, place_of
from kpbench.speed.record import Gflop, SpeedRecord, Spread, SweepCell

NAME, PLOT = "speed.md", "speed.png"
NOT_MEASURED = "not measured"
_HEAD = f"{GENERATED}what `speed/` holds, and for scores `results/`; do not edit.\n"
_EXPLAIN = """\
`kpbench throughput --save` measures, `kpbench leaderboard` writes this page. A time is a median,
in brackets the 5th and 95th percentiles: of calls of `predict`, or of windows of training steps.
Training is the recipe's own, watched until enough was seen; what it prepares before the first step
(outputs of frozen networks that are kept, compiled networks) is its start-up, under "Records".
`predict` starts with images in host memory and ends with keypoints there, copies included; its
latency is that of one image. A share of the peak is what convolutions and matrix products compute
a second, divided by a large matrix product of the same arithmetic on as many threads, measured in
the same run; where our code computes less than the method is defined to (folded kernels), the
smaller number counts. Operations are those of the definition and, in brackets, of our code.
Memory is, on a CPU, the growth of a fresh process's peak resident memory, libraries and images
loaded before, on CUDA `torch.cuda.max_memory_allocated`.
"""
_FRONT = """\
Score: the mean over seeds under the default evaluator, from the records of the same recipe. Marked
with ✓: Pareto-optimal, no other method is at least as accurate and at least as fast and better in
one of the two. Speed is that of `predict` at its best batch. References take no part.
"""
_SWEEP = """\
One training step against the number of keypoints and the size of the images; the share is that of
the edge map, drawn and differentiated alone between points that the method detects.
"""


def pages(records: Sequence[SpeedRecord], boards: Sequence[Board]) -> dict[str, str]:
    """Return the page by its name; nothing without records of a recipe that is on boards.

    Args:
        records: of `kpbench.speed.record.all_speed_records`.
        boards: of `kpbench.boards.board.read_boards`: who is how accurate.
    """
    shown = [record for record in records if on_boards(record.recipe)]
    if not shown:
        return {}
    lines = ["# Accuracy against speed", "", _HEAD, _EXPLAIN]
    plotted = plot_of(boards, shown) is not None
    for recipe in sorted({record.recipe for record in shown}, key=place_of):
        here = [record for record in shown if record.recipe == recipe]
        lines += [f"## {recipe} recipe", "", *_speed(here)]
        lines += _accuracy([board for board in boards if board.recipe == recipe], here)
        lines += _sweeps(here)
        lines += _provenance(here)
    if plotted:
        at = lines.index(_EXPLAIN) + 1
        lines[at:at] = [f"![Accuracy against images per second]({PLOT})", ""]
    return {NAME: "\n".join(lines).rstrip() + "\n"}


def plots(records: Sequence[SpeedRecord], boards: Sequence[Board]) -> dict[str, Plot]:
    """Return the plot by its name; nothing where no method has both a score and a speed."""
    found = plot_of(boards, [record for record in records if on_boards(record.recipe)])
    return {} if found is None else {PLOT: found}


_COLUMNS = (
    "method", "device", "predict, images/s", "latency, ms", "best batch, ms",
    "predict, of peak", "train, images/s", "step, ms", "train, of peak", "memory, MiB: train",
    "predict", "GFLOP an image: train", "predict", "numbers trained", "kept",
)  # fmt: skip


def _speed(records: Sequence[SpeedRecord]) -> list[str]:
    cells = [_speed_cells(r) for own in by_device(records).values() for r in own]
    if not any(record.device == "cuda" for record in records):
        cells.append(["all", "CUDA", *[NOT_MEASURED] * (len(_COLUMNS) - 2)])
    return table(_COLUMNS, cells)


def _speed_cells(record: SpeedRecord) -> list[str]:
    best, training, size = record.best, record.training, record.size
    step = MISSING if training is None else _time(training.time)
    return [
        record.method + (" (random weights)" if record.random_weights else ""),
        record.device_name,
        f"{_digits(best.images_per_s)} (batch {best.batch})",
        _time(record.first.time) if record.first.batch == 1 else MISSING,
        _time(best.time),
        _share(best.share_of_peak),
        MISSING if training is None else _digits(training.images_per_s),
        step if training is None else f"{step}, batch {training.batch}",
        _share(None if training is None else training.share_of_peak),
        _rounded(record.memory.training_mib),
        _rounded(record.memory.inference_mib),
        _operations(size.step),
        _operations(size.predict),
        MISSING if size.trained is None else f"{size.trained:,}",
        f"{size.kept:,}",
    ]


def _accuracy(boards: Sequence[Board], records: Sequence[SpeedRecord]) -> list[str]:
    lines: list[str] = []
    for board in comparable(boards, records):
        devices = by_device(records)
        panels = {name: panel(board, name, own) for name, own in devices.items()}
        speeds = {
            (name, point.label): _digits(point.images_per_s) + (" ✓" if point.optimal else "")
            for name, found in panels.items()
            for point in found.points
        }
        columns = list(devices)
        if not any(record.device == "cuda" for record in records):
            columns.append("CUDA")
        measured = {label for _, label in speeds}
        cells = [
            _accuracy_cells(board, row, [speeds.get((n, row.label), NOT_MEASURED) for n in columns])
            for row in sorted(
                (row for row in board.complete(board.evaluator) if row.label in measured),
                key=lambda row: (_sign(board) * row.mean(board.evaluator), row.label),
            )
        ]
        score = board.example(board.evaluator)
        head = f"{score.metric} ({score.unit}) {'↑' if score.higher_is_better else '↓'}"
        title = f"{board.protocol} v{board.version}, K = {board.n_keypoints}, scored on"
        lines += [f"### {title} {board.device}", "", f"`{board.evaluator}`", ""]
        lines += table(["method", "told besides RGB", head, "seeds", *columns], cells)
    return [*_FRONT.splitlines(), "", *lines] if lines else []


def _sign(board: Board) -> int:
    return -1 if board.example(board.evaluator).higher_is_better else 1


def _accuracy_cells(board: Board, row: Row, speeds: Sequence[str]) -> list[str]:
    values = row.values(board.evaluator)
    return [row.label, row.supervision or MISSING, spread(values), str(len(values)), *speeds]


def _sweeps(records: Sequence[SpeedRecord]) -> list[str]:
    lines: list[str] = []
    for record in records:
        if record.sweep is None:
            continue
        cells = record.sweep.cells
        sizes = sorted({cell.pixels for cell in cells})
        rows = [
            [f"{k}", *(_sweep_cell(cells, k, size) for size in sizes)]
            for k in sorted({cell.n_keypoints for cell in cells})
        ]
        lines += [f"### Cost of a step: {record.method} on {record.device_name}", ""]
        made = _made(record.sweep.finished, record.sweep.commit)
        lines += [f"Batches of {cells[0].batch} images; {made}.", ""]
        lines += table(["K", *(f"{size} x {size} px" for size in sizes)], rows)
    return [*_SWEEP.splitlines(), "", *lines] if lines else []


def _made(finished: str, commit: str | None) -> str:
    return f"{finished[:10]}, commit {(commit or 'unknown')[:7]}"


def _sweep_cell(cells: Sequence[SweepCell], k: int, pixels: int) -> str:
    for cell in cells:
        if (cell.n_keypoints, cell.pixels) == (k, pixels):
            step, memory = _digits(cell.time.median_ms), _rounded(cell.peak_memory_mib)
            return f"{step} ms, {memory} MiB, {_share(cell.edge_map_share)}"
    return MISSING


def _provenance(records: Sequence[SpeedRecord]) -> list[str]:
    lines = ["Records:", ""]
    for record in records:
        made = record.provenance
        packages = made.get("packages", {})
        text = (
            f"- {record.method}: {record.device_name}, {made.get('cores', '?')} cores, "
            f"threads: {record.threads} at prediction"
        )
        if record.training is not None:
            text += f", {record.training.threads} in training"
            text += f", which takes {_digits(record.training.startup_s)} s to start"
        text += f"; {record.precision}; K = {record.n_keypoints}; images of {record.pixels} px; "
        text += f"torch {packages.get('torch', 'unknown')}; "
        lines.append(text + _made(record.finished, made.get("commit")))
        lines += [
            f"  - peak in {p.use}: {p.tflops:.3g} TFLOP/s measured"
            + (f", {p.datasheet_tflops:g} printed ({p.datasheet})" if p.datasheet_tflops else "")
            + f", {p.arithmetic}, threads: {p.threads}"
            for p in record.peaks
        ]
        if record.random_weights:
            lines.append(
                f"  - random weights, for timing alone: {', '.join(record.random_weights)}"
            )
    return [*lines, ""]


def _time(time: Spread) -> str:
    return f"{_digits(time.median_ms)} ({_digits(time.p05_ms)} to {_digits(time.p95_ms)})"


def _operations(found: Gflop | None) -> str:
    if found is None or not found.computed:
        return MISSING
    if found.recipe is None:
        return _digits(found.computed)
    return f"{_digits(found.recipe)} ({_digits(found.computed)})"


def _digits(value: float) -> str:
    """Return three significant digits, without an exponent.

    Example:
        >>> _digits(1234.5), _digits(12.345), _digits(0.012345), _digits(0)
        ('1,230', '12.3', '0.0123', '0')
    """
    if not value:
        return "0"
    rounded = float(f"{value:.2e}")
    if rounded >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:.{max(0, 2 - int(f'{value:.2e}'.partition('e')[2]))}f}"


def _rounded(mib: float | None) -> str:
    return MISSING if mib is None else f"{mib:,.0f}"


def _share(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f} %"
