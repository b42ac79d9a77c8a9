"""Which run is meant: the plain one, whatever ablations lie beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kpbench.cli.main import main
from kpbench.errors import InvalidInputError
from kpbench.records.find import described, find_run
from kpbench.records.record import Identity, Record, Score
from kpbench.records.shipped import chosen_model, find_model, whose_model
from kpbench.running.execute import Settings, evaluate
from kpbench.running.plan import Cell
from tests.conftest import Install, bright
from tests.running.test_local_processes import STUDENT

SHINY = bright("shiny").replace(
    "    def fit",
    """    def configured(self, *, role, recipe, overrides):
        usual = {"gain": {"quick": 5.0, "paper": 6.0}.get(recipe, 4.0)}
        return self._with({**usual, **overrides})

    def fit""",
)


@pytest.fixture
def results(tmp_path: Path, install: Install, toy_discs: str) -> Path:
    teacher = bright("teacher")
    install("methods", {"shiny": SHINY, "teacher": teacher, "student": STUDENT})
    return tmp_path / "results"


def run(
    results: Path,
    method: str = "shiny",
    finished: str = "2026",
    dependency: Identity | None = None,
    **changes: Any,
) -> Record:
    """Write a record and an empty model; gain = 5 is the recipe `quick`'s own, 6 `paper`'s."""
    recipe = changes.get("recipe", "quick")
    own = {"shiny": {"gain": {"quick": 5.0, "paper": 6.0, "smoke": 4.0}[recipe]}}
    plain = {
        "protocol": "toy_discs", "protocol_version": 1, "data": "discs", "method": method,
        "method_version": 1, "params": own.get(method, {}), "n_keypoints": 4, "seed": 0,
        "recipe": recipe, "device": "cpu",
    }  # fmt: skip
    score = Score(
        metric="normalised L2", unit="%", higher_is_better=False, oracle_used=False, value=1.0,
        ci95=(0.0, 2.0), n_images=20, rank=9, n_features=9,
    )  # fmt: skip
    record = Record(
        identity=Identity(**{**plain, "dependency": dependency, **changes}),
        status="ok", evaluator="toy_discs/strict", supervision="none",
        scores={"toy_discs/strict": score}, provenance={"finished": finished},
    )  # fmt: skip
    record.save(results)
    record.identity.file(results, "model").mkdir()
    return record


@pytest.mark.parametrize("recipe", ["quick", "paper"])
def test_the_recipes_own_parameters_go_before_ablations_of_a_lower_seed(
    results: Path, recipe: Any
) -> None:
    """Of sixteen other settings some have a smaller digest, and all were finished later."""
    plain = run(results, finished="2020", seed=1, recipe=recipe)
    for gain in range(8):
        for seed in (0, 1):
            run(results, seed=seed, recipe=recipe, params={"gain": gain + 10.0})
    assert find_run(results, "shiny", "toy_discs") == plain
    assert find_model(results, "shiny", "toy_discs") == plain.identity.file(results, "model")


def test_the_longer_recipe_goes_before_a_lower_seed(results: Path) -> None:
    run(results)
    run(results, recipe="smoke")
    longer = run(results, seed=7, recipe="paper")
    assert find_run(results, "shiny", "toy_discs") == longer


def test_arguments_come_after_parameters_and_shipped_weights_last(results: Path) -> None:
    others = [run(results, arguments={"images": n}) for n in (9, 10, 11, 12)]
    shipped = [run(results, pretrained=letter * 64) for letter in "abcd"]
    moved = run(
        results, trained_on=shipped[0].identity.model_copy(update={"protocol": "people_plain"})
    )
    ablation = run(results, seed=1, params={"gain": 2.0})
    assert find_run(results, "shiny", "toy_discs") == ablation
    ablation.path(results).unlink()
    assert find_run(results, "shiny", "toy_discs") in others
    for record in others:
        record.path(results).unlink()
    moved.path(results).unlink()
    assert find_run(results, "shiny", "toy_discs") in shipped


def test_a_teacher_set_otherwise_is_an_ablation_too(results: Path) -> None:
    usual, other = (run(results, "teacher", params={"gain": gain}).identity for gain in (4.0, 2.0))
    plain = run(results, "student", params={"shift": 0.0}, dependency=usual, seed=1)
    ablation = run(results, "student", params={"shift": 0.0}, dependency=other)
    assert find_run(results, "student", "toy_discs") == plain
    assert described(ablation.identity).endswith("(teacher.gain=2.0)")


def test_of_equals_the_newest_versions_the_lowest_seed_the_latest(results: Path) -> None:
    for seed in (2, 1, 3):
        run(results, seed=seed)
    assert find_run(results, "shiny", "toy_discs").identity.seed == 1
    found = [run(results, finished=f"202{n}", seed=1, data=str(n)) for n in (7, 9, 8)]
    assert find_run(results, "shiny", "toy_discs") == found[1]
    for name in ("method_version", "protocol_version"):
        changes: dict[str, Any] = {name: 2}
        newer = run(results, seed=9, **changes)
        assert find_run(results, "shiny", "toy_discs") == newer


def test_a_seed_and_a_recipe_can_be_asked_for(results: Path) -> None:
    asked = [(seed, recipe) for seed in (0, 1, 10) for recipe in ("quick", "paper")]
    runs = {each: run(results, seed=each[0], recipe=each[1]) for each in asked}
    for (seed, recipe), record in runs.items():
        assert find_run(results, "shiny", "toy_discs", seed=seed, recipe=recipe) == record
        model = chosen_model("shiny", "toy_discs", None, results, seed=seed, recipe=recipe)
        assert model == record.identity.file(results, "model")
    assert find_run(results, "shiny", "toy_discs", seed=1) == runs[1, "paper"]
    assert find_run(results, "shiny", "toy_discs", recipe="quick") == runs[0, "quick"]
    with pytest.raises(InvalidInputError, match="--seeds 5 --recipe paper --results"):
        find_run(results, "shiny", "toy_discs", seed=5, recipe="paper")


def test_a_run_whose_model_is_gone_has_none_to_take(results: Path) -> None:
    first, second = run(results), run(results, seed=1)
    shutil.rmtree(first.identity.file(results, "model"))
    assert find_run(results, "shiny", "toy_discs").identity == first.identity
    assert find_model(results, "shiny", "toy_discs") == second.identity.file(results, "model")
    shutil.rmtree(second.identity.file(results, "model"))
    with pytest.raises(InvalidInputError, match="no trained shiny for toy_discs in"):
        find_model(results, "shiny", "toy_discs")


def test_a_run_is_told_by_its_digest_and_what_differs(results: Path, tmp_path: Path) -> None:
    plain = run(results)
    text = f"toy_discs / shiny / seed 0, quick recipe, run {plain.identity.digest()}"
    assert described(plain.identity) == text
    assert whose_model(plain.identity.file(results, "model")) == text
    other = run(results, arguments={"images": 9}, params={"gain": 2.0})
    assert described(other.identity).endswith(f"{other.identity.digest()} (gain=2.0, images=9)")
    assert whose_model(tmp_path / "model") == str(tmp_path / "model")


def test_commands_name_the_run_that_they_take(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from kpbench.testing import toy_labelled

    settings = Settings(results, overrides={"shiny": {"gain": 2.0}})
    [outcome] = evaluate([Cell("shiny", "toy_discs", 0)], settings)
    assert outcome.record is not None
    text = described(outcome.record.identity)
    assert text.endswith("(gain=2.0)")
    photo = tmp_path / "photo.png"
    Image.fromarray(toy_labelled(1).images.images[0]).save(photo)
    place = ["--protocol", "toy_discs", "--results", str(results)]
    output = ["--output", str(tmp_path / "out")]
    assert main(["predict", str(photo), "--method", "shiny", *place, *output]) == 0
    assert text in capsys.readouterr().err
    assert main(["disagreement", "shiny", "toy_discs", "--results", str(results)]) == 0
    assert text in capsys.readouterr().out
    assert main(["export", "shiny", *place, "--weights", str(tmp_path / "shelf")]) == 0
    assert text in capsys.readouterr().err
