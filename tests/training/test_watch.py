"""Looking at the loss late, saving while training goes on, and threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from kpbench.api import FitContext, ImageSet
from kpbench.errors import TrainingError
from kpbench.nn.fast import cpu_threads
from kpbench.training import loop
from kpbench.training.batch import Batch
from kpbench.training.loop import Training, fit_network
from kpbench.training.optimiser import Optimiser

PIXELS = torch.randint(
    0, 256, (8, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


class Root(nn.Module):
    """A loss that is bad at chosen steps, and counts them."""

    def __init__(self, bad: Mapping[int, float]) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)
        self.bad, self.steps = bad, 0

    def loss(self, batch: Batch) -> Tensor:
        self.steps += 1
        square: Tensor = self.net(batch.images).square().mean()
        return square + self.bad.get(self.steps, 0.0)


def fit(root: Root, steps: int, context: FitContext, **more: Any) -> None:
    training = Training(
        steps=steps, batch_size=4, flip=False, seed=0, optimiser=Optimiser(learning_rate=1e-2)
    )
    fit_network(root, Root.loss, ImageSet(PIXELS.numpy()), PIXELS, training, context, **more)


@pytest.mark.parametrize(
    ("every", "seen"), [(1, 3), (5, 5), (50, 7)], ids=["each step", "every five", "at the end"]
)
def test_a_bad_loss_names_its_step_however_late_it_is_read(
    every: int, seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loop.READ_EVERY, "cpu", every)
    root = Root({3: float("inf"), 4: float("nan")})
    with pytest.raises(TrainingError, match="the loss is inf at step 3 of 7"):
        fit(root, 7, FitContext())
    assert root.steps == seen


def test_a_bad_training_saves_nothing_though_losses_are_read_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loop.READ_EVERY, "cpu", 50)
    root = Root({2: float("nan")})
    with pytest.raises(TrainingError, match="at step 2 of 30"):
        context = FitContext(checkpoints=tmp_path)
        fit(root, 30, context, save_every=4)
    assert root.steps == 4
    assert not list(tmp_path.iterdir())


def test_late_reading_still_reports_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loop.READ_EVERY, "cpu", 3)
    root = Root({})
    seen: list[tuple[int, str]] = []
    context = FitContext(progress=lambda done, _, text: seen.append((done, text)))
    fit(root, 7, context)
    assert [done for done, _ in seen] == list(range(1, 8))
    texts = [text for _, text in seen]
    assert texts[:2] == ["", ""]
    assert texts[2] == texts[4] != texts[5]
    assert texts[6] != texts[5]


def test_a_state_is_of_its_step_though_training_goes_on_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is held back until training is over: what it writes must be the old weights."""
    over, write = threading.Event(), TorchCheckpointIO.save_checkpoint
    weights: dict[int, Tensor] = {}
    root = Root({})

    def late(self: Any, checkpoint: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        assert over.wait(20)
        write(self, checkpoint, path, *args, **kwargs)

    def progress(done: int, *_: object) -> None:
        weights[done] = root.net.weight.detach().clone()
        if done == 6:
            over.set()

    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", late)
    context = FitContext(checkpoints=tmp_path, progress=progress)
    fit(root, 6, context, save_every=4)
    state = torch.load(tmp_path / "training.ckpt", weights_only=True)
    assert state["global_step"] == 4
    assert torch.equal(state["state_dict"]["network.net.weight"], weights[4])
    assert not torch.equal(weights[4], weights[6])


def test_threads_are_a_function_of_the_step_and_of_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert cpu_threads(16, 32 * 32) == 1
    assert cpu_threads(64, 128 * 128) == 2
    assert cpu_threads(1, 2**18 - 1) == 1
    assert cpu_threads(2**18, 1) == 2
    before, seen = torch.get_num_threads(), []
    context = FitContext(progress=lambda *_: seen.append(torch.get_num_threads()))
    try:
        torch.set_num_threads(2)
        root = Root({})
        fit(root, 2, context)
        monkeypatch.setattr("kpbench.nn.fast.LARGE_STEP", 4 * 32 * 32)
        torch.set_num_threads(1)
        fit(root, 2, context)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1, 2, 2]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_float32_means_float32(precision: str) -> None:
    """And uninitialised memory is not filled, which comes with determinism."""
    settings: Any = torch.utils.deterministic
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    products.allow_tf32 = True
    before = settings.fill_uninitialized_memory, cudnn.allow_tf32, products.allow_tf32
    seen = []

    def look(*_: object) -> None:
        seen.append((settings.fill_uninitialized_memory, cudnn.allow_tf32, products.allow_tf32))

    root = Root({})
    context = FitContext(precision=precision, progress=look)
    try:
        fit(root, 1, context)
        after = settings.fill_uninitialized_memory, cudnn.allow_tf32, products.allow_tf32
    finally:
        products.allow_tf32 = False
    faster = precision != "32-true"
    assert seen == [(False, faster, faster)]
    assert before == after == (True, True, True)
