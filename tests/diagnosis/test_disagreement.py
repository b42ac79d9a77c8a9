"""One set of detections under every evaluator: numbers by hand, the command, the page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kpbench.boards.leaderboard import render, stale_pages, write_pages
from kpbench.cli.main import main
from kpbench.diagnosis.disagreement import Verdict, disagreement, of_run
from kpbench.errors import InvalidInputError, RecordError
from kpbench.records.find import find_run
from kpbench.records.record import Artifact, Identity, Record
from kpbench.running.execute import Settings
from kpbench.running.execute import evaluate as run
from kpbench.running.plan import grid
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import evaluate
from kpbench.scoring.named import disagreement_evaluators, get_evaluator
from kpbench.scoring.regression import fit_regressor
from tests.conftest import Install, bright


def detections(n: int, seed: int, *, missing: float = 0.0) -> Detections:
    rng = np.random.default_rng(seed)
    landmarks = rng.uniform(0.2, 0.8, (n, 18, 2))
    keypoints = np.clip(landmarks[:, :6] + rng.normal(0, 0.05, (n, 6, 2)), 0, 1)
    visible = rng.random((n, 18)) >= missing
    return Detections(keypoints, landmarks * visible[..., None], visible)


def taichi() -> dict[str, Verdict]:
    train, test = detections(200, 0, missing=0.3), detections(90, 1, missing=0.3)
    names = ("taichi/siarohin", "taichi/stablekeypoints", "taichi/strict", "deepfashion/strict")
    specs = [get_evaluator(name) for name in names]
    specs[-1] = replace(specs[-1], name="taichi/pck", rows="visible", aggregation="pooled_mean")
    found = disagreement(specs, "taichi/siarohin", train, test)
    return {name: verdict for verdict in found for name in verdict.names}


def test_percent_is_the_error_of_one_landmark_in_the_image() -> None:
    train, test = detections(200, 0, missing=0.3), detections(90, 1, missing=0.3)
    found = taichi()
    for name, bias, centre in (("strict", True, 0.0), ("stablekeypoints", False, 0.5)):
        fitted = fit_regressor(
            train.keypoints, train.landmarks, train.visible, bias=bias, centre=centre
        )
        gap = fitted.predict(test.keypoints) - test.landmarks
        if name == "strict":  # |dx| + |dy|, a mean for each landmark
            each = [np.abs(gap[test.visible[:, i], i]).sum(-1).mean() for i in range(18)]
            expected = 100 * np.mean(each)
        else:
            expected = 100 * np.linalg.norm(gap, axis=-1)[test.visible].mean()
        assert found[f"taichi/{name}"].percent == pytest.approx(expected, rel=1e-9)
    assert found["taichi/pck"].percent is None


def test_ratios_refer_to_strict_and_only_among_comparable_numbers() -> None:
    found = taichi()
    strict, stable = found["taichi/strict"], found["taichi/stablekeypoints"]
    assert strict.score is not None and stable.score is not None
    assert strict.ratio == strict.percent_ratio == 1
    assert stable.ratio == stable.score.value / strict.score.value
    assert stable.percent is not None and strict.percent is not None
    assert stable.percent_ratio == stable.percent / strict.percent
    # sums of distances over the visible against sums of |dx| + |dy| over all: not comparable as
    # printed, and closer in % a landmark, where sqrt(2) > sum / distance > 1 is left
    assert stable.ratio < 0.6 < stable.percent_ratio < 1
    assert found["taichi/pck"].ratio is None
    mean = replace(stable.spec, name="taichi/mean", aggregation="pooled_mean")
    train, test = detections(200, 0), detections(90, 1)
    [_, mixed] = disagreement([strict.spec, mean], "taichi/siarohin", train, test)
    assert mixed.ratio is None and mixed.percent_ratio is not None


def test_px_at_128_is_1_28_times_percent() -> None:
    """The same rule in StableKeypoints' unit: all of the printed difference is the unit."""
    strict = get_evaluator("deepfashion/strict")
    percent = replace(strict, name="x/strict", error="l2", threshold=None, scale=100.0, unit="%")
    pixels = replace(percent, name="x/pixels", scale=128.0, unit="px at 128")
    found = disagreement([pixels, percent], "x/pixels", detections(90, 0), detections(40, 1))
    assert found[0].ratio == pytest.approx(1.28)
    assert found[0].percent_ratio == pytest.approx(1)


