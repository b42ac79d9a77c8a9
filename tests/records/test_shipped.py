"""Shipped weights: made of a finished run, found in any package, scored without training."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from kpbench.api import ImageSet
from kpbench.boards.board import read_boards
from kpbench.boards.leaderboard import render
from kpbench.boards.pages import picture
from kpbench.cli.main import main
from kpbench.errors import CheckpointError, ExportError, MissingWeightsError, RecordError
from kpbench.files.checkpoint import ABOUT, ARRAYS, content_hash, write_checkpoint
from kpbench.records import ship as export_weights
from kpbench.records import shipped as pretrained
from kpbench.records.model import load_model
from kpbench.records.record import Record, all_records
from kpbench.records.ship import BOUND, halved
from kpbench.records.shipped import Shipped, all_shipped, find_model, find_shipped
from kpbench.registry import load_method
from kpbench.running.execute import Outcome, evaluate
from kpbench.running.plan import Cell
from kpbench.running.resolve import Settings
from kpbench.testing import toy_labelled
from tests.conftest import Install, bright

SHINY = bright("shiny").replace('name = "shiny"', 'name = "shiny"\n    paper = "Doe 2030"')
ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = ("people_background", "people_fashion", "people_plain", "people_taichi")


def run(results: Path, *methods: str, seed: int = 0, **options: Any) -> list[Outcome]:
    cells = [Cell(method, "toy_discs", seed) for method in methods]
    return list(evaluate(cells, Settings(results, **options)))


@pytest.fixture
def shelf(install: Install, toy_discs: str, tmp_path: Path) -> Path:
    """Install a package with a method of its own; return its folder for shipped weights."""
    package = install("methods", {"shiny": SHINY})
    return tmp_path / f"site-{package}" / package / "pretrained"


def ship(trained: Path, shelf: Path) -> None:
    assert [outcome.status for outcome in run(trained, "shiny")] == ["ok"]
    words = ["export", "shiny", "-p", "toy_discs", "--results", str(trained)]
    assert main([*words, "--weights", str(shelf)]) == 0


@pytest.fixture
def results(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train the method, ship its weights, and make any further training of it an error."""
    trained = tmp_path / "trained"
    ship(trained, shelf)

    def fit(*_: Any, **__: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(type(load_method("shiny")), "fit", fit)
    return trained


def only(root: Path, method: str) -> Record:
    [record] = [found for found in all_records(root) if found.identity.method == method]
    return record


def test_shipped_weights_are_scored_without_training(
    results: Path, shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = tmp_path / "scored"
    words = ["evaluate", "--pretrained", "-m", "shiny", "-m", "mean_shape"]
    assert main([*words, "--results", str(scored)]) == 0, "the protocol is that of the weights"
    record, trained = only(scored, "shiny"), only(results, "shiny")
    assert record.identity.pretrained == find_shipped("shiny", "toy_discs").content
    assert record.scores == trained.scores
    assert "fit" not in record.seconds
    assert record.provenance["pretrained"]["record"] == trained.identity.digest()
    assert record.provenance["pretrained"]["finished"] == trained.provenance["finished"]
    assert only(scored, "mean_shape").identity.pretrained is None
    assert "fit" in only(scored, "mean_shape").seconds
    assert "shiny, pretrained" in capsys.readouterr().out
    [outcome] = run(scored, "shiny", pretrained=True)
    assert outcome.status == "cached"


def test_an_identity_without_shipped_weights_keeps_its_digest(results: Path) -> None:
    identity = only(results, "shiny").identity
    assert "pretrained" not in identity.model_dump(mode="json")
    marked = identity.model_copy(update={"pretrained": "ab" * 32})
    assert marked.model_dump(mode="json")["pretrained"] == "ab" * 32
    assert marked.digest() != identity.digest()


@pytest.mark.parametrize(
    ("options", "seed", "reason"),
    [
        ({}, 1, "the seed was 0, asked for is 1"),
        ({"recipe": "paper"}, 0, "the recipe was quick, asked for is paper"),
        ({"arguments": {"toy_discs": {"k": 3}}}, 0, "arguments of the protocol"),
        ({"arguments": {"toy_discs": {"images": 9}}}, 0, "arguments of the protocol"),
    ],
)
def test_weights_of_another_training_are_skipped(
    options: dict[str, Any], seed: int, reason: str, results: Path, tmp_path: Path
) -> None:
    [outcome] = run(tmp_path / "scored", "shiny", seed=seed, pretrained=True, **options)
    assert outcome.status == "skipped"
    assert reason in outcome.reason


def test_weights_of_other_data_are_skipped(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kpbench.registry import load_protocol

    monkeypatch.setattr(type(load_protocol("toy_discs")), "fingerprint", lambda *_: "new discs")
    [outcome] = run(tmp_path / "scored", "shiny", pretrained=True)
    assert (outcome.status, "the data was discs-quick" in outcome.reason) == ("skipped", True)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("version", 2, "the version of the protocol was 1, asked for is 2"),
        ("n_keypoints", 5, "K was 4, asked for is 5"),
    ],
)
def test_weights_of_another_protocol_of_the_same_data_are_skipped(
    name: str,
    value: int,
    reason: str,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kpbench.registry import load_protocol

    monkeypatch.setattr(type(load_protocol("toy_discs")), name, value)
    [outcome] = run(tmp_path / "scored", "shiny", pretrained=True)
    assert outcome.status == "skipped"
    assert reason in outcome.reason


def test_methods_without_weights_are_skipped_and_references_are_fitted(
    results: Path, tmp_path: Path
) -> None:
    found = run(tmp_path / "scored", "oracle", "autolink", "shiny", pretrained=True)
    assert [outcome.status for outcome in found] == ["ok", "skipped", "ok"]
    assert "shiny (toy_discs)" in found[1].reason


def test_contradictions_are_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--pretrained", "-m", "shiny", "--results", str(tmp_path / "scored")]
    assert main([*words, "--set", "shiny.gain=2"]) == 2
    assert "parameters of their own" in capsys.readouterr().err
    assert main([*words, "-p", "toy_discs", "--train-on", "people_plain"]) == 1
    assert "leave out --train-on" in capsys.readouterr().out
    assert main([*words[:2], "-m", "mean_shape"]) == 2
    assert "no weights of mean_shape are shipped" in capsys.readouterr().err


def altered(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / ARRAYS).read_bytes())
    data[-1] ^= 1
    (folder / ARRAYS).write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (flip_a_bit, "was altered since it was written"),
        (lambda f: (f / ARRAYS).write_bytes(b"version https://git-lfs"), "is corrupt"),
        (lambda f: (f / ARRAYS).unlink(), f"{ARRAYS} is missing"),
        (lambda f: (f / ABOUT).write_text("{}"), "is corrupt"),
        (lambda f: (f / pretrained.RECORD).unlink(), "record.json cannot be read"),
        (lambda f: altered(f, ABOUT, lambda c: c["params"].update(gain=9.0)), "params is"),
        (lambda f: altered(f, ABOUT, lambda c: c.update(version=7)), "version is 7"),
        (
            lambda f: altered(
                f,
                "record.json",
                lambda c: c.update(
                    status="failed", scores={}, error={"type": "TrainingError", "message": "NaN"}
                ),
            ),
            "status is 'failed', expected 'ok'",
        ),
        (
            lambda f: altered(f, "record.json", lambda c: c["identity"].update(protocol="celeba")),
            "protocol is 'celeba', expected 'toy_discs'",
        ),
    ],
)
def test_unusable_weights_fail_and_say_why(
    harm: Callable[[Path], Any], reason: str, results: Path, shelf: Path, tmp_path: Path
) -> None:
    harm(shelf / "shiny" / "toy_discs")
    [outcome] = run(tmp_path / "scored", "shiny", pretrained=True)
    assert outcome.status == "failed"
    assert reason in outcome.reason
    assert list((tmp_path / "scored").rglob("*.json")) == []


