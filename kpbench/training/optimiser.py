"""Optimiser and learning rate of a training, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from kpbench.errors import TrainingError


@dataclass(frozen=True)
class Decay:
    """By what the learning rate is multiplied, step by step.

    The factor of step t of T (from 0) is that of `kind`, times (t + 1) / warm_up while t is below
    `warm_up`; the decay runs from the end of the warm-up to T.

    Attributes:
        kind: `constant`; `step`: `factor` to the power of how often `every` steps have passed;
            `exponential`: the same, but smoothly; `cosine`: half a cosine from 1 to `floor`;
            `polynomial`: (1 - t / T) to the power of `power`, from 1 to `floor`.
        every: steps, of `step` and `exponential`.
        factor: of `step` and `exponential`.
        power: of `polynomial`; 1 is linear.
        floor: what `cosine` and `polynomial` end at, as a share of the learning rate.
        warm_up: steps in which the rate grows linearly.

    Raises:
        TrainingError: a value outside of its range.

    Example:
        >>> decay = Decay("cosine", warm_up=2)
        >>> [round(decay.at(step, steps=6), 2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """

    kind: Literal["constant", "step", "exponential", "cosine", "polynomial"] = "constant"
    every: int = 1
    factor: float = 0.1
    power: float = 1.0
    floor: float = 0.0
    warm_up: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        kinds = ("constant", "step", "exponential", "cosine", "polynomial")
        if self.kind not in kinds:
            raise TrainingError(f"decay must be one of {', '.join(kinds)}, not {self.kind!r}")
        if self.every < 1 or self.warm_up < 0 or not self.power > 0:
            raise TrainingError(
                "a decay needs every >= 1, warm_up >= 0 and power > 0, got "
                f"{self.every}, {self.warm_up} and {self.power}"
            )
        if not (0 < self.factor <= 1 and 0 <= self.floor <= 1):
            raise TrainingError(
                f"a decay needs factor in (0, 1] and floor in [0, 1], got {self.factor} and "
                f"{self.floor}"
            )

    def at(self, step: int, *, steps: int) -> float:
        """Return the factor of a step, counted from 0, in a training of `steps`."""
        passed, whole = max(0, step - self.warm_up), max(1, steps - self.warm_up)
        share = min(1.0, passed / whole)
        factors = {
            "constant": 1.0,
            "step": float(self.factor ** (passed // self.every)),
            "exponential": float(self.factor ** (passed / self.every)),
            "cosine": self.floor + (1 - self.floor) * (1 + math.cos(math.pi * share)) / 2,
            "polynomial": self.floor + (1 - self.floor) * float((1 - share) ** self.power),
        }
        warm = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return warm * factors[self.kind]


@dataclass(frozen=True)
class Group:
    """Parameters that learn otherwise than the rest.

    Attributes:
        prefix: of the parameters' names in the network, e.g. "decoder.".
        learning_rate: theirs; None: that of the rest.
        weight_decay: likewise.
    """

    prefix: str
    learning_rate: float | None = None
    weight_decay: float | None = None


@dataclass(frozen=True)
class Optimiser:
    """How the parameters of a network follow the gradient.

    Attributes:
        kind: `adamw`, `adam` (weight decay is added to the gradient) or `sgd`.
        learning_rate: at its highest, see `decay`.
        weight_decay: of all parameters.
        betas: of `adamw` and `adam`.
        momentum: of `sgd`.
        nesterov: of `sgd`.
        decay: of the learning rate.
        groups: parameters with values of their own; the first that fits a name counts.
        clip: largest norm of the gradient of all parameters; None: any.
        average: decay of an exponential average of the weights, which is what is kept; None: the
            last weights are kept.

    Raises:
        TrainingError: a value outside of its range.
    """

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    nesterov: bool = False
    decay: Decay = field(default_factory=Decay)
    groups: tuple[Group, ...] = ()
    clip: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.kind not in ("adamw", "adam", "sgd"):
            raise TrainingError(f"optimiser must be adamw, adam or sgd, not {self.kind!r}")
        rates = [self.learning_rate, *(g.learning_rate for g in self.groups)]
        decays = [self.weight_decay, *(g.weight_decay for g in self.groups)]
        if any(rate is not None and not 0 < rate < math.inf for rate in rates):
            raise TrainingError(f"learning_rate must be positive, got {rates[0]}")
        if any(decay is not None and not 0 <= decay < math.inf for decay in decays):
            raise TrainingError(f"weight_decay must not be negative, got {decays[0]}")
        if not all(0 <= beta < 1 for beta in (*self.betas, self.momentum)):
            raise TrainingError(
                f"betas and momentum must be in [0, 1), got {self.betas} and {self.momentum}"
            )
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise TrainingError(f"clip must be positive, got {self.clip}")
        if self.average is not None and not 0 <= self.average < 1:
            raise TrainingError(f"average must be in [0, 1), got {self.average}")

    def build(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """Return PyTorch's optimiser of the parameters that are trained.

        Args:
            network: whose.
            fused: one kernel for all parameters, where PyTorch has one.

        Raises:
            TrainingError: a group fits no parameter.
        """
        groups = self._parameters(network)
        common: dict[str, Any] = {
            "lr": self.learning_rate,
            "weight_decay": self.weight_decay,
            "fused": fused or None,
        }
        if self.kind == "sgd":
            return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov, **common)
        chosen = torch.optim.AdamW if self.kind == "adamw" else torch.optim.Adam
        return chosen(groups, betas=self.betas, **common)

    def _parameters(self, network: nn.Module) -> list[dict[str, Any]]:
        members: dict[Group | None, list[nn.Parameter]] = {None: []}
        members |= {group: [] for group in self.groups}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                fits = (group for group in self.groups if name.startswith(group.prefix))
                members[next(fits, None)].append(parameter)
        if empty := [g.prefix for g, found in members.items() if g is not None and not found]:
            raise TrainingError(f"no parameter that is trained is called {empty[0]}...")
        return [{"params": found, **_own(group)} for group, found in members.items() if found]

    def schedule(
        self, optimiser: torch.optim.Optimizer, steps: int
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Return what sets the learning rate of each step; None where it is constant."""
        if self.decay == Decay():
            return None
        return torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: self.decay.at(step, steps=steps)
        )


def _own(group: Group | None) -> Mapping[str, float]:
    own = {} if group is None else {"lr": group.learning_rate, "weight_decay": group.weight_decay}
    return {name: value for name, value in own.items() if value is not None}