def test_errors_in_units_of_the_object_are_no_share_of_the_image() -> None:
    train, test = detections(90, 0), detections(40, 1)
    boxes = np.tile([0.1, 0.1, 0.5, 0.5], (90, 1))
    train, test = replace(train, boxes=boxes), replace(test, boxes=boxes[:40])
    spec = replace(get_evaluator("cub/huang"), n_landmarks=None, joints=None)
    eyes = get_evaluator("celeba/strict")
    found = disagreement([spec, replace(eyes, name="cub/eyes")], "cub/huang", train, test)
    assert [v.percent for v in found] == [None, None]
    assert all(v.score is not None for v in found)


def test_who_cannot_score_says_why_and_json_has_no_nan() -> None:
    specs = disagreement_evaluators("human36m")
    found = disagreement(specs, "human36m/autolink", detections(90, 0), detections(40, 1))
    unscored = {v.spec.name: v.reason for v in found if v.score is None}
    assert "32 landmarks, got 18" in unscored["human36m/autolink"]
    text = json.dumps([v.as_dict() for v in found], allow_nan=False)
    rows = {row["evaluator"]: row for row in json.loads(text)}
    assert rows["human36m/autolink"]["score"] is None and rows["human36m/autolink"]["reason"]
    assert rows["human36m/strict"]["ratio"] == 1
    assert rows["human36m/autolink"]["known_fault"]
    perfect = detections(90, 2)
    perfect = replace(perfect, keypoints=perfect.landmarks)
    other = detections(60, 3)
    other = replace(other, keypoints=other.landmarks)
    zero = disagreement(specs, "human36m/autolink", perfect, other)
    assert all(v.ratio is None and v.percent_ratio is None for v in zero)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A record in Taichi's role with its predictions, as a finished run leaves them."""
    folder = tmp_path / "results"
    train, test = detections(120, 0), detections(60, 1)
    arrays = {
        f"{split}_{name}": getattr(part, name)
        for split, part in (("train", train), ("test", test))
        for name in ("keypoints", "landmarks", "visible")
    }
    identity = Identity(
        protocol="people_taichi", protocol_version=1, data="0", method="autolink",
        method_version=1, params={}, n_keypoints=6, seed=0, recipe="quick", device="cpu",
    )  # fmt: skip
    found = evaluate(get_evaluator("people_taichi/siarohin"), train, test)
    path = identity.file(folder, "predictions.npz")
    path.parent.mkdir(parents=True)
    np.savez(path, test_groups=np.arange(60) // 4, **arrays)
    [strict] = disagreement([get_evaluator("people_taichi/siarohin")], "", train, test)
    assert strict.score is not None and strict.score.value == found.value
    record = Record(
        identity=identity,
        status="ok",
        evaluator="people_taichi/siarohin",
        supervision="none",
        scores={"people_taichi/siarohin": strict.score},
        artifacts={"predictions": artifact(path)},
    )
    record.save(folder)
    return folder


def artifact(path: Path) -> Artifact:
    return Artifact(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_command_scores_the_kept_predictions(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["disagreement", "autolink", "people_taichi", "--results", str(results)]
    assert main([*words, "--json"]) == 0
    rows = {row["evaluator"]: row for row in json.loads(capsys.readouterr().out)}
    record = find_run(results, "autolink", "people_taichi")
    names = [[name, *row["also"]] for name, row in rows.items()]
    every = {spec.name for spec in disagreement_evaluators("people_taichi")}
    assert {name for same in names for name in same} == every
    same = ("siarohin", "autolink", "strict", "ganseg")
    assert names[0] == [f"people_taichi/{name}" for name in same], "one rule, counted once"
    again = rows["people_taichi/siarohin"]["score"]
    assert again["value"] == pytest.approx(record.scores["people_taichi/siarohin"].value)
    assert again["resampled"] == "identities"
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "people_taichi/stablekeypoints" in text and "differ by a factor of" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["autolink", "people_fashion"], "run: kpbench evaluate -m autolink -p people_fashion"),
        (["autolink", "people_taichi", "--seed", "3"], "--seeds 3 --recipe quick --results"),
        (["autolink", "people_taichi", "--recipe", "quik"], "did you mean quick"),
        (["autolnk", "people_taichi"], "did you mean autolink"),
        (["autolink", "people_tachi"], "did you mean people_taichi"),
    ],
)
def test_without_a_run_there_is_the_command_for_it(
    results: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["disagreement", *words, "--results", str(results)]) == 2
    assert message in capsys.readouterr().err


