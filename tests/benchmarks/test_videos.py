"""Prediction on a long video: `pytest tests/benchmarks/test_videos.py --benchmark-only -s`.

Each run is a process of its own, so that its peak of memory is that of the prediction.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.api import Array, FitContext
from kpbench.registry import configured_method
from kpbench.testing import toy_labelled

pytest.importorskip("av")
pytest.importorskip("h5py")
from tests.files.video.toys import write_video

WIDTH, HEIGHT = 320, 240
CODED = "libx264", "yuv420p", {"preset": "veryfast"}
PREDICT = """
import json, sys, time
from pathlib import Path
import torch
from kpbench.files.video.reading import opened
from kpbench.running.own_videos import predict_videos
torch.set_num_threads(1)
video, model, output = map(Path, sys.argv[1:4])
start = time.process_time()
with opened(video) as frames:
    n = sum(1 for _ in frames.frames())
decoding = time.process_time() - start
start = time.process_time()
overlay = sys.argv[4] == "overlay"
list(predict_videos(model, [video], output, overlay=overlay, progress=lambda *_: None))
predicting = time.process_time() - start
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) / 1024
print(json.dumps({"frames": n, "decoding": n / decoding, "all": n / predicting, "peak": peak}))
"""


def pictures(n: int) -> Iterator[Array]:
    """Yield frames of a disc that moves over a textured ground."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.random.default_rng(0).integers(40, 90, (HEIGHT, WIDTH, 3), np.uint8)
    for i in range(n):
        cx, cy = WIDTH / 2 + 90 * np.cos(i / 40), HEIGHT / 2 + 70 * np.sin(i / 25)
        frame = ground.copy()
        frame[np.hypot(x - cx, y - cy) < 24] = (220, 180, 60)
        yield frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two videos and a model of the size of `standard`."""
    folder = tmp_path_factory.mktemp("videos")
    for n in (1_000, 10_000):
        write_video(folder / f"{n}.mp4", pictures(n), coded=CODED)
    sizes = {"image_size": 64, "detector_width": 32}
    method = configured_method("autolink", role="", recipe="smoke", overrides=sizes)
    context = FitContext(recipe="smoke")
    method.fit(toy_labelled(8, seed=1).images, n_keypoints=16, seed=0, context=context)
    method.save(folder / "model")
    return folder


@pytest.mark.parametrize("overlay", ["", "overlay"])
def test_predict(overlay: str, folder: Path, benchmark: BenchmarkFixture) -> None:
    def predict(n: int) -> dict[str, float]:
        words = [str(folder / f"{n}.mp4"), str(folder / "model"), str(folder / "out"), overlay]
        command = [sys.executable, "-c", PREDICT, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    short = predict(1_000)
    long = benchmark.pedantic(predict, (10_000,), rounds=1)  # type: ignore[no-untyped-call]
    assert long["frames"] == 10_000
    benchmark.extra_info.update({name: round(value) for name, value in long.items()})
    print(  # noqa: T201
        f"\n{overlay or 'tables alone'}: {long['all']:.0f} frames a CPU second, decoding alone "
        f"{long['decoding']:.0f}; peak {short['peak']:.0f} MB at 1,000 frames, "
        f"{long['peak']:.0f} at 10,000"
    )
    assert long["peak"] < short["peak"] + 64  # the frames take 2.3 GB; buffers warm up
