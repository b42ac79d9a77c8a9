"""The rendered bytes do not change while `GENERATOR_VERSION` stays the same.

`golden/people.npz` and `people.json` were rendered by the first renderer of version 3, before it
was made faster. Where torch and the width of its vectors are those of the recording, every byte
must be the same; elsewhere functions such as the power may round otherwise, which shows as one
level in single pixels.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from kpbench.people.dataset import GENERATOR_VERSION
from kpbench.people.picture.render import Chunk, Renderer
from kpbench.people.protocol import PeopleProtocol
from kpbench.registry import load_protocol

GOLDEN = Path(__file__).parents[1] / "golden"
PIXELS = 16
RECORDED = json.loads((GOLDEN / "people.json").read_text())
VECTORS = torch.backends.cpu.get_cpu_capability()
HERE = {"torch": torch.__version__.split("+")[0], "vectors": VECTORS}


@pytest.fixture(scope="module")
def rendered() -> dict[str, Chunk]:
    found = {}
    for key in RECORDED["digests"]:
        name, split, number, moment = key.split("-")
        protocol = load_protocol(f"people_{name}")
        assert isinstance(protocol, PeopleProtocol)
        renderer = Renderer(protocol.settings, split, PIXELS, torch.device("cpu"))
        found[key] = renderer.chunk(int(number), int(moment))
    return found


def test_all_protocols_splits_and_moments_are_recorded() -> None:
    assert GENERATOR_VERSION == 3, "record anew"
    parts = [
        set(column) for column in zip(*(k.split("-") for k in RECORDED["digests"]), strict=True)
    ]
    assert parts[0] == {"background", "taichi", "fashion", "plain"}
    assert parts[1] == {"train", "test"} and parts[3] == {"0", "1"}


def test_images_are_those_of_the_recording(rendered: dict[str, Chunk]) -> None:
    with np.load(GOLDEN / "people.npz") as recorded:
        for key, chunk in rendered.items():
            images, depth = recorded[f"{key}-images"], recorded[f"{key}-depth"]
            off = np.abs(chunk.images[: len(images)].astype(int) - images)
            assert (off > 1).mean() < 0.002 and (off > 0).mean() < 0.02, key
            off = np.abs(chunk.depth[: len(depth)].astype(int) - depth)
            assert (off > 1).mean() < 0.002, key
            landmarks = recorded[f"{key}-landmarks"]
            np.testing.assert_allclose(chunk.landmarks[: len(landmarks)], landmarks, atol=1e-5)


@pytest.mark.skipif(
    any(RECORDED[name] != value for name, value in HERE.items()),
    reason=f"recorded with another torch or vector width than {HERE}",
)
def test_every_byte_is_that_of_the_recording(rendered: dict[str, Chunk]) -> None:
    for key, chunk in rendered.items():
        found = hashlib.sha256()
        for field in fields(chunk):
            found.update(getattr(chunk, field.name).tobytes())
        assert found.hexdigest() == RECORDED["digests"][key], key
