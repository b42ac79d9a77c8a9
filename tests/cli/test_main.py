"""The command line: what it prints, how it fails, and its exit codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpbench.api import Device
from kpbench.cli.arguments import parse_overrides, parse_precision, parse_seeds
from kpbench.cli.main import main
from kpbench.errors import InvalidInputError
from kpbench.registry import available
from kpbench.running.plan import Cell
from kpbench.running.resolve import Settings
from tests.conftest import Install, bright

GOLDEN = Path(__file__).parents[1] / "golden" / "evaluators.npz"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    streams = capsys.readouterr()
    return streams.out + streams.err


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", [0]), ("0-2", [0, 1, 2]), ("3,0,5-6", [0, 3, 5, 6]), ("7-7", [7])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "2-1", "-1", "1-", "1..3", "10-9"])
def test_unusable_seeds(text: str) -> None:
    with pytest.raises(InvalidInputError, match="write 0, 0-2"):
        parse_seeds(text)


def test_overrides_are_json_or_text() -> None:
    found = parse_overrides(["a.steps=9", "a.layer=resnet", "b.flip=true", "b.gamma=0.4"])
    assert found == {"a": {"steps": 9, "layer": "resnet"}, "b": {"flip": True, "gamma": 0.4}}
    with pytest.raises(InvalidInputError, match=r"METHOD\.NAME=VALUE"):
        parse_overrides(["steps=9"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "autolnk"], "did you mean autolink"),
        (["evaluate", "-m", "autolnk"], "did you mean autolink"),
        (["evaluate", "-p", "people_plan"], "did you mean people_plain"),
        (["evaluate", "--recipe", "quik"], "did you mean quick"),
        (["evaluate", "--device", "gpu"], "did you mean cpu"),
        (["evaluate", "--seeds", "x"], "write 0, 0-2"),
        (["evaluate", "--set", "steps=9"], "METHOD.NAME=VALUE"),
        (["evaluate", "--set", "autolnk.steps=9"], "did you mean autolink"),
        (["list", "method"], "did you mean methods"),
        (["check", "orcale"], "did you mean oracle"),
        (["leaderboard", "--folder", "nowhere"], "there is no folder nowhere"),
        (["score", "x.npz"], "name an --evaluator"),
        (["score", "x.npz", "--evaluator", "taichi/siarohn"], "did you mean taichi/siarohin"),
        (["score", "x.npz", "--evaluator", "taichi/siarohin"], "x.npz"),
        (
            ["predict", "x.png", "--results", "results"],
            "run: kpbench evaluate -m distill_dkp -p people_background",
        ),
        (["predict", "x.png", "--method", "mean_shape"], "no weights of mean_shape"),
        (["predict", "x.png", "--model", "a", "--results", "b"], "not both"),
        (["predict", "x.png", "--model", "nowhere"], "nowhere holds no trained model"),
        (["train", "autolink", "--output", "o"], "--images or a --protocol"),
        (["train", "autolink", "--output", "o", "--images", "none"], "there is no folder none"),
        (["new", "method", "autolink"], "name of an installed method"),
        (["evaluate", "--precision", "nonsense"], "no precision called 'nonsense'"),
        (["evaluate", "--precision", "bf16-true"], "did you mean bf16-mixed"),
        (["evaluate", "--precision", "16-mixed"], "16-mixed needs --device cuda"),
        (["throughput", "--precision", "64-true"], "no precision called '64-true'"),
        (["study", "distill-dkp", "--precision", "16-true"], "no precision called '16-true'"),
        (
            ["evaluate", "-m", "mean_shape", "-p", "people_plain", "--set", "people_taichi.k=8"],
            "people_taichi does not take part here; leave it out, or name one of mean_shape, "
            "people_plain",
        ),
        (
            ["evaluate", "-m", "depth_teacher", "-p", "people_plain", "--set", "distill_dkp.k=8"],
            "distill_dkp does not take part here",
        ),
        (
            ["train", "autolink", "--output", "o", "--images", ".", "--set", "people_plain.k=8"],
            "people_plain does not take part here; leave it out, or name one of autolink",
        ),
        (["train", "autolink", "--output", "o", "--images", ".", "--role", "x"], "no role called"),
        (
            ["train", "autolink", "--output", "o", "--protocol", "people_plain", "--size", "64"],
            "leave out --size",
        ),
        (["predict", "x.png", "--model", "a", "--method", "autolink"], "leave out --method"),
        (["predict", "x.png", "--model", "a", "--protocol", "taichi"], "and --protocol"),
    ],
)
def test_usage_errors_say_what_is_wrong_and_exit_2(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    text = said(capsys)
    assert message in text
    assert "Traceback" not in text
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["-m", "distill_dkp", "-p", "people_plain"], "depth_teacher.steps=2"),
        (["--train-on", "people_plain", "--test-on", "people_taichi"], "people_plain.images=9"),
        (["-m", "autolink"], "people_fashion.k=8"),
    ],
)
def test_what_takes_part_can_be_set(
    words: list[str], given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kpbench.cli.console.run_and_report", lambda *_, **__: 0)
    assert main(["evaluate", *words, "--set", given, "--results", str(tmp_path)]) == 0


def test_a_role_is_one_of_the_protocols(photos: Path, tmp_path: Path) -> None:
    words = ["train", "autolink", "--images", str(photos), "--recipe", "smoke", "--size", "32"]
    assert main([*words, "--output", str(tmp_path / "model"), "--role", "taichi"]) == 0
    about = json.loads((tmp_path / "model" / "method.json").read_text())
    assert about["params"]["flip"], "as in Tai-Chi, not as without a role"


@pytest.mark.parametrize(
    ("name", "device", "wanted"),
    [
        ("auto", "cpu", "32-true"),
        ("auto", "cuda", "bf16-mixed"),
        ("bf16-mixed", "cpu", "bf16-mixed"),
        ("16-mixed", "cuda", "16-mixed"),
    ],
)
def test_precisions(
    name: str, device: Device, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert parse_precision(name, device) == wanted


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = said(capsys)
    for name in ("autolink", "distill_dkp", "people_taichi", "taichi/siarohin"):
        assert name in text
    assert main(["show", "people_taichi"]) == 0
    text = said(capsys)
    for words in ("K ", "10", "cumulative MAE", "lower is better", "Siarohin", "2,000"):
        assert words in text
    assert main(["show", "distill_dkp"]) == 0
    text = said(capsys)
    for words in ("depth", "depth_teacher", "gamma", "2410.14700"):
        assert words in text


def test_evaluate_prints_a_line_a_cell_and_the_table(
    toy_discs: str, install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("methods", {"raises": bright("raises", predict="1 / 0")})
    words = ["evaluate", "-p", toy_discs, "-m", "oracle", "-m", "mean_shape", "--recipe", "smoke"]
    words += ["--results", str(tmp_path / "r")]
    assert main(words) == 0
    text = said(capsys)
    assert "ok       toy_discs / oracle / seed 0" in text
    assert "2 ok" in text
    assert main([*words, "-m", "raises", "--verbose"]) == 1
    text = said(capsys)
    assert "cached   toy_discs / oracle / seed 0" in text
    assert "failed   toy_discs / raises / seed 0 (ZeroDivisionError: division by zero" in text
    assert "Traceback" in text
    assert "2 cached, 1 failed" in text


def test_score_prints_json_that_can_be_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--evaluator", "taichi/siarohin", str(GOLDEN), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["value"] == pytest.approx(473.9890070061285, rel=1e-9)
    assert {"evaluator", "metric", "value", "unit", "ci95"} <= set(found)
    assert found["ci95"][0] < found["value"] < found["ci95"][1]
    assert main(["score", "--group", "taichi", "--all-evaluators", str(GOLDEN), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["evaluator"] for row in rows} >= {"taichi/siarohin", "taichi/stablekeypoints"}
    assert main(["score", "--evaluator", "celeba/imm", str(GOLDEN)]) == 0
    assert "celeba/imm" in capsys.readouterr().out


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, size in enumerate([(40, 48), (64, 64), (50, 33)]):
        array = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{number}.png")
    return folder


def test_train_and_predict_on_own_images(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = tmp_path / "model", tmp_path / "out"
    words = ["train", "autolink", "--images", str(photos), "--output", str(model), "-k", "5"]
    assert main([*words, "--recipe", "smoke", "--size", "32"]) == 0, said(capsys)
    files = [str(path) for path in sorted(photos.iterdir())]
    assert main(["predict", *files, "--model", str(model), "--output", str(output)]) == 0
    rows = json.loads((output / "keypoints.json").read_text())["images"]
    assert [row["width"] for row in rows] == [48, 64, 33]
    points = np.array([row["keypoints"] for row in rows])
    assert points.shape == (3, 5, 2)
    assert ((points > 0) & (points < 1)).all()
    pixels = np.array([row["keypoints_px"] for row in rows])
    np.testing.assert_allclose(pixels[0], points[0] * [48, 40], atol=1e-3)
    with (output / "keypoints.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 15
    assert float(table[0]["x"]) == points[0, 0, 0]
    with Image.open(output / "0.keypoints.png") as picture:
        assert min(picture.size) == 256


@pytest.mark.parametrize(
    ("mode", "message"),
    [("F", "its numbers go from -1 to -1"), (None, "is no readable image")],
)
def test_unusable_images_are_named(
    mode: str | None,
    message: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = photos / "bad.png"
    if mode is None:
        bad.write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    else:
        Image.new(mode, (32, 32), -1).save(bad := bad.with_suffix(".tiff"))
    words = ["train", "autolink", "--images", str(photos), "--output", str(tmp_path / "model")]
    assert main([*words, "--recipe", "smoke"]) == 2
    text = said(capsys)
    assert message in text
    assert str(bad) in text


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_to_train(
    n: int, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(photos.iterdir())[n:]:
        path.unlink()
    words = ["train", "autolink", "--images", str(photos), "--output", str(tmp_path / "model")]
    assert main([*words, "--recipe", "smoke"]) == 2
    assert f"has {n} images" in said(capsys)


def test_a_method_that_reads_depth_cannot_use_a_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "distill_dkp", "--images", str(photos), "--output", str(tmp_path / "model")]
    assert main([*words, "--recipe", "smoke"]) == 2
    assert "the data has no depth; it has: RGB" in said(capsys)


@pytest.mark.parametrize(
    ("words", "rerun"),
    [
        ([], ""),
        (["--rerun"], "all"),
        (["--rerun", "--jobs", "1"], "all"),
        (["--rerun", "changed"], "changed"),
        (["--jobs", "1", "--rerun"], "all"),
    ],
)
def test_evaluate_without_names_runs_every_method_on_the_default_protocols(
    words: list[str], rerun: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first command of the README, and the one word that may lack its value."""
    asked: list[tuple[set[str], set[str], str]] = []

    def note(cells: Sequence[Cell], settings: Settings, **_: object) -> int:
        names = {cell.method for cell in cells}, {cell.protocol for cell in cells}
        asked.append((*names, settings.rerun))
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kpbench.cli.console.run_and_report", note)
    assert main(["evaluate", *words]) == 0
    [(methods, protocols, how)] = asked
    assert methods == set(available("methods"))
    assert protocols == {"people_background", "people_fashion"}
    assert how == rerun


@pytest.mark.parametrize(
    "words", [["evaluate", "--rerun", "some"], ["evaluate", "--rerun=some"], ["check", "--x"]]
)
def test_wrong_words_are_no_traceback(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    text = said(capsys)
    assert "Traceback" not in text and words[-1].removeprefix("--rerun=") in text