def test_predictions_that_were_not_kept_or_altered(results: Path) -> None:
    record = find_run(results, "autolink", "people_taichi")
    path = record.path(results).with_name(record.artifacts["predictions"].file)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(RecordError, match="was altered"):
        of_run(results, record)
    path.unlink()
    with pytest.raises(InvalidInputError, match=r"--recipe quick --results .* --rerun"):
        of_run(results, record)


def test_run_of_the_default_arguments_is_preferred(results: Path) -> None:
    record = find_run(results, "autolink", "people_taichi")
    for arguments, finished in (({"k": 4}, "2031"), ({}, "2030")):
        identity = record.identity.model_copy(
            update={"arguments": arguments, "params": {"finished": finished}}
        )
        record.model_copy(update={"identity": identity, "provenance": {"finished": finished}}).save(
            results
        )
    assert find_run(results, "autolink", "people_taichi").provenance == {"finished": "2030"}


def test_page_has_every_run_with_predictions_and_check_covers_it(results: Path) -> None:
    folder = results.parent
    record = find_run(results, "autolink", "people_taichi")
    scores = record.path(results).with_suffix(".scores.npz")
    scores.write_bytes(_scores())
    record.model_copy(update={"artifacts": {**record.artifacts, "scores": artifact(scores)}}).save(
        results
    )
    write_pages(folder)
    page = (folder / "disagreement.md").read_text()
    assert "## people_taichi v1: autolink v1, seed 0, quick recipe, K = 6" in page
    for verdict in of_run(results, record):
        assert f"`{verdict.spec.name}`" in page
        assert verdict.spec.known_fault in page
    assert "(disagreement.md)" in (folder / "README.md").read_text()
    assert stale_pages(folder) == []
    assert render(folder)[folder / "disagreement.md"] == page
    (folder / "disagreement.md").write_text(page + "edited")
    assert stale_pages(folder) == [folder / "disagreement.md"]
    write_pages(folder)
    record.path(results).with_name(record.artifacts["predictions"].file).unlink()
    assert set(stale_pages(folder)) == {folder / "disagreement.md", folder / "README.md"}
    write_pages(folder)
    assert not (folder / "disagreement.md").exists()


def _scores() -> bytes:
    from kpbench.scoring.per_image import save_scores

    spec = get_evaluator("people_taichi/siarohin")
    return save_scores([evaluate(spec, detections(120, 0), detections(60, 1))])


def test_a_real_run_of_a_package_of_its_own(
    tmp_path: Path, toy_discs: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("methods", {"shiny": bright("shiny")})
    list(run(grid(["shiny"], [toy_discs], [0]), Settings(tmp_path, recipe="smoke")))
    words = ["disagreement", "shiny", toy_discs, "--recipe", "smoke", "--json"]
    assert main([*words, "--results", str(tmp_path)]) == 0
    [row] = json.loads(capsys.readouterr().out)
    record = find_run(tmp_path, "shiny", toy_discs, recipe="smoke")
    assert row["score"]["value"] == pytest.approx(record.scores["toy_discs/strict"].value, rel=1e-4)
