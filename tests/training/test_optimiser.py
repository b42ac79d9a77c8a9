"""What training steps do to the weights, against PyTorch's optimisers called by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as lr

from kpbench.api import FitContext, ImageSet
from kpbench.errors import TrainingError
from kpbench.training.batch import Batch, Data
from kpbench.training.loop import Training, fit_network
from kpbench.training.optimiser import Decay, Group, Optimiser

PIXELS = torch.randint(
    0, 256, (10, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


class Net(nn.Module):
    """Two convolutions, one of them fixed, whose loss also draws noise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fixed = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1)
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.fixed.requires_grad_(False)

    def loss(self, batch: Batch) -> Tensor:
        noise = torch.rand(batch.images.shape, generator=batch.generator)
        seen = self.first(batch.images + noise).tanh()
        loss: Tensor = (self.fixed(seen) - 1).square().mean()
        return loss


IMAGES = ImageSet(PIXELS.numpy())


def fitted(optimiser: Optimiser, steps: int = 5, **more: Any) -> tuple[Net, Net]:
    """Return the network after and before training."""
    network = Net()
    before = copy.deepcopy(network)
    training = Training(steps=steps, batch_size=4, flip=True, seed=5, optimiser=optimiser)
    fit_network(network, Net.loss, IMAGES, PIXELS, training, FitContext(), **more)
    return network, before


def by_hand(
    network: Net, optimiser: torch.optim.Optimizer, rates: Sequence[float], clip: float | None
) -> Iterator[Net]:
    """Take one step a rate, and yield the network after each."""
    data = Data(IMAGES, PIXELS, {}, "cpu", batch_size=4, flip=True, seed=5, steps=len(rates))
    base = [group["lr"] for group in optimiser.param_groups]
    for step, rate in enumerate(rates):
        for group, own in zip(optimiser.param_groups, base, strict=True):
            group["lr"] = own * rate
        optimiser.zero_grad()
        network.loss(data.batch(step)).backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()
        yield network


def assert_close(a: nn.Module, b: nn.Module) -> None:
    for name, wanted in b.state_dict().items():
        torch.testing.assert_close(a.state_dict()[name], wanted, rtol=1e-5, atol=1e-6)


def adamw(net: Net) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.first.parameters(), lr=0.02, weight_decay=0.3)


@pytest.mark.parametrize(
    ("optimiser", "made"),
    [
        (Optimiser("adamw", 0.02, 0.3), adamw),
        (
            Optimiser("adam", 0.02, 0.3, betas=(0.5, 0.99)),
            lambda net: torch.optim.Adam(
                net.first.parameters(), lr=0.02, weight_decay=0.3, betas=(0.5, 0.99)
            ),
        ),
        (
            Optimiser("sgd", 0.02, 0.3, momentum=0.8, nesterov=True),
            lambda net: torch.optim.SGD(
                net.first.parameters(), lr=0.02, weight_decay=0.3, momentum=0.8, nesterov=True
            ),
        ),
    ],
)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_steps_are_those_of_pytorch(
    optimiser: Optimiser, made: Callable[[Net], torch.optim.Optimizer], clip: float | None
) -> None:
    trained, net = fitted(replace(optimiser, clip=clip))
    *_, wanted = by_hand(net, made(net), [1.0] * 5, clip)
    assert_close(trained, wanted)


def test_the_clip_that_was_tested_bites() -> None:
    for clip in (0.05, None):
        found, _ = fitted(Optimiser("sgd", 0.02, clip=clip))
        moved = float((found.first.weight - Net().first.weight).detach().norm())
        assert (moved < 5 * 0.05 * 0.02 + 1e-6) is (clip is not None)


