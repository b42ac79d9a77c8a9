"""Speed of the renderer: one chunk of images with depth, masks and labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.people.picture.render import CHUNK, Renderer
from kpbench.people.scene.sampler import PeopleSettings


@pytest.mark.parametrize("pixels", [64, 128])
@pytest.mark.parametrize("backdrop", ["grey", "room"])
def test_chunk(backdrop: Any, pixels: int, benchmark: BenchmarkFixture) -> None:
    renderer = Renderer(PeopleSettings(backdrop), "train", pixels, torch.device("cpu"))
    benchmark.pedantic(renderer.chunk, (0, 0), rounds=3, warmup_rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info["images"] = CHUNK
