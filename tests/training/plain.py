"""Training without any speed-up: what fast training is compared with."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kpbench.nn import perceptual
from kpbench.nn.detector import HalvingConv
from kpbench.training.frozen import Outputs
from kpbench.training.optimiser import Optimiser
from tests.nn.reference import convolved_then_halved, edge_map_reference


@contextmanager
def plain() -> Iterator[None]:
    """Build networks and train with nothing cached, folded or fused, and the naive edge map."""
    build = Optimiser.build

    def unfused(self: Optimiser, network: Any, *, fused: bool) -> Any:
        return build(self, network, fused=False)

    never = property(lambda self: False, lambda self, value: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HalvingConv, "forward", convolved_then_halved)
        patch.setattr(perceptual, "fold", lambda net: net)
        patch.setattr(Outputs, "worthwhile", never, raising=False)
        patch.setattr(Optimiser, "build", unfused)
        autolink = importlib.import_module("kpbench_methods.autolink")
        patch.setattr(autolink, "edge_map", edge_map_reference)
        yield
