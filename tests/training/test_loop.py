"""The training loop: draws, resuming, divergence, and what it leaves behind."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kpbench.api import FitContext, ImageSet, read_only
from kpbench.errors import CheckpointError, InvalidInputError, TrainingError
from kpbench.nn import images as training_data
from kpbench.nn.images import draw, normalised, resized, take
from kpbench.training.batch import Batch
from kpbench.training.frozen import Helper
from kpbench.training.loop import Training, fit_network
from kpbench.training.optimiser import Optimiser

N = 10


def plan(steps: int = 6, seed: int = 0, **optimiser: Any) -> Training:
    settings = {"learning_rate": 1e-2, "weight_decay": 1e-3, **optimiser}
    return Training(
        steps=steps, batch_size=4, flip=True, seed=seed, optimiser=Optimiser(**settings)
    )


def fit(
    network: Tiny, training: Training, context: FitContext, pixels: Tensor, **more: Any
) -> None:
    fit_network(
        network, type(network).loss, ImageSet(pixels.numpy()), pixels, training, context, **more
    )


def images(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (N, 8, 8, 3), generator=generator, dtype=torch.uint8)


class Tiny(nn.Module):
    """A network with a batch norm, whose loss also draws noise."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        for i, parameter in enumerate(self.parameters()):
            nn.init.constant_(parameter, 0.1 * (i + 1))

    def loss(self, batch: Batch) -> Tensor:
        noise = torch.rand(batch.images.shape, generator=batch.generator)
        found: Tensor = (self.net(batch.images + noise) - batch.images).square().mean()
        return found


