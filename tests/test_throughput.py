"""Speed: what is counted, in which process, against which peak, and that records say how."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from kpbench import throughput_peak, throughput_training
from kpbench.cli import main
from kpbench.errors import KpbenchError, TrainingError
from kpbench.nn import Detector
from kpbench.run import Settings
from kpbench.throughput import Unmeasured, throughput_of
from kpbench.throughput_peak import DATASHEET, arithmetic_of, measure_peak
from kpbench.throughput_process import prediction_memory, time_training
from kpbench.throughput_records import SpeedRecord, read_speed_record
from kpbench.throughput_sweep import sweep
from kpbench.throughput_training import (
    Case,
    Enough,
    StepClock,
    fitted,
    predict_operations,
    step_operations,
)
from kpbench.timing import Timing
from kpbench.training.speed import plain
from tests.conftest import Install, bright

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

    def fit(self, images, *, n_keypoints, seed, context):
        import torch
        from kpbench.training.speed import is_plain

        self.k, self.conv = n_keypoints, torch.nn.Conv2d(3, 5, 3, padding=1)
        optimiser = torch.optim.SGD(self.conv.parameters(), lr=1e-3)
        {fit}
        for step in range(self.steps):
            x = self.seen(images.images[: self.batch_size])
            loss = sum(self.conv(x).mean() for _ in range(2 if is_plain() else 1))
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
        from kpbench.training.speed import is_plain

        with torch.inference_mode():
            for _ in range(2 if is_plain() else 1):
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
    for done in range(1, 210):
        times.now += 0.01
        clock(done, 500, "")
    assert len(waits) == 4
    steps, milliseconds = clock.windows()
    assert steps.tolist() == [50, 50]
    assert milliseconds == pytest.approx([30, 30])  # 50 steps of 10 ms, and the second waited for


def test_a_training_without_reports_has_no_windows() -> None:
    steps, milliseconds = StepClock("cpu").windows()
    assert len(steps) == len(milliseconds) == 0


def test_operations_are_those_of_the_formula(install: Install, tmp_path: Path) -> None:
    convolves(install)
    method = fitted(CASE, None)
    method.save(tmp_path)
    predicted = predict_operations(CASE, tmp_path, method.params())
    assert (predicted.recipe, predicted.computed) == (2 * FORWARD, FORWARD)
    step, trained = step_operations(CASE, None)
    assert step is not None
    # backward: as many again for the weights, none for the images
    assert (step.recipe, step.computed) == (4 * FORWARD, 2 * FORWARD)
    assert trained == 5 * 3 * 9 + 5


def test_operations_of_a_method_that_reports_nothing_are_not_known(install: Install) -> None:
    convolves(install)
    case = replace(CASE, overrides={"reports": False, "steps": 3})
    step, trained = step_operations(case, None)
    assert step is None
    assert trained == 140


def convolutions(net: nn.Module, size: int) -> float:
    """Count multiplications and additions from what enters each layer; all keep the size."""
    counts = []

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        counts.append(2 * layer.weight.numel() * inputs[0].shape[-2] * inputs[0].shape[-1])

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
    with plain():
        assert found.recipe == convolutions(Detector(16, 4), 32)
    assert 0 < found.computed <= found.recipe


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
    convolves(install, predict="self.block = np.ones(96 * 2**17)", fit="np.ones(200 * 2**17)")
    held = np.ones(64 * 2**17)  # this process's memory must not count
    method = fitted(CASE, None)
    method.save(tmp_path)
    found = prediction_memory(CASE, tmp_path, dict(method.params()), batch=2)
    assert found is not None
    assert 96 <= found < 96 + 90  # the code of libraries that is first used is some 50 MiB
    run = time_training(CASE, None)
    assert run.peak_mib is not None
    assert 200 <= run.peak_mib < 200 + 90
    assert len(run.steps) >= 5
    assert held.nbytes == 64 * 2**20


def test_a_process_that_dies_is_an_error_in_words(install: Install, tmp_path: Path) -> None:
    convolves(install, fit="import os; os._exit(9) if self.steps > 1 else None")
    with pytest.raises(KpbenchError, match="process that measures died"):
        time_training(CASE, None)
    found = throughput_of("convolves", smoke(tmp_path), [1], 3)
    assert isinstance(found, Unmeasured)
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
    found = throughput_of("convolves", smoke(tmp_path), [1], 3)
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
    found = sweep(Case("autolink", "smoke"), keypoints=(4, 6), sizes=(16, 32))
    assert found is not None
    assert [(c.n_keypoints, c.pixels) for c in found.cells] == [(4, 16), (6, 16), (4, 32), (6, 32)]
    for cell in found.cells:
        assert cell.edge_map_ms is not None and cell.edge_map_share is not None
        assert cell.edge_map_share == cell.edge_map_ms / cell.time.median_ms
        assert cell.peak_memory_mib is not None and cell.peak_memory_mib > 1


def test_a_method_without_a_size_has_no_sweep() -> None:
    assert sweep(Case("mean_shape", "smoke")) is None


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
