"""The cache of rendered data: atomic, resumable, checked, shared between processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from kpbench.api import Array
from kpbench.errors import CacheError, StorageError
from kpbench.people import dataset, parallel
from kpbench.people.dataset import MANIFEST, RenderedSet, load
from kpbench.people.picture.render import CHUNK, Chunk
from kpbench.people.scene.sampler import Framing, PeopleSettings

from .settings import GREY

WANTED = RenderedSet(GREY, "test", 40, 16)
"""40 images: 3 chunks, the last of them half needed."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dataset, "SHARD_CHUNKS", 1)
    return tmp_path / "cache"


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the renderer by a cheap one that notes the chunks it is asked for."""
    asked: list[int] = []

    def fake(wanted: RenderedSet, numbers: list[int]) -> Iterator[Chunk]:
        for number in numbers:
            asked.append(number)
            item = np.arange(number * CHUNK, (number + 1) * CHUNK)
            rng, side = np.random.default_rng(number), wanted.pixels
            yield Chunk(
                images=rng.integers(0, 255, (CHUNK, side, side, 3), np.uint8),
                depth=rng.integers(0, 9000, (CHUNK, side, side), np.uint16),
                mask=rng.random((CHUNK, side, side)) > 0.5,
                landmarks=rng.random((CHUNK, 32, 2), np.float32),
                joints=rng.random((CHUNK, 32, 3), np.float32),
                visible=rng.random((CHUNK, 32)) > 0.5,
                occluded=rng.random((CHUNK, 32)) > 0.5,
                groups=item,
            )

    monkeypatch.setattr(parallel, "render_chunks", fake)
    return asked


def equal(first: dict[str, Array], second: dict[str, Array]) -> bool:
    return first.keys() == second.keys() and all((first[k] == second[k]).all() for k in first)


def test_real_images_are_made_once_and_read_only_afterwards(cache: Path) -> None:
    told: list[tuple[int, int, str]] = []
    arrays = load(WANTED, lambda *what: told.append(what))
    assert told[0][:2] == (0, 40) and told[-1][:2] == (40, 40)
    assert [t[0] for t in told] == sorted(t[0] for t in told)
    shapes = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    assert shapes == {
        "images": ("uint8", (40, 16, 16, 3)),
        "depth": ("uint16", (40, 16, 16)),
        "mask": ("bool", (40, 16, 16)),
        "landmarks": ("float32", (40, 32, 2)),
        "joints": ("float32", (40, 32, 3)),
        "visible": ("bool", (40, 32)),
        "occluded": ("bool", (40, 32)),
        "groups": ("int64", (40,)),
    }
    for array in arrays.values():
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    told.clear()
    assert equal(load(WANTED, lambda *what: told.append(what)), arrays)
    assert told == [], "the second time nothing is rendered"
    assert not list(WANTED.folder.glob("shards")) and not list(WANTED.folder.glob(".*"))
    more = load(RenderedSet(WANTED.settings, "test", 50, 16))
    assert all((more[name][:40] == arrays[name]).all() for name in arrays)


def test_rendering_goes_on_after_a_kill(cache: Path, rendered: list[int]) -> None:
    def kill(done: int, total: int, text: str) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(WANTED, kill)
    assert not (WANTED.folder / MANIFEST).exists()
    assert rendered == [0, 1]
    rendered.clear()
    arrays = load(WANTED)
    assert rendered == [1, 2], "the finished shard is not rendered again"
    whole = load(RenderedSet(WANTED.settings, "test", 41, 16))
    assert all((whole[name][:40] == arrays[name]).all() for name in arrays)


def test_a_kill_while_assembling_leaves_no_half_file(
    cache: Path, rendered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "_write_field", fail)
        with pytest.raises(KeyboardInterrupt):
            load(WANTED)
    assert [p.name for p in WANTED.folder.iterdir()] == ["shards"]
    rendered.clear()
    assert len(load(WANTED)["images"]) == 40 and rendered == []


def test_a_truncated_file_is_named(cache: Path, rendered: list[int]) -> None:
    load(WANTED)
    path = WANTED.folder / "depth.npy"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CacheError, match=r"depth\.npy is truncated.*delete the folder"):
        load(WANTED)


def test_one_altered_byte_is_found(cache: Path, rendered: list[int]) -> None:
    load(WANTED)
    path = WANTED.folder / "images.npy"
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    with pytest.raises(CacheError, match=r"images\.npy was altered.*delete the folder"):
        load(WANTED)


def test_a_missing_file_is_named(cache: Path, rendered: list[int]) -> None:
    load(WANTED)
    (WANTED.folder / "mask.npy").unlink()
    with pytest.raises(CacheError, match=r"mask\.npy is missing"):
        load(WANTED)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {}}', '{"files": {"images.npy": 3}}'])
def test_a_damaged_manifest_is_named(cache: Path, rendered: list[int], text: str) -> None:
    load(WANTED)
    (WANTED.folder / MANIFEST).write_text(text)
    with pytest.raises(CacheError, match=r"manifest\.json is damaged"):
        load(WANTED)


def test_a_damaged_shard_is_named(cache: Path, rendered: list[int]) -> None:
    shard = WANTED.folder / "shards" / "00001.npz"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"not a zip")
    with pytest.raises(CacheError, match=r"00001\.npz is damaged; delete it"):
        load(WANTED)
    shard.unlink()
    assert len(load(WANTED)["images"]) == 40


def test_a_cache_that_cannot_be_written_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered: list[int]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match="set KPBENCH_CACHE"):
        load(WANTED)
    assert rendered == [], "nothing is computed that cannot be kept"


def test_the_manifest_says_what_made_the_data(cache: Path, rendered: list[int]) -> None:
    load(WANTED)
    manifest = json.loads((WANTED.folder / MANIFEST).read_text())
    assert manifest["data"] == json.loads(json.dumps(WANTED.describe()))
    assert manifest["data"]["generator"] == dataset.GENERATOR_VERSION
    for name, file in manifest["files"].items():
        assert (WANTED.folder / name).stat().st_size == file["bytes"]


def test_two_at_once_do_not_disturb_each_other(cache: Path, rendered: list[int]) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: load(WANTED), range(4)))
    assert all(equal(result, results[0]) for result in results)
    assert sorted(p.suffix for p in WANTED.folder.iterdir()) == [".json"] + [".npy"] * 8


def test_a_set_that_another_process_finishes_meanwhile_is_used(
    cache: Path, rendered: list[int]
) -> None:
    def other(done: int, total: int, text: str) -> None:
        if done == 16 and not (WANTED.folder / MANIFEST).exists():
            load(WANTED)

    assert len(load(WANTED, other)["images"]) == 40
    assert not (WANTED.folder / "shards").exists()


def test_every_setting_changes_the_folder() -> None:
    framing = GREY.framing
    settings = [
        replace(GREY, background="rooms"),
        replace(GREY, acting="fashion"),
        replace(GREY, framing=replace(framing, fill=(0.7, 0.9))),
        replace(GREY, framing=replace(framing, wander=(0.0, 0.0))),
        replace(GREY, framing=replace(framing, facing=20.0)),
        replace(GREY, framing=replace(framing, elevation=(0.0, 15.0))),
        replace(GREY, framing=replace(framing, field_of_view=(30.0, 50.0))),
        replace(GREY, occluders=0.5),
        replace(GREY, aperture=(0.0, 0.03)),
        replace(GREY, seed=1),
    ]
    assert {field.name for field in fields(PeopleSettings)} == {
        "background", "acting", "framing", "occluders", "aperture", "seed"
    }, "a new setting: vary it above"  # fmt: skip
    assert len(fields(Framing)) == 5
    others = [
        *(RenderedSet(changed, "test", 40, 16) for changed in settings),
        RenderedSet(GREY, "train", 40, 16),
        RenderedSet(GREY, "test", 41, 16),
        RenderedSet(GREY, "test", 40, 17),
        RenderedSet(GREY, "test", 40, 16, "cuda"),
        RenderedSet(GREY, "test", 40, 16, "cpu", 1),
    ]
    folders = {one.folder for one in [WANTED, *others]}
    assert len(folders) == len(others) + 1


def test_importing_and_fingerprinting_load_no_torch() -> None:
    code = (
        "import sys; from kpbench.people.protocol import PeopleProtocol;"
        "from kpbench.people.dataset import RenderedSet;"
        "from kpbench.people.scene.sampler import Framing, PeopleSettings;"
        "framing = Framing((0.8, 0.9), (0.0, 0.0));"
        "RenderedSet(PeopleSettings('rooms', 'everyday', framing), 'test', 4, 16).fingerprint();"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
