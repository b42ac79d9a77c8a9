"""Speed: what is counted, in which process, against which peak, and that records say how."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

import kpbench.nn
from kpbench.api import MethodBase
from kpbench.cli.main import main
from kpbench.errors import KpbenchError, TrainingError
from kpbench.nn import Detector
from kpbench.nn.detector import HalvingConv
from kpbench.registry import load_protocol
from kpbench.running.resolve import Settings
from kpbench.speed import measure as throughput
from kpbench.speed import peak as throughput_peak
from kpbench.speed import process as throughput_process
from kpbench.speed import sweep as throughput_sweep
from kpbench.speed import training as throughput_training
from kpbench.speed.measure import Unmeasured, throughput_of
from kpbench.speed.peak import DATASHEET, arithmetic_of, measure_peak
from kpbench.speed.process import TrainingRun, prediction_memory, time_training
from kpbench.speed.record import Peak, SpeedRecord, SweepCell, read_speed_record
from kpbench.speed.sweep import sweep_cells
from kpbench.speed.table import table
from kpbench.speed.timing import Timing
from kpbench.speed.training import (
    IMAGES,
    PIXELS,
    Case,
    Enough,
    StepClock,
    fitted,
    predict_operations,
    step_operations,
)
from tests.conftest import Install, bright
from tests.speed.test_record import a_sweep, speed_record, spread

CONVOLVES = '''
"""Convolves, twice where nothing may make it faster."""
from dataclasses import dataclass

import numpy as np

from kpbench import Keypoints, MethodBase


@dataclass
class Convolves(MethodBase):
    name = "convolves"
    steps: int = 1000
    batch_size: int = 4
    reports: bool = True
    mib: int = 0

    def fit(self, images, *, n_keypoints, seed, context):
        import torch

        self.k, self.conv = n_keypoints, torch.nn.Conv2d(3, 5, 3, padding=1)
        optimiser = torch.optim.SGD(self.conv.parameters(), lr=1e-3)
        {fit}
        for step in range(self.steps):
            x = self.seen(images.images[: self.batch_size])
            loss = self.conv(x).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if self.reports:
                context.progress(step + 1, self.steps, "")

    def seen(self, images):
        import torch

        return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255

    def predict(self, images):
        import torch

        with torch.inference_mode():
            self.conv(self.seen(images.images))
        {predict}
        return Keypoints(np.full((len(images), self.k, 2), 0.5))

    def state(self):
        return {{name: value.numpy() for name, value in self.conv.state_dict().items()}}

    def restore(self, state):
        import torch

        self.k, self.conv = 16, torch.nn.Conv2d(3, 5, 3, padding=1)
        self.conv.load_state_dict({{n: torch.from_numpy(np.array(v)) for n, v in state.items()}})


PLUGIN = Convolves()
'''
FORWARD = 2 * 5 * 3 * 9 * 32 * 32
"""Multiplications and additions of the convolution on one image of 32 x 32."""
CASE = Case("convolves", "smoke", pixels=32)


def convolves(install: Install, *, fit: str = "pass", predict: str = "pass") -> None:
    install("methods", {"convolves": CONVOLVES.format(fit=fit, predict=predict)})


def smoke(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "results", recipe="smoke")


class Times:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)


def test_windows_leave_out_the_start_and_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    times = Times(monkeypatch)
    clock = StepClock("cpu")
    for done, seconds in enumerate([100, 50, 1, 2, 4], start=1):
        times.now += seconds
        clock(done, 9, "")
    steps, milliseconds = clock.windows()
    assert steps.tolist() == [1, 1, 1]
    assert milliseconds.tolist() == [1000, 2000, 4000]
    assert clock.startup_s == 100


def test_a_training_ends_when_there_are_enough_windows_and_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = Times(monkeypatch)
    for seconds, wanted in (100.0, 7), (0.5, 10):  # as few as allowed; four seconds after step 2
        clock, done = StepClock("cpu"), 0
        with pytest.raises(Enough):
            while done < 50:
                done += 1
                times.now += seconds
                clock(done, 50, "")
        assert done == wanted


def test_on_cuda_the_device_is_waited_for_once_in_a_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times, waits = Times(monkeypatch), []

    def synchronize() -> None:
        waits.append(times.now)
        times.now += 1.0  # what was queued ahead

    monkeypatch.setattr(torch, "cuda", SimpleNamespace(synchronize=synchronize))
    clock = StepClock("cuda")
    for done in range(1, 90):
        times.now += 0.01
        clock(done, 500, "")
    assert len(waits) == 4
    steps, milliseconds = clock.windows()
    assert steps.tolist() == [20, 20]
    assert milliseconds == pytest.approx([60, 60])  # 20 steps of 10 ms, and the second waited for


def test_a_training_without_reports_has_no_windows() -> None:
    steps, milliseconds = StepClock("cpu").windows()
    assert len(steps) == len(milliseconds) == 0


def test_operations_are_those_of_the_formula(install: Install, tmp_path: Path) -> None:
    convolves(install)
    method = fitted(CASE, None)
    method.save(tmp_path)
    assert predict_operations(CASE, tmp_path, method.params()) == FORWARD
    step, trained = step_operations(CASE, None)
    # backward: as many again for the weights, none for the images
    assert step == 2 * FORWARD
    assert trained == 5 * 3 * 9 + 5


def test_operations_of_a_method_that_reports_nothing_are_not_known(install: Install) -> None:
    convolves(install)
    case = replace(CASE, overrides={"reports": False, "steps": 3})
    step, trained = step_operations(case, None)
    assert step is None
    assert trained == 140


def convolutions(net: nn.Module, size: int) -> float:
    """Count multiplications and additions from what enters each layer."""
    counts = []

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        count = 2 * layer.weight.numel() * inputs[0].shape[-2] * inputs[0].shape[-1]
        if isinstance(layer, HalvingConv):  # 4 x 4 and stride 2 in place of 3 x 3
            count = count * 16 // 9 // 4
        counts.append(count)

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(note)
    net.eval()(torch.zeros(1, 3, size, size))
    return float(sum(counts))


def test_the_detectors_operations_are_the_sum_over_its_layers(tmp_path: Path) -> None:
    case = Case("random_detector", "smoke", pixels=32)
    method = fitted(case, None)
    method.save(tmp_path)
    found = predict_operations(case, tmp_path, method.params())
    assert found == convolutions(Detector(16, 4), 32)


def test_the_peak_is_arithmetic_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure_peak("training", "float32", "cpu", 1, "a CPU", repeats=3)
    assert found.tflops == pytest.approx(2 * 1024**3 / (found.time.p05_ms * 1e-3) / 1e12)
    assert found.datasheet_tflops is None
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    seen = []

    def measure(call: object, device: str, **_: object) -> Timing:
        seen.append((torch.get_num_threads(), torch.get_float32_matmul_precision(), device))
        return Timing(2.0, 1.0, 3.0, 20)

    monkeypatch.setattr(throughput_peak, "measure", measure)
    found = measure_peak("inference", "tf32", "cpu", 3, "NVIDIA H200")
    assert seen == [(3, "high", "cpu")]
    assert found.tflops == 2 * 1024**3 / 1e9
    assert (found.datasheet_tflops, bool(found.datasheet)) == (494.7, True)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_arithmetic_of_precisions_and_printed_peaks() -> None:
    wanted = {
        "bf16-mixed": "bfloat16", "bf16-true": "bfloat16", "16-mixed": "float16",
        "16-true": "float16", "32-true": "float32", "64-true": "float64",
    }  # fmt: skip
    assert {name: arithmetic_of(name) for name in wanted} == wanted
    for name, (figures, source) in DATASHEET.items():
        assert figures["bfloat16"] / figures["tf32"] == pytest.approx(2, rel=1e-3), name
        assert "without sparsity" in source


def test_memory_is_that_of_the_work_alone(install: Install, tmp_path: Path) -> None:
    block = "self.block = np.ones(self.mib * 2**17)"
    convolves(install, predict=block, fit=block)
    held = np.ones(400 * 2**17)  # this process's memory must not count
    work = []
    for mib in (0, 200):  # what libraries first use when they work is in both
        case = replace(CASE, overrides={"mib": mib, "steps": 20})
        method = fitted(case, None)
        method.save(tmp_path / str(mib))
        run = time_training(case, None)
        predicted = prediction_memory(case, tmp_path / str(mib), dict(method.params()), batch=2)
        assert predicted is not None and run.peak_mib is not None
        work.append((predicted, run.peak_mib))
        assert len(run.steps) >= 5
    assert max(work[0]) < 300
    assert np.subtract(work[1], work[0]) == pytest.approx([200, 200], abs=40)
    assert held.nbytes == 400 * 2**20


@pytest.mark.parametrize("movable", [True, False])
def test_memory_on_a_gpu_is_that_of_a_process_that_predicts_there(
    movable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Predicts(MethodBase):
        name = "predicts"

        def fit(self, *_: Any, **__: Any) -> None: ...

        def load(self, folder: Path) -> None:
            seen.append("loaded")

        def predict(self, images: Any) -> Any:
            seen.append(len(images))

    class Moves(Predicts):
        def to(self, device: str) -> None:
            seen.append(device)

    def in_a_process(device: str, function: Callable[..., Any], *arguments: Any) -> Any:
        seen.append(f"process for {device}")
        return function(None, *arguments)

    monkeypatch.setattr(throughput_process, "_in_a_fresh_process", in_a_process)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 7 * 2**20)
    method: Any = Moves() if movable else Predicts()
    monkeypatch.setattr(Case, "configured", lambda self, **_: method)
    found = prediction_memory(replace(CASE, device="cuda"), tmp_path, {}, batch=3)
    if movable:
        assert (found, seen) == (7.0, ["process for cuda", "loaded", "cuda", 3])
    else:
        assert (found, seen) == (None, ["process for cuda", "loaded"])


def test_a_process_that_dies_is_an_error_in_words(install: Install, tmp_path: Path) -> None:
    convolves(install, fit="import os; os._exit(9) if self.steps > 1 else None")
    with pytest.raises(KpbenchError, match="process that measures died"):
        time_training(CASE, None)
    [found] = throughput_of("convolves", smoke(tmp_path), [1], 3)
    assert isinstance(found, Unmeasured)
    assert found.failed
    assert "process that measures died" in found.reason


def test_what_a_training_raises_arrives(install: Install) -> None:
    convolves(
        install,
        fit="from kpbench.errors import TrainingError; raise TrainingError('it diverged')",
    )
    with pytest.raises(TrainingError, match="it diverged"):
        time_training(CASE, None)


def test_random_weights_stand_in_and_the_record_says_so(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    convolves(install, fit="from kpbench.nn.perceptual import trained_vgg16; trained_vgg16()")
    [found] = throughput_of("convolves", smoke(tmp_path), [1], 3)
    assert isinstance(found, SpeedRecord)
    assert found.random_weights == ("vgg16",)
    assert not (tmp_path / "hub").exists()


def test_the_command_measures_saves_and_goes_on_after_a_method_that_cannot(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convolves(install)
    install("methods", {"broken": bright("broken", predict="1 / 0")})
    words = ["throughput", "-m", "oracle", "-m", "convolves", "-m", "mean_shape", "--json"]
    words += ["--recipe", "smoke", "--batch", "4", "--batch", "1", "--repeats", "3"]
    assert main([*words, "--save", str(tmp_path / "speed")]) == 0
    oracle, found, still = json.loads(capsys.readouterr().out)
    assert "reads labels" in oracle["reason"]
    assert [row["batch"] for row in found["inference"]] == [1, 4]
    for row in found["inference"]:
        assert row["images_per_s"] == pytest.approx(1000 * row["batch"] / row["time"]["median_ms"])
        assert row["time"]["p05_ms"] <= row["time"]["median_ms"] <= row["time"]["p95_ms"]
    training = found["training"]
    assert training["images_per_s"] == pytest.approx(4000 / training["time"]["median_ms"])
    peak = {peak["use"]: peak["tflops"] for peak in found["peaks"]}
    assert training["share_of_peak"] == pytest.approx(
        2 * FORWARD * training["images_per_s"] / 1e12 / peak["training"]
    )
    assert found["inference"][0]["share_of_peak"] == pytest.approx(
        FORWARD * found["inference"][0]["images_per_s"] / 1e12 / peak["inference"]
    )
    assert (found["size"]["kept"], found["size"]["trained"]) == (140, 140)
    assert found["provenance"]["packages"]["torch"]
    assert found["params"]["steps"] == 1000  # the recipe's, not those of the measurement
    assert (still["training"], still["peaks"]) == (None, [])
    kept = {read_speed_record(path).method for path in (tmp_path / "speed").glob("*.json")}
    assert kept == {"convolves", "mean_shape"}


def test_a_trained_method_and_its_student_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["throughput", "-m", "distill_dkp", "--recipe", "smoke", "--repeats", "3"]
    assert main([*words, "--batch", "2"]) == 0
    shown = capsys.readouterr().out
    for text in ("predict, batch 2", "train, batch 4", "memory, train", "GFLOP", "of peak"):
        assert text in shown, text


def test_the_sweep_measures_every_size_and_k(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput_training, "_SECONDS", {"cpu": 0.0})
    trained: list[tuple[int, int, int]] = []

    def time_training(case: Case, dependency: None) -> TrainingRun:
        size = case.configured().params()["image_size"]
        trained.append((case.n_keypoints, case.pixels, size))
        return throughput_process.time_training(case, dependency)

    monkeypatch.setattr(throughput_sweep, "time_training", time_training)
    found = list(sweep_cells(Case("autolink", "smoke"), keypoints=(4, 6), sizes=(16, 32)))
    wanted = [(4, 16), (6, 16), (4, 32), (6, 32)]
    assert [(cell.n_keypoints, cell.pixels) for cell in found] == wanted
    assert trained == [(k, size, size) for k, size in wanted]
    for cell in found:
        assert cell.edge_map_ms is not None
        assert cell.peak_memory_mib is not None and cell.peak_memory_mib > 1


def test_the_edge_map_of_a_sweep_is_drawn_at_its_size_and_has_a_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[torch.Tensor] = []
    gradients: list[Any] = []
    draw, differentiate = kpbench.nn.edge_map, torch.autograd.grad

    def edge_map(points: Any, weights: Any, size: Any, thickness: float) -> torch.Tensor:
        drawn.append(draw(points, weights, size, thickness))
        assert (size, thickness) == ((24, 24), 0.125)
        assert weights.tolist() == [1, 2, 3]  # above the diagonal, row by row
        return drawn[-1]

    def grad(*arguments: Any) -> Any:
        gradients.append(arguments)
        return differentiate(*arguments)

    monkeypatch.setattr(kpbench.nn, "edge_map", edge_map)
    monkeypatch.setattr(torch.autograd, "grad", grad)
    overrides = {"thickness": 0.125}
    case = Case("autolink", "smoke", n_keypoints=3, pixels=24, overrides=overrides)
    graph = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    throughput_sweep._edge_map(case, np.full((5, 3, 2), 0.5), graph)()
    [(output, inputs, upstream)] = gradients
    assert output is drawn[0]
    assert [tuple(x.shape) for x in inputs] == [(5, 3, 2), (3,)]
    assert upstream.shape == (5, 1, 24, 24)


def test_a_method_without_a_size_has_no_sweep() -> None:
    assert list(sweep_cells(Case("mean_shape", "smoke"))) == []


def a_peak(use: Any, tflops: float, datasheet: float | None) -> Peak:
    return Peak(
        use=use,
        arithmetic="bfloat16",
        threads=3,
        tflops=tflops,
        time=spread(2.0),
        datasheet_tflops=datasheet,
    )


def test_a_training_step_in_figures() -> None:
    case = Case("autolink", "smoke")
    assert case.batch == 4
    run = TrainingRun(np.full(5, 50.0), np.array([8.0, 9, 10, 11, 12]), 3, 2.5, None)
    peaks = {"training": a_peak("training", 0.8, 1.6)}
    found = throughput._training(case, run, 1e9, peaks)
    assert found is not None
    assert (found.batch, found.images_per_s, found.steps) == (4, 400, 250)
    assert (found.startup_s, found.threads) == (2.5, 3)
    assert found.time.p05_ms == pytest.approx(8.2)
    assert [found.time.median_ms, found.time.p95_ms] == pytest.approx([10, 11.8])
    # 400 images of 1e9 operations a second
    assert found.share_of_peak == pytest.approx(0.4 / 0.8)
    assert found.share_of_datasheet == pytest.approx(0.4 / 1.6)
    unprinted = throughput._training(case, run, 1e9, {"training": a_peak("training", 0.8, None)})
    assert unprinted is not None
    assert (unprinted.share_of_peak, unprinted.share_of_datasheet) == (found.share_of_peak, None)


@pytest.mark.parametrize(
    ("device", "precision", "inference", "training"),
    [
        ("cpu", "32-true", "float32", "float32"),
        ("cpu", "bf16-mixed", "float32", "bfloat16"),
        ("cuda", "32-true", "tf32", "float32"),
        ("cuda", "bf16-mixed", "tf32", "bfloat16"),
    ],
)
def test_peaks_are_of_the_arithmetic_that_is_used(
    device: Any, precision: str, inference: str, training: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "measure_peak", lambda *arguments: arguments)
    case = Case("autolink", "smoke", device=device, precision=precision)
    run = TrainingRun(np.full(5, 1.0), np.full(5, 1.0), 17, 1.0, None)
    found: Any = throughput._peaks(case, run, True, "A device")
    assert found == {
        "inference": ("inference", inference, device, torch.get_num_threads(), "A device"),
        "training": ("training", training, device, 17, "A device"),
    }
    assert list(throughput._peaks(case, None, False, "A device")) == []


@pytest.mark.parametrize("recipe", ["smoke", "quick", "paper"])
def test_sizes_are_those_of_the_protocols(recipe: Any) -> None:
    protocol: Any = load_protocol("people_background")
    sizes = protocol.sizes(recipe)
    assert (PIXELS[recipe], IMAGES[recipe]) == (sizes["pixels"], sizes["discovery"])


def test_every_line_that_is_shown() -> None:
    training = {
        "batch": 16,
        "images_per_s": 320.5,
        "time": spread(50.0),
        "steps": 250,
        "startup_s": 2.5,
        "threads": 1,
        "share_of_peak": 0.25,
        "share_of_datasheet": 0.125,
    }
    record = speed_record(
        training=training,
        random_weights=("vgg16",),
        memory={
            "how": "guessed",
            "training_mib": 10.0,
            "inference_mib": 1234.5,
            "inference_batch": 64,
        },
        size={
            "kept": 7000,
            "trained": 9000,
            "predict": {"recipe": 0.25, "computed": 0.125},
            "step": {"recipe": 236.94, "computed": 118.5},
        },
        peaks=(a_peak("training", 700.25, 989.4), a_peak("inference", 0.5, None)),
        sweep=a_sweep(),
    )
    shown = io.StringIO()
    Console(file=shown, width=200).print(table(record))
    lines = [" ".join(line.strip("│┃ \n").split("│")) for line in shown.getvalue().splitlines()]
    assert [" ".join(line.split()) for line in lines if line[0].isalnum()] == [
        "good, quick, 64 px, A CPU (TM) 9000, threads: 2",
        "what ┃ measured",
        "random weights vgg16: for timing alone",
        "predict, batch 1 100 images/s, 10.00 ms (p05 9.00, p95 15.00), 10.0% of peak",
        "predict, batch 64 1,234 images/s, 51.90 ms (p05 46.71, p95 77.85), 50.0% of peak",
        "train, batch 16 320.5 images/s, 50.00 ms (p05 45.00, p95 75.00) a step, 25.0% of peak",
        "memory, train 10 MiB",
        "memory, predict, batch 64 1,234 MiB (guessed)",
        "numbers 7,000 kept, 9,000 trained",
        "operations, predict 0.125 GFLOP an image",
        "operations, train 118.5 GFLOP an image",
        "peak in training 700 TFLOP/s measured, 989.4 printed (bfloat16, threads: 3)",
        "peak in inference 0.5 TFLOP/s measured (bfloat16, threads: 3)",
        "step, K = 8, 64 px, batch 16 50.00 ms (p05 45.00, p95 75.00), 123 MiB, edge map 10%",
        "step, K = 8, 128 px, batch 16 50.00 ms (p05 45.00, p95 75.00)",
    ]


def test_nothing_is_measured_for_a_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["throughput", "-m", "mean_shape", "--save", str(tmp_path / "file")]
    assert main(words) == 2
    assert "cannot write" in capsys.readouterr().err


def test_an_unknown_method_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["throughput", "-m", "autolnk"]) == 2
    assert "did you mean autolink" in capsys.readouterr().err


def test_names_are_checked_before_the_first_method_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    monkeypatch.setattr(throughput, "throughput_of", lambda name, *_, **__: measured.append(name))
    assert main(["throughput", "-m", "mean_shape", "-m", "nosuch", "--json"]) == 2
    assert measured == []
    assert "no method called 'nosuch'" in capsys.readouterr().err


RAISED = {
    "greedy": "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to')",
    "faulty": "1 / 0",
    "lacking": "from kpbench.errors import MissingPackageError as E; raise E('pip install it')",
}


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        (
            "greedy",
            "out of memory; measure with another recipe or fewer images a call (--batch)",
            1,
        ),
        ("faulty", "ZeroDivisionError: division by zero (", 1),
        ("broken", "broken", 1),
        ("lacking", "pip install it", 0),
        ("oracle", "it reads labels", 0),
    ],
)
def test_what_ends_one_method_leaves_the_next_and_decides_over_the_exit_code(
    name: str, words: str, code: int, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("methods", {n: bright(n, fit=fit) for n, fit in RAISED.items()} | {"broken": "1 / 0"})
    command = ["throughput", "-m", name, "-m", "mean_shape", "--json", "--recipe", "smoke"]
    assert main([*command, "--batch", "1", "--repeats", "3"]) == code
    first, second = json.loads(capsys.readouterr().out)
    assert (first["method"], first["failed"]) == (name, bool(code))
    assert words in first["reason"]
    assert second["inference"]


def test_each_cell_of_a_sweep_is_saved_before_the_next_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    record, cells = speed_record("autolink"), a_sweep().cells

    def saved() -> SpeedRecord:
        return read_speed_record(record.path(tmp_path))

    def measured(case: Case) -> Iterator[SweepCell]:
        assert saved() == record
        for cell in cells:
            yield cell
            found = saved().sweep
            assert found is not None
            kept.append(len(found.cells))
        raise KpbenchError("the lease is over")

    monkeypatch.setattr(throughput, "_measured", lambda *_: record)
    monkeypatch.setattr(throughput, "sweep_cells", measured)
    words = ["throughput", "-m", "autolink", "--sweep", "--json", "--save", str(tmp_path)]
    assert main(words) == 1
    assert kept == [1, 2]
    shown, problem = json.loads(capsys.readouterr().out)
    assert shown == saved().as_json()
    assert shown["sweep"]["commit"] == shown["provenance"]["commit"] == "0123456789abcdef"
    assert problem["reason"] == "the sweep ended early: the lease is over"


def test_the_commit_is_that_of_the_start_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = iter(["of the start", "of later"])
    about = {"cpu": "A CPU", "gpu": None}
    monkeypatch.setattr(throughput, "collect", lambda _: {**about, "commit": next(commits)})
    throughput._machine.cache_clear()
    try:
        for _ in range(2):
            [found] = throughput_of("mean_shape", smoke(tmp_path), [1], 3)
            assert isinstance(found, SpeedRecord)
            assert found.provenance["commit"] == "of the start"
    finally:
        throughput._machine.cache_clear()
