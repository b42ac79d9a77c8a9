"""Training and predicting on image files of the user's own."""

from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
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


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_unreadable_file_costs_its_own_row(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "c.png"):
        Image.new("RGB", (30, 20), (90, 9, 9)).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    files = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    output = tmp_path / "out"
    assert main(["predict", *files, "--model", str(model), "--output", str(output)]) == 1
    said = capsys.readouterr()
    assert f"kpbench: {files[1]} is no readable image" in said.err
    assert "BytesIO" not in said.err
    assert files_of(output) == [
        *("a.keypoints.png", "c.keypoints.png", "keypoints.csv", "keypoints.json")
    ]
    assert sorted(said.out.split()) == [str(path) for path in sorted(output.iterdir())]
    found = json.loads((output / "keypoints.json").read_text())
    assert [row["file"] for row in found["images"]] == [files[0], files[2]]
    text = (output / "keypoints.json").read_text()
    assert text == json.dumps(found, indent=1), "it is written as if it were written at once"
    rows = list(csv.DictReader((output / "keypoints.csv").open()))
    assert [row["file"] for row in rows] == [files[0]] * 2 + [files[2]] * 2


def test_if_no_file_can_be_read_there_are_no_tables(model: Path, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"nothing")
    words = ["predict", str(tmp_path / "b.png"), "--model", str(model)]
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    assert files_of(tmp_path / "out") == []


def test_what_was_found_before_a_fault_is_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (30, 20), (90, 9, 9)).save(tmp_path / name)
    output, files = tmp_path / "out", [tmp_path / "a.png", tmp_path / "b.png"]
    found = own_images.predict_files(model, files, output)
    assert next(found).files == [output / "a.keypoints.png"]
    [part] = output.glob("keypoints.partial-*.csv")
    assert len(part.read_text().splitlines()) == 3, "a kill loses no row"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(own_images, "read_image", stop)
    with pytest.raises(KeyboardInterrupt):
        next(found)
    assert files_of(output) == [
        *("a.keypoints.png", "keypoints.partial.csv", "keypoints.partial.json")
    ]
    [row] = json.loads((output / "keypoints.partial.json").read_text())["images"]
    assert row["file"] == str(files[0])


def test_images_are_held_one_at_a_time(model: Path, tmp_path: Path) -> None:
    files = []
    for i in range(8):
        files.append(tmp_path / f"{i}.png")
        Image.new("RGB", (800, 600), (i, 9, 9)).save(files[-1])
    peaks = []
    for chosen in (files[:2], files):
        tracemalloc.start()
        for _ in own_images.predict_files(model, chosen, tmp_path / "out"):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 800 * 600 * 3


def test_a_folder_stands_for_its_images(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed(tmp_path / "photos")
    output = tmp_path / "out"
    words = ["predict", str(tmp_path / "photos"), "--model", str(model), "--output", str(output)]
    assert main(words) == 0
    rows = json.loads((output / "keypoints.json").read_text())["images"]
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.jpg", "c.TIF"]
    assert LEFT_OUT in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(tmp_path / "empty"), "--model", str(model)]) == 2
    assert "holds no image (.bmp, " in capsys.readouterr().err


LEFT_OUT = (
    "photos: subfolders (1): more; hidden (2): .DS_Store, ._a.png; of other formats (2): "
    "a.gif, d.txt"
)


def mixed(folder: Path) -> None:
    """Fill a folder with three images and much else."""
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "c.TIF", "more/e.png", "a.gif"):
        Image.new("RGB", (30, 20), (90, 9, 9)).save(folder / name)
    for name in ("._a.png", ".DS_Store", "d.txt"):
        (folder / name).write_bytes(b"\0\5\26\7")


def test_training_says_what_of_a_folder_it_leaves_out(tmp_path: Path) -> None:
    mixed(tmp_path / "photos")
    told: list[str] = []
    assert len(own_images.read_folder(tmp_path / "photos", 16, told.append)) == 3
    assert told == [f"left out of {tmp_path}/{LEFT_OUT}"]


def test_all_unusable_images_of_a_training_are_named(tmp_path: Path) -> None:
    mixed(tmp_path / "photos")
    for name in ("x.png", "y.png"):
        (tmp_path / "photos" / name).write_bytes(b"nothing")
    with pytest.raises(InvalidInputError, match=r"2 of 5 images .*x\.png is no.*y\.png is no"):
        own_images.read_folder(tmp_path / "photos", 16, print)


def test_images_to_train_on_are_held_once(tmp_path: Path) -> None:
    for i in range(40):
        Image.new("RGB", (20, 20), (i, 9, 9)).save(tmp_path / f"{i:02}.png")
    tracemalloc.start()
    images = own_images.read_folder(tmp_path, 256, print).images
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * images.nbytes
    assert [int(image[0, 0, 0]) for image in images] == list(range(40))


def test_names_that_are_not_utf8(
    model: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    photo = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        Image.new("RGB", (30, 20), (90, 9, 9)).save(photo)
    except OSError:
        pytest.skip("this file system has no such names")
    output = tmp_path / "out"
    assert main(["predict", str(photo), "--model", str(model), "--output", str(output)]) == 0
    name = f"{tmp_path}/caf\\xe9.png"
    [row] = json.loads((output / "keypoints.json").read_bytes().decode())["images"]
    assert row["file"] == name
    assert (output / "keypoints.csv").read_bytes().decode().count(name) == 2
    assert (output / os.fsdecode(b"caf\xe9.keypoints.png")).is_file()
    assert "caf\\xe9.keypoints.png" in capfdbinary.readouterr().out.decode()


def test_results_of_long_names_can_be_written(model: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{'é' * 120}{end}.png" for end in ("a", "b")]
    for path in files:
        Image.new("RGB", (30, 20), (90, 9, 9)).save(path)
    words = ["predict", *map(str, files), "--model", str(model)]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.keypoints.png"))) == 2


def test_an_overlay_never_overwrites_an_image(model: Path, tmp_path: Path) -> None:
    for name in ("a.png", "a.keypoints.png"):
        Image.new("RGB", (30, 20), (90, 9, 9)).save(tmp_path / name)
    before = (tmp_path / "a.keypoints.png").read_bytes()
    words = ["predict", str(tmp_path / "a.png"), str(tmp_path / "a.keypoints.png")]
    assert main([*words, "--model", str(model), "--output", str(tmp_path)]) == 2
    assert (tmp_path / "a.keypoints.png").read_bytes() == before


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
