"""Timing: what counts, in what order, and that random weights never stay."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kpbench.nn.perceptual import PerceptualLoss, vgg16_file
from kpbench.speed.timing import measure, random_weights_where_missing, ratio, rounds


class Clock:
    """Time that passes only where a call says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def takes(self, *seconds: float) -> Callable[[], None]:
        lasting = iter(seconds)

        def call() -> None:
            self.now += next(lasting)

        return call


def test_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Clock(monkeypatch).takes(9, 9, 1, 2, 3, 4, 5)
    found = measure(call, "cpu", warmup=2, repeats=5)
    assert found.repeats == 5
    assert found.median_ms == pytest.approx(3000)
    assert found.p05_ms == pytest.approx(1000 * np.quantile([1, 2, 3, 4, 5], 0.05))
    assert found.p95_ms == pytest.approx(1000 * np.quantile([1, 2, 3, 4, 5], 0.95))


def test_calls_alternate_and_their_times_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    order: list[str] = []
    a, b = clock.takes(8, 2, 4, 6), clock.takes(8, 1, 1, 1)

    def noted(name: str, call: Callable[[], None]) -> Callable[[], None]:
        def both() -> None:
            order.append(name)
            call()

        return both

    found = rounds({"a": noted("a", a), "b": noted("b", b)}, "cpu", warmup=1, repeats=3)
    assert "".join(order) == "abababab"
    assert found["a"].tolist() == [2000, 4000, 6000]
    assert found["b"].tolist() == [1000, 1000, 1000]


def test_a_ratio_is_taken_round_by_round() -> None:
    found = ratio(np.array([2.0, 20.0, 300.0]), np.array([1.0, 10.0, 100.0]))
    assert found.median == 2.0  # not 20 / 10 of the medians, which drift would have decided
    assert found.rounds == 3
    assert ratio(np.array([1.0, 9.0]), np.array([1.0, 3.0])).median == 2.0  # medians: 2.5
    spread = ratio(np.array([1.0, 2.0, 3.0]), np.ones(3))
    assert [spread.p05, spread.p95] == pytest.approx([1.1, 2.9])


class Event:
    """A CUDA event that notes when it was recorded."""

    clock = 0.0
    synchronised = False

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.at = -1.0

    def record(self) -> None:
        Event.synchronised = False
        self.at = Event.clock

    def elapsed_time(self, end: Event) -> float:
        assert Event.synchronised, "the device was not waited for"
        return end.at - self.at


def test_cuda_takes_the_devices_clock_and_waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def synchronize() -> None:
        waits.append(Event.clock)
        Event.synchronised = True

    cuda = SimpleNamespace(Event=Event, synchronize=synchronize)
    monkeypatch.setattr(torch, "cuda", cuda)

    def call() -> None:
        Event.clock += 7.0

    found = measure(call, "cuda", warmup=2, repeats=4)
    assert found.median_ms == 7.0
    assert waits == [14.0, 14.0 + 4 * 7.0]


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert not vgg16_file().exists()
    yield vgg16_file()


def test_random_weights_are_loaded_by_the_real_code_and_leave_no_trace(no_weights: Path) -> None:
    home = os.environ["TORCH_HOME"]
    with random_weights_where_missing() as replaced:
        assert replaced == ["vgg16"]
        file = vgg16_file()
        assert file != no_weights
        loss = PerceptualLoss("vgg16")
    assert not file.exists()
    assert vgg16_file() == no_weights and os.environ["TORCH_HOME"] == home
    x = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    spreads = [float(map_.std()) for map_ in loss.features(x[0])]
    assert all(0.05 < spread < 20 for spread in spreads)  # activations neither die out nor explode


def test_torchvisions_own_loader_takes_the_random_weights(no_weights: Path) -> None:
    from torchvision.models import vgg16

    with random_weights_where_missing(), torch.device("meta"):
        weights = torch.load(vgg16_file(), map_location="cpu", weights_only=True)
        wanted = {name: value.shape for name, value in vgg16().state_dict().items()}
        assert vgg16_file().stat().st_size < 100e6
    assert {name: value.shape for name, value in weights.items()} == wanted


def test_weights_that_are_there_are_left_alone(no_weights: Path) -> None:
    no_weights.parent.mkdir(parents=True)
    no_weights.write_bytes(b"real")
    with random_weights_where_missing() as replaced:
        assert replaced == []
        assert vgg16_file() == no_weights
    assert no_weights.read_bytes() == b"real"


def test_random_weights_go_when_the_work_fails(no_weights: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), random_weights_where_missing():
        file = vgg16_file()
        raise RuntimeError("stop")
    assert not file.exists() and vgg16_file() == no_weights
