"""Training and predicting on image files of the user's own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpbench.api import FitContext, Keypoints, Method, no_progress
from kpbench.cli.main import main
from kpbench.diagnosis.overlay import LONGEST, SIDE, overlay, strong_edges
from kpbench.errors import InvalidInputError
from kpbench.files.checkpoint import content_hash
from kpbench.files.image.reading import read_image
from kpbench.records.model import load_model
from kpbench.registry import load_method
from kpbench.running import own_images
from kpbench.running.resolve import Settings
from kpbench.testing import toy_labelled
from kpbench.training.loop import fit_network
from tests.conftest import Install, bright

STEPS = 4


class StoppedError(RuntimeError):
    pass


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the state of every second training step, as long trainings do of every 500th."""
    defaults = fit_network.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "save_every", 2)


def trained(
    name: str,
    folder: Path,
    progress: Callable[[int, int, str], None] = no_progress,
    k: int = 4,
    rate: float = 1e-3,
) -> str:
    """Train in a folder and return a hash of the saved weights."""
    params = {"steps": STEPS, "learning_rate": rate}
    overrides = {each: params for each in own_images.trained_methods(name)}
    settings = Settings(folder, "smoke", overrides=overrides)
    images = toy_labelled(8, seed=1).images
    own_images.train(name, images, settings, role="", n_keypoints=k, seed=0, progress=progress)
    return saved(folder)


def saved(folder: Path) -> str:
    return content_hash(load_model(folder).state())  # type: ignore[attr-defined]


def test_a_used_folder_trains_like_a_fresh_one(states: None, tmp_path: Path) -> None:
    first = trained("autolink", tmp_path / "used")
    for k, rate in ((4, 2e-3), (5, 1e-3)):
        fresh = trained("autolink", tmp_path / f"fresh{k}", k=k, rate=rate)
        assert trained("autolink", tmp_path / "used", k=k, rate=rate) == fresh != first
    assert sorted(path.name for path in (tmp_path / "used").iterdir()) == [
        "method.json",
        "state.safetensors",
    ]


def test_an_interrupted_training_is_resumed_with_its_teacher(states: None, tmp_path: Path) -> None:
    whole = trained("distill_dkp", tmp_path / "whole")
    reported: list[int] = []

    def stop(done: int, total: int, text: str) -> None:
        reported.append(done)
        if reported == [1, 2, 3, 4, 1, 2, 3]:
            raise StoppedError

    with pytest.raises(StoppedError):
        trained("distill_dkp", tmp_path / "stopped", stop)
    assert trained("distill_dkp", tmp_path / "stopped", stop) == whole
    assert reported[7:] == [3, 4], "the teacher is there, and of the student two steps are"
    assert saved(tmp_path / "stopped" / "depth_teacher") == saved(
        tmp_path / "whole" / "depth_teacher"
    )
    assert not list(tmp_path.rglob("training*"))


def stored_at(path: Path, orientation: int) -> Image.Image:
    """Write a dark picture, 40 x 20, with a bright corner, and an EXIF that says how to turn it."""
    picture = Image.new("RGB", (40, 20))
    picture.paste((250, 250, 250), (0, 0, 12, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    return picture


@pytest.fixture
def model(install: Install, tmp_path: Path) -> Path:
    """Return the folder of a fitted method that finds the centre of brightness."""
    install("methods", {"own_bright": bright("own_bright")})
    method: Method = load_method("own_bright")
    images = toy_labelled(2).images
    method.fit(images, n_keypoints=2, seed=0, context=FitContext())
    method.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_photo_is_read_upright(tmp_path: Path) -> None:
    for orientation, turns in ((1, 0), (3, 2), (6, 3), (8, 1)):
        picture = stored_at(tmp_path / "photo.png", orientation)
        found = read_image(tmp_path / "photo.png")
        np.testing.assert_array_equal(found, np.rot90(np.asarray(picture), turns))
    assert read_image(tmp_path / "photo.png", 16).shape == (16, 16, 3)


@pytest.mark.parametrize("exif", [b"nothing", b"Exif\x00\x00MM\x00*\x00"])
def test_a_damaged_exif_turns_nothing(exif: bytes, tmp_path: Path) -> None:
    picture = stored_at(tmp_path / "photo.png", 6)
    picture.save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), np.asarray(picture))


