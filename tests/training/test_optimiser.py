"""What one training step does to the weights, against PyTorch's AdamW called by hand."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kpbench.api import FitContext
from kpbench.nn.images import draw, take
from kpbench.training.loop import Schedule, fit_module

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

    def loss(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        noise = torch.rand(batch["images"].shape, generator=generator)
        seen = self.first(batch["images"] + noise).tanh()
        loss: Tensor = (self.fixed(seen) - 1).square().mean()
        return loss


def test_training_is_adamw_at_a_constant_rate() -> None:
    plan = Schedule(
        steps=3, batch_size=4, learning_rate=0.02, weight_decay=0.3, flip=True, seed=5
    )  # fmt: skip
    trained = Net()
    by_hand = copy.deepcopy(trained)
    fit_module(trained, trained.loss, {"images": PIXELS}, plan, FitContext())
    optimiser = torch.optim.AdamW(by_hand.first.parameters(), lr=0.02, weight_decay=0.3)
    for step in range(plan.steps):
        drawn = draw(len(PIXELS), 4, flip=True, seed=5, step=step)
        loss = by_hand.loss({"images": take(PIXELS, drawn, "cpu")}, drawn.generator)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for name, wanted in by_hand.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], wanted, rtol=1e-5, atol=1e-6)