def test_weights_under_another_name_are_not_taken(results: Path, shelf: Path) -> None:
    (shelf / "shiny" / "toy_discs").rename(shelf / "shiny" / "people_plain")
    with pytest.raises(CheckpointError, match="protocol is 'toy_discs', expected 'people_plain'"):
        find_shipped("shiny", "people_plain")
    with pytest.raises(MissingWeightsError, match=r"shiny \(people_plain\)"):
        find_shipped("shiny", "toy_discs")


def test_boards_keep_shipped_and_trained_apart(shelf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "boards"
    run_all = folder / "results"
    ship(tmp_path / "trained", shelf)
    for seed in (0, 1, 2):
        if seed:
            run(run_all, "shiny", seed=seed)
        run(run_all, "mean_shape", "oracle", seed=seed)
    run(run_all, "shiny", pretrained=True)
    trained, shipped = read_boards(run_all)
    assert {row.label: row.wanted for row in trained.rows} == dict.fromkeys(
        ("mean_shape v1", "oracle v1", "shiny v1"), (0, 1, 2)
    )
    assert [record.identity.seed for record in trained.rows[2].records] == [1, 2]
    assert [row.label for row in shipped.rows] == [
        "mean_shape v1",
        "oracle v1",
        "shiny v1 pretrained",
    ]
    assert shipped.ranks(shipped.evaluator) == {}, "one seed is never ranked"
    assert all(len(row.records) == 1 for row in shipped.rows)
    text = render(folder)[folder / "toy_discs.md"]
    assert "pretrained=shipped" in text
    assert text.count("| shiny v1 pretrained") >= 1


def test_a_board_of_references_and_shipped_weights_is_one(results: Path, tmp_path: Path) -> None:
    run(tmp_path / "scored", "mean_shape", "shiny", pretrained=True)
    [board] = read_boards(tmp_path / "scored")
    assert board.arguments == {"pretrained": "shipped"}


def test_predict_uses_shipped_weights(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = toy_labelled(1, seed=5).images.images[0]
    Image.fromarray(photo).save(tmp_path / "photo.png")
    words = ["predict", str(tmp_path / "photo.png"), "--output", str(tmp_path / "out")]
    assert main([*words, "--method", "shiny", "--protocol", "toy_discs"]) == 0
    rows = json.loads((tmp_path / "out" / "keypoints.json").read_text())["images"]
    wanted = load_model(find_model(results, "shiny", "toy_discs")).predict(ImageSet(photo[None]))
    np.testing.assert_allclose(rows[0]["keypoints"], wanted.points[0], atol=1e-6)
    capsys.readouterr()
    assert main([*words, "--method", "shiny"]) == 2
    said = capsys.readouterr().err
    assert "shiny (toy_discs)" in said
    assert "--model or --results" in said


def test_the_default_of_predict_is_the_student(
    results: Path, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def find(method: str, protocol: str) -> Shipped:
        asked.append((method, protocol))
        return Shipped("shiny", "toy_discs", shelf / "shiny" / "toy_discs")

    monkeypatch.setattr(pretrained, "find_shipped", find)
    Image.fromarray(toy_labelled(1).images.images[0]).save(tmp_path / "photo.png")
    words = ["predict", str(tmp_path / "photo.png"), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    assert asked == [("distill_dkp", "people_background")]


def test_a_model_of_the_plain_protocol_goes_before_those_of_its_variants(
    shelf: Path, tmp_path: Path
) -> None:
    for arguments in ({}, *({"toy_discs": {"k": k}} for k in (2, 3, 5, 6))):
        run(tmp_path, "shiny", arguments=arguments)
    assert load_model(find_model(tmp_path, "shiny", "toy_discs")).predict(
        toy_labelled(1).images
    ).points.shape == (1, 4, 2)


def trained_detector(results: Path) -> Record:
    [outcome] = run(results, "random_detector", recipe="smoke")
    assert outcome.record is not None
    return outcome.record


def test_a_detector_is_halved_and_finds_what_it_found(toy_discs: str, tmp_path: Path) -> None:
    record = trained_detector(tmp_path)
    for shelf in ("a", "b"):
        made = export_weights.export_weights(tmp_path, record, tmp_path / shelf)
    assert 0 < made.largest <= BOUND
    place = tmp_path / "a" / "random_detector" / "toy_discs"
    for path in place.iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    model = record.identity.file(tmp_path, "model")
    assert (place / ARRAYS).stat().st_size < 0.62 * (model / ARRAYS).stat().st_size
    before, after = load_model(model), load_model(place)
    images = toy_labelled(9, seed=7).images
    found = [np.asarray(method.predict(images).points) for method in (before, after)]
    assert 0 < abs(found[0] - found[1]).max() <= BOUND
    state = after.state()  # type: ignore[attr-defined]
    assert {value.dtype.name for value in state.values()} == {"float32"}


def test_weights_that_rounding_spoils_are_not_written(
    toy_discs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = trained_detector(tmp_path)
    monkeypatch.setattr(export_weights, "BOUND", 1e-9)
    with pytest.raises(ExportError, match="half precision moves keypoints"):
        export_weights.export_weights(tmp_path, record, tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


def test_only_a_plain_training_is_shipped(results: Path, shelf: Path, tmp_path: Path) -> None:
    run(tmp_path / "scored", "shiny", pretrained=True)
    with pytest.raises(ExportError, match="no finished training"):
        export_weights.export_weights(tmp_path, only(tmp_path / "scored", "shiny"), shelf)
    record = only(results, "shiny")
    (record.identity.file(results, "model") / ABOUT).unlink()
    with pytest.raises(CheckpointError, match="no trained model"):
        export_weights.export_weights(results, record, shelf)


numbers = st.floats(-(2.0**100), 2.0**100, width=32)
shapes = array_shapes(min_dims=0, max_dims=3, max_side=4)


@settings(max_examples=200, deadline=None)
@given(arrays(np.float32, shapes, elements=numbers | st.floats(-9, 9, width=32)))
def test_halving_keeps_eleven_digits_or_leaves_alone(value: npt.NDArray[np.float32]) -> None:
    rounded = halved(value)
    if rounded.dtype == np.float32:
        assert rounded is value
        return
    wide, exact = rounded.astype(float), value.astype(float)
    assert np.isfinite(wide).all()
    if value.ndim < 2:
        assert (abs(wide - exact) <= abs(exact) / 2048).all()
    else:
        for channel, kept in zip(exact, wide, strict=True):
            assert abs(kept - channel).max() <= abs(channel).max() / 2048


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.array([1.0, 2e-6], np.float32), False),  # a variance that would lose its digits
        (np.array([1.0, 70000.0], np.float32), False),  # too large
        (np.array([1.0, 0.3], np.float32), True),
        (np.array([[1.0, 2e-6]], np.float32), True),  # beside a large weight of its filter
        (np.array([[1.0], [2e-6]], np.float32), False),  # a filter of its own
        (np.array([0.0, -0.5], np.float64), True),
    ],
)
def test_halving_of_what_is_easily_lost(value: npt.NDArray[Any], kept: bool) -> None:
    assert (halved(value).dtype == np.float16) == kept


def test_whole_numbers_are_not_touched() -> None:
    for value in (np.arange(3), np.array([True]), np.array([1, 2], np.float16)):
        assert halved(value) is value


def test_the_content_hash_does_not_change() -> None:
    state = {"w": np.arange(6, dtype=np.float16).reshape(2, 3), "k": np.array(4)}
    assert content_hash(state) == (
        "efe2dc6bc1087168be22769142089dfcafe14c10a2733736c2ab4a5ff662c82c"
    )
    assert content_hash({**state, "w": state["w"].reshape(3, 2)}) != content_hash(state)
    assert content_hash({"w": state["w"].T.copy().T, "k": state["k"]}) == content_hash(state)


def test_the_content_does_not_depend_on_files(results: Path, shelf: Path) -> None:
    import os

    place = shelf / "shiny" / "toy_discs"
    before = find_shipped("shiny", "toy_discs").content
    os.utime(place / ARRAYS, (1, 1))
    assert find_shipped("shiny", "toy_discs").content == before
    method = load_model(place)
    state = {"k": np.array(3)}
    write_checkpoint(place, method, state, {"sha256": content_hash(state)})
    assert find_shipped("shiny", "toy_discs").content == content_hash(state) != before


def test_a_corrupt_record_is_named(results: Path, shelf: Path) -> None:
    (shelf / "shiny" / "toy_discs" / "record.json").write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        find_shipped("shiny", "toy_discs")


def test_the_picture_belongs_to_the_weights(
    results: Path, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "METHODS", ("shiny",))
    monkeypatch.setattr(picture, "PROTOCOLS", ("toy_discs",))
    path = tmp_path / "people.png"
    assert main(["picture", str(path)]) == 0
    assert picture.is_current(path)
    with Image.open(path) as drawn:
        assert drawn.width > 200
        assert len(drawn.convert("RGB").getcolors(drawn.width * drawn.height) or ()) > 20
    place = shelf / "shiny" / "toy_discs"
    state = {"k": np.array(3)}
    write_checkpoint(place, load_model(place), state, {"sha256": content_hash(state)})
    assert not picture.is_current(path)


def test_the_picture_of_the_readme_is_current() -> None:
    path = ROOT / "leaderboards" / "people.png"
    assert picture.is_current(path), "run: kpbench picture leaderboards/people.png"
    assert path.stat().st_size <= 200_000


def in_tree() -> list[Shipped]:
    return [w for w in all_shipped() if w.folder.is_relative_to(ROOT / "methods")]


def test_every_trained_method_is_shipped_for_the_rendered_people() -> None:
    wanted = {(m, p) for m in ("autolink", "depth_teacher", "distill_dkp") for p in PROTOCOLS}
    assert {(weights.method, weights.protocol) for weights in in_tree()} == wanted


def test_what_is_shipped_is_small_and_whole() -> None:
    files = [path for weights in in_tree() for path in weights.folder.iterdir()]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    [pattern] = settings["package-data"]["kpbench_methods"]
    assert set(files) == set((ROOT / "methods").glob(pattern)), "what a wheel takes along"
    assert {path.name for path in files} <= {ABOUT, ARRAYS, pretrained.RECORD}
    assert sum(path.stat().st_size for path in files) <= 25e6
    for weights in in_tree():
        weights.check()
        method = load_model(weights.folder)
        assert (method.name, weights.record.identity.recipe) == (weights.method, "quick")
        assert json.loads((weights.folder / ABOUT).read_text())["sha256"] == weights.content
