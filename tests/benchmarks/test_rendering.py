"""Speed of the renderer: one chunk of images with depth, masks and labels."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.people.picture.render import CHUNK, Renderer
from kpbench.people.protocol import PeopleProtocol
from kpbench.registry import load_protocol


@pytest.mark.parametrize("pixels", [64, 128])
@pytest.mark.parametrize("protocol", ["people_plain", "people_rooms"], ids=["grey", "room"])
def test_chunk(protocol: str, pixels: int, benchmark: BenchmarkFixture) -> None:
    people = load_protocol(protocol)
    assert isinstance(people, PeopleProtocol)
    renderer = Renderer(people.settings, "train", pixels, torch.device("cpu"))
    benchmark.pedantic(renderer.chunk, (0, 0), rounds=3, warmup_rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info["images"] = CHUNK