def test_groups_learn_at_their_own_rates() -> None:
    groups = (Group("first.bias", learning_rate=0.2, weight_decay=0.0),)
    trained, net = fitted(Optimiser("adamw", 0.02, 0.3, groups=groups))
    parameters: list[dict[str, Any]] = [
        {"params": [net.first.weight]},
        {"params": [net.first.bias], "lr": 0.2, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.3)
    *_, wanted = by_hand(net, optimiser, [1.0] * 5, None)
    assert_close(trained, wanted)


@pytest.mark.parametrize(
    "group", [Group("firs t"), Group("fixed")], ids=["no such name", "not trained"]
)
def test_a_group_without_parameters_is_named(group: Group) -> None:
    with pytest.raises(TrainingError, match=group.prefix):
        fitted(Optimiser(groups=(group,)))


def test_the_rate_of_each_step_is_that_of_its_decay() -> None:
    decay = Decay("cosine", warm_up=2, floor=0.1)
    trained, net = fitted(Optimiser("adamw", 0.02, 0.3, decay=decay))
    rates = [decay.at(step, steps=5) for step in range(5)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    *_, wanted = by_hand(net, adamw(net), rates, None)
    assert_close(trained, wanted)


@pytest.mark.parametrize(
    ("decay", "scheduler"),
    [
        (Decay("step", every=3, factor=0.5), lambda o: lr.StepLR(o, 3, 0.5)),
        (Decay("exponential", factor=0.9), lambda o: lr.ExponentialLR(o, 0.9)),
        (Decay("cosine"), lambda o: lr.CosineAnnealingLR(o, 10)),
        (Decay("cosine", floor=0.1), lambda o: lr.CosineAnnealingLR(o, 10, eta_min=0.1)),
        (Decay("polynomial", power=2), lambda o: lr.PolynomialLR(o, 10, 2)),
        (Decay("polynomial"), lambda o: lr.PolynomialLR(o, 10, 1)),
        (Decay(), lambda o: lr.ConstantLR(o, 1.0)),
    ],
)
def test_decays_are_those_of_pytorch(
    decay: Decay, scheduler: Callable[[torch.optim.Optimizer], lr.LRScheduler]
) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    wanted = scheduler(optimiser)
    for step in range(10):
        assert decay.at(step, steps=10) == pytest.approx(wanted.get_last_lr()[0], abs=1e-9)
        optimiser.step()
        wanted.step()


def test_the_average_of_the_weights_is_kept() -> None:
    trained, net = fitted(Optimiser("sgd", 0.5, average=0.6))
    sgd = torch.optim.SGD(net.first.parameters(), lr=0.5)
    average: dict[str, Tensor] = {}
    for after in by_hand(net, sgd, [1.0] * 5, None):
        for name, value in after.state_dict().items():
            before = average.get(name, value.clone())
            average[name] = 0.6 * before + 0.4 * value
    for name, wanted in average.items():
        torch.testing.assert_close(trained.state_dict()[name], wanted)
    assert not torch.allclose(trained.first.weight, net.first.weight, atol=1e-4)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("average", [None, 0.6])
def test_rates_and_averages_survive_a_kill(tmp_path: Path, average: float | None) -> None:
    chosen = Optimiser("sgd", 0.5, momentum=0.5, decay=Decay("cosine"), average=average)
    whole, _ = fitted(chosen)

    def kill(done: int, *_: object) -> None:
        if done == 4:
            raise KilledError

    def train(context: FitContext) -> Net:
        network = Net()
        training = Training(steps=5, batch_size=4, flip=True, seed=5, optimiser=chosen)
        fit_network(network, Net.loss, IMAGES, PIXELS, training, context, save_every=3)
        return network

    with pytest.raises(KilledError):
        train(FitContext(checkpoints=tmp_path, progress=kill))
    steps: list[int] = []
    found = train(FitContext(checkpoints=tmp_path, progress=lambda done, *_: steps.append(done)))
    assert steps == [4, 5]
    for name, value in whole.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "lion"},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"weight_decay": -1.0},
        {"betas": (0.9, 1.0)},
        {"momentum": 1.0},
        {"clip": 0.0},
        {"average": 1.0},
        {"groups": (Group("first", learning_rate=-1.0),)},
    ],
)
def test_unusable_optimisers_are_refused(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(
        TrainingError, match={"kind": "lion", "groups": "learning_rate"}.get(name, name)
    ):
        Optimiser(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "linear"}, {"every": 0}, {"factor": 0.0}, {"power": 0.0}, {"floor": 2.0}],
)
def test_unusable_decays_are_refused(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(TrainingError, match="linear" if name == "kind" else name):
        Decay(**wrong)
