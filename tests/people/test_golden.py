"""The rendered bytes do not change while `GENERATOR_VERSION` stays the same.

`golden/people.npz` and `people.json` were rendered by the first renderer of that version. Where
torch and the width of its vectors are those of the recording, every byte must be the same;
elsewhere functions such as the power may round otherwise, which shows as one level in single
pixels. When the version is raised, record anew:

    python -m tests.people.test_golden
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from kpbench.people.dataset import GENERATOR_VERSION
from kpbench.people.picture.render import Chunk, Renderer
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.scene.sampler import Split
from kpbench.registry import available, load_protocol

GOLDEN = Path(__file__).parents[1] / "golden"
PIXELS, KEPT = 16, 4
"""Of the images of a chunk the first are kept, and the digest of all."""
NAMES = ("background", "plain", "rooms", "fashion", "taichi")
KEYS = [f"{name}-{part}" for name in NAMES for part in ("train-1-0", "test-0-1")]
"""Protocol, split, chunk and moment."""
FIELDS = ("images", "depth", "landmarks")
RECORDED = json.loads((GOLDEN / "people.json").read_text())
VECTORS = torch.backends.cpu.get_cpu_capability()
HERE = {"torch": torch.__version__.split("+")[0], "vectors": VECTORS}


def render(key: str) -> Chunk:
    name, split, number, moment = key.split("-")
    protocol = load_protocol(f"people_{name}")
    assert isinstance(protocol, PeopleProtocol)
    renderer = Renderer(protocol.settings, cast(Split, split), PIXELS, torch.device("cpu"))
    return renderer.chunk(int(number), int(moment))


def digest(chunk: Chunk) -> str:
    found = hashlib.sha256()
    for field in fields(chunk):
        found.update(getattr(chunk, field.name).tobytes())
    return found.hexdigest()


def record() -> None:
    """Write the recording of this version."""
    chunks = {key: render(key) for key in KEYS}
    digests = {key: digest(chunk) for key, chunk in chunks.items()}
    content = {"generator": GENERATOR_VERSION, **HERE, "digests": digests}
    (GOLDEN / "people.json").write_text(f"{json.dumps(content, indent=1)}\n")
    arrays = {
        f"{key}-{name}": getattr(chunk, name)[:KEPT]
        for key, chunk in chunks.items()
        for name in FIELDS
    }
    np.savez_compressed(GOLDEN / "people.npz", allow_pickle=False, **arrays)


@pytest.fixture(scope="module")
def rendered() -> dict[str, Chunk]:
    return {key: render(key) for key in KEYS}


def test_the_recording_is_of_this_version_and_of_all_protocols() -> None:
    assert RECORDED["generator"] == GENERATOR_VERSION, "record anew"
    assert list(RECORDED["digests"]) == KEYS
    people = {name for name in available("protocols") if name.startswith("people_")}
    assert people == {f"people_{name}" for name in NAMES}


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
        assert digest(chunk) == RECORDED["digests"][key], key


if __name__ == "__main__":
    record()
