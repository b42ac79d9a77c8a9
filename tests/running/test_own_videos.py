"""Videos of the user's own: what is found in each frame, what is kept when one ends badly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kpbench.api import FitContext, ImageSet, Method
from kpbench.cli.main import main
from kpbench.errors import DataError, InvalidInputError
from kpbench.files.video.reading import Frame, opened
from kpbench.records.model import load_model
from kpbench.registry import configured_method, load_method
from kpbench.running import own_videos
from kpbench.running.own_videos import predict_videos
from kpbench.testing import toy_labelled
from tests.conftest import Install, bright

pytest.importorskip("av")
pytest.importorskip("h5py")
from tests.files.video.toys import bright_square, cut, write_video

ALL = [".keypoints.csv", ".keypoints.h5", ".keypoints.jsonl"]
FASTSTART = {"movflags": "faststart"}


@pytest.fixture
def model(install: Install, tmp_path: Path) -> Path:
    """Return the folder of a fitted method that finds the centre of brightness."""
    install("methods", {"own_bright": bright("own_bright")})
    method: Method = load_method("own_bright")
    method.fit(toy_labelled(2).images, n_keypoints=2, seed=0, context=FitContext())
    method.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a method with heatmaps."""
    folder = tmp_path_factory.mktemp("network")
    method = configured_method("autolink", role="", recipe="smoke", overrides={})
    context = FitContext(recipe="smoke")
    method.fit(toy_labelled(8, seed=1).images, n_keypoints=4, seed=0, context=context)
    method.save(folder)
    return folder


def predict(model: Path, *words: object, output: Path) -> int:
    return main(["predict", *map(str, words), "--model", str(model), "--output", str(output)])


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, header=[0, 1, 2], index_col=0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_keypoints_are_in_pixels_of_each_frame(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "clip.mp4", bright_square(150), rate=50)
    out = tmp_path / "out"
    assert predict(model, video, output=out) == 0
    assert names(out) == [f"clip{suffix}" for suffix in ALL]
    assert capsys.readouterr().out.split() == [str(out / f"clip{suffix}") for suffix in ALL]
    found = table(out / "clip.keypoints.csv")["kpbench_own_bright"]
    lefts = 2 * np.arange(150) % 44  # of four columns: 4 to 7 have their centre at 5.5
    for name in ("keypoint0", "keypoint1"):
        np.testing.assert_allclose(found[name]["x"], lefts + 1.5, atol=2e-3)
        np.testing.assert_allclose(found[name]["y"], 5.5, atol=2e-3)
        assert found[name]["likelihood"].isna().all(), "the method tells none"
    head, *lines = map(json.loads, (out / "clip.keypoints.jsonl").read_text().splitlines())
    assert (head["width"], head["height"], head["frames_per_second"]) == (48, 32, 50)
    assert head["model"]["method"] == "own_bright"
    assert [line["time"] for line in lines[:3]] == [0, 0.02, 0.04]
    np.testing.assert_allclose(lines[3]["keypoints"], [[8 / 48, 6 / 32]] * 2, atol=1e-4)


def test_a_video_gives_what_its_frames_give_as_images(network: Path, tmp_path: Path) -> None:
    frames = bright_square(70, 40, 64)
    video = write_video(tmp_path / "clip.mp4", frames)
    assert predict(network, video, output=tmp_path) == 0
    _, *lines = map(json.loads, (tmp_path / "clip.keypoints.jsonl").read_text().splitlines())
    for i in (0, 33, 69):
        alone = load_model(network).predict(ImageSet(frames[i][None]))
        assert alone.confidence is not None
        np.testing.assert_allclose(lines[i]["keypoints"], alone.points[0], atol=2e-6)
        np.testing.assert_allclose(lines[i]["likelihood"], alone.confidence[0], atol=2e-6)


