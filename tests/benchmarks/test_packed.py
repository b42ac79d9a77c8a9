"""What packing costs beside decoding, and what it saves.

20,000 images of 128 x 128 in Human3.6M's layout, about 5 kB each, with masks and labels:
`pytest tests/benchmarks/test_packed.py --benchmark-only -s`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.io import savemat

from kpbench.data.packing.packed import PackedSet
from kpbench.data.packing.parallel import on_all_cores
from kpbench.files.matlab import read_mat
from kpbench_protocols.human36m.reader import Human36m
from tests.data.toy_source import let_processes_know

COUNT, CHUNK, BATCH, SIDE = 20_000, 256, 64, 128
LEAST_RATIO = 20
SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9")


def write_frame(root: Path, i: int) -> None:
    """Write image, mask and label of frame i: smooth noise under fine noise, about 5 kB."""
    draw = np.random.default_rng(i)
    coarse = Image.fromarray(draw.integers(0, 256, (12, 12, 3), np.uint8))
    fine = draw.normal(0, 6, (SIDE, SIDE, 3))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), float)
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = ((x - 64) / 25) ** 2 + ((y - 64) / 50) ** 2 < 1
    subject, folder = root / SUBJECTS[i % len(SUBJECTS)], f"Walking {i // 300}.54138969"
    jpeg = subject / "WithBackground" / folder / f"{i}.jpg"
    png = subject / "BackgroudMask" / folder / f"{i}.png"
    mat = subject / "Landmarks" / folder / f"{i}.mat"
    for path in (jpeg, png, mat):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((smooth + fine).clip(0, 255).astype(np.uint8)).save(jpeg, quality=88)
    Image.fromarray(mask.astype(np.uint8) * 255).save(png)
    savemat(mat, {"keypoints_2d": draw.uniform(0.2, 0.8, (32, 2))})


def write_frames(root: Path, first: int) -> None:
    for i in range(first, min(first + CHUNK, COUNT)):
        write_frame(root, i)


@lru_cache
def tree(parent: Path) -> Path:
    """Write the images, once a session."""
    root = parent / "human36m"
    list(on_all_cores(write_frames, [(root, first) for first in range(0, COUNT, CHUNK)]))
    return root


def decode(paths: Sequence[Path]) -> int:
    """Decode images and read labels, nothing else; return how many."""
    for path in paths:
        if path.suffix == ".mat":
            read_mat(path, "keypoints_2d")
        else:
            np.asarray(Image.open(path))
    return len(paths)


def decode_all(paths: Sequence[Path]) -> None:
    chunks = [(paths[i : i + CHUNK],) for i in range(0, len(paths), CHUNK)]
    assert sum(on_all_cores(decode, chunks)) == len(paths)


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def packed_set(root: Path, limit: int | None = None) -> PackedSet:
    return PackedSet("human36m_background", 1, Human36m(), root, "train", limit, SIDE)


def test_packing_beside_decoding(
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tree(tmp_path_factory.getbasetemp())
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path))
    images, masks, labels = (sorted(root.rglob(f"*.{kind}")) for kind in ("jpg", "png", "mat"))
    size = sum(path.stat().st_size for path in images) / len(images)
    decode_all([*images[:CHUNK], *masks, *labels])  # all is in memory, and processes run
    alone = seconds(lambda: decode_all(images))
    everything = seconds(lambda: decode_all([*images, *masks, *labels]))
    spent = seconds(lambda: benchmark.pedantic(packed_set(root).make, rounds=1))  # type: ignore[no-untyped-call]
    print(  # noqa: T201
        f"\n{COUNT} jpg of {size:.0f} bytes, on all cores: decoded in {alone:.1f} s; decoded with "
        f"masks, and labels read, in {everything:.1f} s; packed in {spent:.1f} s, "
        f"{spent / everything:.2f} times that"
    )
    shutil.rmtree(tmp_path)


def test_an_epoch_beside_decoding(
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tree(tmp_path_factory.getbasetemp())
    monkeypatch.setenv("KPBENCH_CACHE", str(tmp_path))
    wanted = packed_set(root)
    wanted.make()
    packed = wanted.open()
    images, paths = packed.images, [root / str(name) for name in packed.names]
    order = np.random.default_rng(0).permutation(COUNT)
    batches = [order[start : start + BATCH] for start in range(0, COUNT, BATCH)]

    def read() -> None:
        for batch in batches:
            assert not np.shares_memory(images[batch], images)

    def decoded() -> None:
        for batch in batches:
            np.stack([np.asarray(Image.open(paths[i])) for i in batch])

    read()  # both are in memory before it counts
    alone = seconds(decoded)
    spent = seconds(lambda: benchmark.pedantic(read, rounds=3)) / 3  # type: ignore[no-untyped-call]
    print(  # noqa: T201
        f"\nan epoch of {COUNT} in batches of {BATCH}, on one core: decoded in {alone:.2f} s, read "
        f"packed in {spent:.2f} s: {alone / spent:.0f} times faster"
    )
    shutil.rmtree(tmp_path)
    assert alone / spent >= LEAST_RATIO


let_processes_know(__name__)