def test_keypoints_are_those_of_the_upright_photo(model: Path, tmp_path: Path) -> None:
    stored_at(tmp_path / "photo.png", 6)
    words = ["predict", str(tmp_path / "photo.png"), "--model", str(model)]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    [row] = json.loads((tmp_path / "out" / "keypoints.json").read_text())["images"]
    assert (row["width"], row["height"]) == (20, 40)
    # the bright corner, 12 x 4 at the top left, lies at the top right once turned: 4 x 12
    np.testing.assert_allclose(row["keypoints_px"], [[18, 6]] * 2, atol=0.01)
    with Image.open(tmp_path / "out" / "photo.keypoints.png") as drawn:
        assert drawn.height == 2 * drawn.width


def test_an_image_that_is_too_large_is_named_with_its_size(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored_at(tmp_path / "photo.png", 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(InvalidInputError, match=r"photo\.png is too large.*make it smaller"):
        own_images.read_folder(twice(tmp_path), 32, print)
    words = ["predict", str(tmp_path / "photo.png"), "--model", str(model)]
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "photo.png is too large" in said
    assert "800 pixels" in " ".join(said.split())


def twice(folder: Path) -> Path:
    """Return a folder with two copies of photo.png."""
    copies = folder / "copies"
    copies.mkdir()
    for name in ("photo.png", "second.png"):
        (copies / name).write_bytes((folder / "photo.png").read_bytes())
    return copies


def test_images_of_one_name_keep_their_rows_and_overlays(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b").mkdir()
    files = ["ok.png", "b/ok.png", "ok-1.png", "b/OK.png"]
    for side, name in enumerate(files, 30):
        Image.new("RGB", (side, 20), (90, 9, 9)).save(name)
    assert main(["predict", *files, "--model", str(model), "--output", "out"]) == 0
    rows = json.loads(Path("out/keypoints.json").read_text())["images"]
    assert [row["file"] for row in rows] == [str(Path(name)) for name in files]
    with Path("out/keypoints.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["file"] for row in table[::2]] == [row["file"] for row in rows]
    drawn = sorted(Path("out").glob("*.png"))
    assert [path.name for path in drawn] == [
        "OK-2.keypoints.png",
        "ok-1-1.keypoints.png",
        "ok-1.keypoints.png",
        "ok.keypoints.png",
    ]
    widths = [Image.open(io.BytesIO(path.read_bytes())).width for path in drawn]
    assert widths == [round(side * SIDE / 20) for side in (33, 32, 31, 30)]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((1, 4000), (1, 4000)),
        ((4000, 1), (4000, 1)),
        ((64, 512), (LONGEST // 8, LONGEST)),
        ((32, 64), (SIDE, 2 * SIDE)),
        ((300, 400), (300, 400)),
    ],
)
def test_an_overlay_is_enlarged_within_bounds(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    found = Keypoints(np.full((1, 3, 2), 0.5), graph=np.ones((3, 3)))
    with Image.open(io.BytesIO(overlay(np.zeros((*size, 3), np.uint8), found))) as drawn:
        assert (drawn.height, drawn.width) == wanted


def test_strong_edges_weigh_more_than_half_of_the_strongest() -> None:
    graph = np.zeros((4, 4))
    for (a, b), weight in {(0, 1): 1.0, (0, 2): 0.5, (1, 3): 0.51, (2, 3): 0.1}.items():
        graph[a, b] = graph[b, a] = weight
    points = np.zeros((1, 4, 2))
    assert [tuple(edge) for edge in strong_edges(Keypoints(points, graph=graph))] == [
        (0, 1),
        (1, 3),
    ]
    assert list(strong_edges(Keypoints(points))) == []