def test_the_copy_has_the_keypoints_drawn_into_it(network: Path, tmp_path: Path) -> None:
    frames = bright_square(9, 65, 97)
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    video = write_video(tmp_path / "clip.mp4", frames, rate=12, matrix=quarter)
    assert predict(network, video, "--overlay", output=tmp_path / "out") == 0
    assert names(tmp_path / "out") == sorted([*(f"clip{s}" for s in ALL), "clip.keypoints.mp4"])
    _, first, *_ = (tmp_path / "out" / "clip.keypoints.jsonl").read_text().splitlines()
    with opened(tmp_path / "out" / "clip.keypoints.mp4") as drawn, opened(video) as plain:
        assert drawn.rate == 12
        shown, before = list(drawn.frames()), list(plain.frames())
    assert len(shown) == 9
    assert shown[0].pixels.shape == (98, 66, 3), "upright, of even sides"
    changed = np.abs(shown[0].pixels[:97, :65].astype(int) - before[0].pixels).max(-1)
    for x, y in json.loads(first)["keypoints"]:
        assert changed[int(y * 97), int(x * 65)] > 60
    assert (changed > 60).mean() < 0.5


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a video that is cut off."""
    path = write_video(tmp_path / "broken.mp4", bright_square(200), options=FASTSTART)
    return cut(path, 0.6)


def test_what_was_found_before_a_fault_is_kept_and_the_next_video_follows(
    model: Path, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_video(tmp_path / "whole.mp4", bright_square(20))
    out = tmp_path / "out"
    assert predict(model, broken, whole, "--overlay", output=out) == 1
    suffixes = [*ALL, ".keypoints.mp4"]
    partial = [s.replace("keypoints", "keypoints.partial") for s in suffixes]
    assert names(out) == sorted(
        [*(f"broken{s}" for s in partial), *(f"whole{s}" for s in suffixes)]
    )
    found = table(out / "broken.keypoints.partial.csv")
    lines = (out / "broken.keypoints.partial.jsonl").read_text().splitlines()
    assert len(found) == len(lines) - 1
    assert 100 < len(found) < 150
    said = capsys.readouterr().err
    assert f"broken.mp4: ends before frame {len(found)}: the file is cut off" in said
    assert f"what was found in the {len(found)} frames before it is kept" in said
    np.testing.assert_allclose(
        found["kpbench_own_bright"]["keypoint0"]["x"],
        2 * np.arange(len(found)) % 44 + 1.5,
        atol=2e-3,
    )
    with opened(out / "broken.keypoints.partial.mp4") as drawn:
        assert sum(1 for _ in drawn.frames()) == len(found)

    write_video(broken, bright_square(200))
    assert predict(model, broken, output=out) == 0
    assert "broken.keypoints.partial.csv" not in names(out)
    assert len(table(out / "broken.keypoints.csv")) == 200


def test_a_file_that_is_no_video_leaves_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.avi").write_text("no video")
    assert predict(model, tmp_path / "text.avi", output=tmp_path / "out") == 1
    assert names(tmp_path / "out") == []
    assert "text.avi: cannot be read as a video" in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_it_found(network: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", bright_square(150))

    def stop(done: int, total: int, text: str) -> None:
        assert (total, text) == (150, "clip.mp4")
        if done >= 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(predict_videos(network, [video], tmp_path / "out", overlay=False, progress=stop))
    assert names(tmp_path / "out") == [
        f"clip.keypoints.partial{suffix}" for suffix in (".csv", ".h5", ".jsonl")
    ]
    assert len(table(tmp_path / "out" / "clip.keypoints.partial.csv")) == 128


KILLED = """
import os, signal, sys
from pathlib import Path
from kpbench.running.own_videos import predict_videos
def stop(done, total, text):
    if done >= 128:
        os.kill(os.getpid(), signal.SIGKILL)