def test_large_packed_images_stay_in_their_file_and_train_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images.npy"
    np.save(path, images().numpy())
    packed = np.load(path, mmap_mode="r")
    copied = resized(packed, 8)
    monkeypatch.setattr(training_data, "IN_MEMORY", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped = resized(packed, 8)
    assert mapped.data_ptr() == packed.ctypes.data and copied.data_ptr() != packed.ctypes.data
    drawn = draw(N, 4, flip=True, seed=0, step=1)
    assert torch.equal(take(mapped, drawn, "cpu"), take(copied, drawn, "cpu"))
    tiny = Tiny()
    fit(tiny, plan(), FitContext(), mapped)
    plain = trained(FitContext(), plan())
    for name, value in tiny.state_dict().items():
        assert torch.equal(value, plain[name]), name


def test_many_images_in_memory_are_not_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    held = read_only(images().numpy())
    assert resized(held, 8).data_ptr() != held.ctypes.data
    monkeypatch.setattr(training_data, "TWICE", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shared = resized(held, 8)
    assert shared.data_ptr() == held.ctypes.data
    backwards = held[:, :, ::-1]
    assert torch.equal(resized(backwards, 8), shared.flip(2))


def trained(context: FitContext, training: Training, save_every: int = 500) -> dict[str, Tensor]:
    tiny = Tiny()
    fit(tiny, training, context, images(), save_every=save_every)
    assert not tiny.training
    return tiny.state_dict()


def assert_equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


def test_every_epoch_visits_every_image_that_fills_a_batch_once() -> None:
    rows = [draw(N, 4, flip=False, seed=1, step=step).rows.tolist() for step in range(4)]
    for epoch in (rows[0] + rows[1], rows[2] + rows[3]):
        assert len(set(epoch)) == 8
    assert rows[:2] != rows[2:]
    assert draw(3, 64, flip=False, seed=1, step=5).rows.sort().values.tolist() == [0, 1, 2]


def test_draws_depend_on_seed_and_step_alone() -> None:
    one, again = (draw(N, 4, flip=True, seed=3, step=7) for _ in range(2))
    assert torch.equal(one.rows, again.rows)
    assert torch.equal(one.flips, again.flips)
    noise = torch.rand(5, generator=one.generator)
    assert torch.equal(noise, torch.rand(5, generator=again.generator))
    other = draw(N, 4, flip=True, seed=4, step=7)
    assert not torch.equal(noise, torch.rand(5, generator=other.generator))


def test_half_of_the_images_are_mirrored_left_to_right() -> None:
    flips = torch.cat([draw(1000, 1000, flip=True, seed=0, step=s).flips for s in range(4)])
    assert abs(float(flips.float().mean()) - 0.5) < 0.04
    assert not draw(N, 4, flip=False, seed=0, step=0).flips.any()
    pixels, drawn = images(), draw(N, N, flip=True, seed=0, step=0)
    assert drawn.flips.any()
    for row, flipped, found in zip(
        drawn.rows, drawn.flips, take(pixels, drawn, "cpu"), strict=True
    ):
        wanted = normalised(pixels[row][None])[0]
        assert torch.equal(found, wanted.flip(-1) if flipped else wanted)


def test_pixels_become_channels_in_minus_one_to_one() -> None:
    pixels = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    torch.testing.assert_close(
        normalised(pixels).flatten(), torch.tensor([-1.0, 128 / 127.5 - 1, 1.0])
    )


def test_resizing_averages_and_squashes() -> None:
    stripes = np.zeros((1, 8, 16, 3), np.uint8)
    stripes[:, :, :8] = 200
    small = resized(stripes, 4)
    assert small.shape == (1, 4, 4, 3)
    assert (small[0, :, 0] == 200).all()
    assert (small[0, :, 3] == 0).all()
    assert torch.equal(resized(stripes[:, :, :8], 8), torch.from_numpy(stripes[:, :, :8].copy()))


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    assert_equal(trained(FitContext(), plan()), trained(FitContext(), plan()))
    other = trained(FitContext(), plan(seed=1))
    assert not torch.equal(other["net.0.weight"], trained(FitContext(), plan())["net.0.weight"])


def test_data_is_mirrored_together() -> None:
    seen: list[bool] = []

    class Net(Tiny):
        def loss(self, batch: Batch) -> Tensor:
            seen.append(torch.equal(batch.images, batch.frames))
            grey = (batch.images[:, :1] + 1) * 127.5
            seen.append(torch.allclose(batch.depth * 1000, grey, atol=1e-2))
            seen.append(torch.equal(batch.mask > 0, grey.round() > 128))
            seen.append(torch.equal(batch.said("grey"), batch.images[:, 0].flatten(1)))
            return super().loss(batch)

    net, pixels = Net(), images()
    grey = pixels[..., 0].numpy()
    known = ImageSet(
        pixels.numpy(), depth=grey.astype(np.uint16), mask=grey > 128, frames=pixels.numpy()
    )
    helpers = {"grey": Helper(nn.Identity(), says=lambda x: x[:, 0].flatten(1))}
    fit_network(net, Net.loss, known, pixels, plan(), FitContext(), helpers=helpers)
    assert seen == [True] * 24


def test_a_signal_that_was_not_asked_for_is_an_error() -> None:
    class Net(Tiny):
        def loss(self, batch: Batch) -> Tensor:
            return super().loss(batch) + batch.depth.mean()

    with pytest.raises(InvalidInputError, match="no depth: name it in the method's `needs`"):
        fit(Net(), plan(), FitContext(), images())


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = trained(FitContext(), plan())

    class KilledError(RuntimeError):
        pass

    def kill(done: int, total: int, text: str) -> None:
        if done == 5:
            raise KilledError

    with pytest.raises(KilledError):
        trained(FitContext(checkpoints=tmp_path, progress=kill), plan(), save_every=2)
    steps: list[int] = []
    context = FitContext(checkpoints=tmp_path, progress=lambda done, *_: steps.append(done))
    assert_equal(trained(context, plan(), save_every=2), whole)
    assert steps == [5, 6]  # from the state of step 4
    steps.clear()
    assert_equal(trained(context, plan(), save_every=2), whole)  # finished: nothing left to do
    assert steps == []


def test_a_training_state_of_other_settings_or_damaged_is_refused(tmp_path: Path) -> None:
    context = FitContext(checkpoints=tmp_path)
    trained(context, plan(), save_every=2)
    with pytest.raises(CheckpointError, match="other data or settings"):
        trained(context, plan(seed=1), save_every=2)
    (tmp_path / "training.ckpt").write_bytes(b"\x80\x02cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(CheckpointError, match="damaged"):
        trained(context, plan(), save_every=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_step(value: float) -> None:
    class Diverging(Tiny):
        steps = 0

        def loss(self, batch: Batch) -> Tensor:
            self.steps += 1
            return super().loss(batch) * (value if self.steps == 3 else 1)

    net = Diverging()
    with pytest.raises(TrainingError, match=r"at step 3 of 6.*learning rate"):
        fit(net, plan(), FitContext(), images())


def test_weights_that_the_last_step_ruins_are_an_error() -> None:
    class Root(Tiny):
        def loss(self, batch: Batch) -> Tensor:
            root: Tensor = (self.net(batch.images) * 0).sum().abs().sqrt()
            return super().loss(batch) + root

    net = Root()  # the root's derivative at zero is infinite, its value is not
    with pytest.raises(TrainingError, match="after step 1"):
        fit(net, plan(steps=1), FitContext(), images())


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"seed": -1}])
def test_unusable_settings(wrong: dict[str, int]) -> None:
    good = {"steps": 1, "batch_size": 1, "seed": 0, **wrong}
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        Training(**good, flip=False, optimiser=Optimiser())


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(TrainingError, match="with precision '8-bits'"):
        trained(FitContext(precision="8-bits"), plan())


def test_one_image_is_not_enough() -> None:
    with pytest.raises(TrainingError, match="two images or more"):
        fit(Tiny(), plan(), FitContext(), images()[:1])


def test_nothing_is_left_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = Tiny()
    before = torch.get_rng_state(), str(np.random.get_state())
    handler, level = signal.getsignal(signal.SIGINT), logging.getLogger("lightning.pytorch").level
    seen: list[tuple[int, int]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        context = FitContext(progress=lambda done, all_, _: seen.append((done, all_)))
        fit(tiny, plan(), context, images())
    assert seen == [(i + 1, 6) for i in range(6)]
    assert capfd.readouterr() == ("", "")
    assert not any(tmp_path.iterdir())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == str(np.random.get_state())
    assert signal.getsignal(signal.SIGINT) is handler
    assert logging.getLogger("lightning.pytorch").level == level
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_interrupt_reaches_the_caller_as_one() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trained(FitContext(progress=interrupt), plan())
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_termination_is_not_a_success() -> None:
    def terminate(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        trained(FitContext(progress=terminate), plan())
    assert caught.value.code == 143


def test_bfloat16_trains_on_the_cpu() -> None:
    weights = trained(FitContext(precision="bf16-mixed"), plan())
    assert weights["net.0.weight"].dtype == torch.float32
    assert not torch.equal(weights["net.0.weight"], trained(FitContext(), plan())["net.0.weight"])