model, video, output = map(Path, sys.argv[1:])
list(predict_videos(model, [video], output, overlay=True, progress=stop))
"""


def test_a_killed_run_leaves_no_file_that_looks_whole(network: Path, tmp_path: Path) -> None:
    video, out = write_video(tmp_path / "clip.mp4", bright_square(150)), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(network), str(video), str(out)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(names(out)) == 4
    assert all(name.startswith("clip.keypoints.partial-") for name in names(out))
    [kept] = out.glob("*.csv")
    assert len(table(kept)) == 128


FULL = """
import resource, signal, sys
from kpbench.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("limit", [100, 3_000, 12_000])
def test_a_full_disk_is_an_error_and_nothing_half_is_kept(
    limit: int, network: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 64, 64, 3), np.uint8)
    video, out = write_video(tmp_path / "clip.mp4", list(noise)), tmp_path / "out"
    words = ["predict", str(video), "--overlay", "--model", str(network), "--output", str(out)]
    command = [sys.executable, "-c", FULL, str(limit), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "cannot write clip.keypoints.partial-" in done.stderr
    assert names(out) == []


def test_videos_of_one_name_have_results_of_their_own(model: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    files = [tmp_path / name for name in ("a.mp4", "b/a.mp4", "A.mkv")]
    for n, path in enumerate(files, 3):
        write_video(path, bright_square(n))
    assert predict(model, *files, output=tmp_path / "out") == 0
    for n, name in enumerate(("a", "a-1", "A-2"), 3):
        found = table(tmp_path / "out" / f"{name}.keypoints.csv")
        assert len(found) == n


def test_images_and_videos_may_be_mixed(model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.MP4", bright_square(3))
    Image.fromarray(bright_square(1)[0]).save(tmp_path / "clip.png")
    assert predict(model, video, tmp_path / "clip.png", output=tmp_path / "out") == 0
    assert names(tmp_path / "out") == sorted(
        ["clip.keypoints.png", "keypoints.csv", "keypoints.json", *(f"clip{s}" for s in ALL)]
    )


def test_a_result_never_overwrites_a_video(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_video(tmp_path / "a.mp4", bright_square(3))
    second = write_video(tmp_path / "a.keypoints.mp4", bright_square(4))
    before = second.read_bytes()
    assert predict(model, first, second, "--overlay", output=tmp_path) == 2
    assert "a.keypoints.mp4 is a video to read" in capsys.readouterr().err
    assert second.read_bytes() == before
    assert not list(tmp_path.glob("*.csv"))
    assert predict(model, first, second, output=tmp_path) == 0, "nothing is written there"


@pytest.mark.parametrize(("words", "said"), [
    (["none.mp4"], "there is no video none.mp4"),
    (["a.png", "--overlay"], "--overlay is for videos"),
])  # fmt: skip
def test_usage_is_checked_before_anything_is_done(
    words: list[str], said: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(model, *words, output=tmp_path / "out") == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_method_that_reads_more_than_rgb_is_refused(tmp_path: Path) -> None:
    method = configured_method("depth_teacher", role="", recipe="smoke", overrides={})
    context = FitContext(recipe="smoke")
    method.fit(toy_labelled(8, seed=1).images, n_keypoints=4, seed=0, context=context)
    method.save(tmp_path / "model")
    video = write_video(tmp_path / "a.mp4", bright_square(3))
    with pytest.raises(InvalidInputError, match="depth_teacher reads depth"):
        list(
            predict_videos(
                tmp_path / "model", [video], tmp_path, overlay=False, progress=lambda *_: None
            )
        )


def test_frames_are_predicted_together_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def frames(n: int) -> Iterator[Frame]:
        for _ in range(n):
            yield Frame(np.zeros((10, 10, 3), np.uint8), None, damaged=False)
        raise DataError("the end")

    def sizes(n: int) -> list[int]:
        found: list[int] = []
        with pytest.raises(DataError, match="the end"):
            found.extend(len(batch) for batch in own_videos._batches(frames(n)))
        return found

    assert sizes(0) == []
    assert sizes(130) == [64, 64, 2], "those before the fault come first"
    monkeypatch.setattr(own_videos, "BYTES", 1000)
    assert sizes(7) == [3, 3, 1]
    monkeypatch.setattr(own_videos, "BYTES", 10)
    assert sizes(2) == [1, 1]
