"""Parameters and arguments: which values they may have, and when that is said."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import MultipleOf
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from kpbench import Pixels, Share, Steps
from kpbench.cli.arguments import MOST_SEEDS, parse_seeds
from kpbench.cli.main import main
from kpbench.contracts.parameters import LAST_SEED, check_parameters, check_value
from kpbench.data.variants import Variant, VariedProtocol, configured
from kpbench.errors import CheckpointError, InvalidInputError, TrainingError, UnknownNameError
from kpbench.records.model import load_model
from kpbench.records.record import all_records
from kpbench.registry import available, configured_method, load_protocol

ROOT = Path(__file__).parents[1]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@dataclass
class Base:
    steps: Steps = 9


@dataclass
class Toy(Base):
    steps: int = 20
    size: Annotated[Pixels, MultipleOf(16)] = 32
    rate: float = 0.5
    flip: bool = False
    kind: Literal["constant", "cosine"] = "constant"
    share: Share = 0.5
    old: Annotated[int, Field(ge=3, lt=9)] = 4
    odd: Unresolved = None  # type: ignore[name-defined]  # noqa: F821


def whole(value: object) -> bool:
    return type(value) is int


def real(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def is_allowed(name: str, value: Any) -> bool:
    """What the annotations of `Toy` mean, written another way."""
    rules: dict[str, Callable[[], bool]] = {
        "steps": lambda: whole(value) and value >= 1,
        "size": lambda: whole(value) and value in range(16, 16_385, 16),
        "rate": lambda: real(value),
        "flip": lambda: type(value) is bool,
        "kind": lambda: value in ("constant", "cosine"),
        "share": lambda: real(value) and 0 <= value <= 1,
        "old": lambda: whole(value) and value in range(3, 9),
        "odd": lambda: True,
    }
    return rules[name]()


@given(
    st.sampled_from([*Toy.__dataclass_fields__]),
    JSON | st.integers(-2, 40) | st.floats(-1, 2) | st.sampled_from(["9", "cosine", "", "maybe"]),
)
def test_a_value_is_taken_exactly_where_its_field_allows_it(name: str, value: Any) -> None:
    try:
        check_parameters(Toy, {name: value}, "toy", TrainingError)
    except TrainingError as error:
        assert not is_allowed(name, value), error
        assert str(error).startswith(f"toy: {name} must be ")
    else:
        assert is_allowed(name, value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "a whole number of 1 or more (steps), got 0"),
        ("size", 40, "a whole number from 1 to 16384 that is a multiple of 16 (pixels), got 40"),
        ("rate", math.nan, "a number, got NaN"),
        ("flip", 1, "true or false, got 1"),
        ("kind", "linear", 'one of constant, cosine, got "linear"'),
        ("share", 1.5, "a number from 0 to 1, got 1.5"),
        ("old", 2, "a whole number of 3 or more and below 9, got 2"),
        ("rate", "x" * 500, f'a number, got "{"x" * 76}...'),
    ],
)
def test_what_is_allowed_is_said(name: str, value: Any, words: str) -> None:
    with pytest.raises(TrainingError) as caught:
        check_parameters(Toy, {name: value}, "toy", TrainingError)
    assert str(caught.value) == f"toy: {name} must be {words}"


def test_unknown_names_and_own_validators() -> None:
    with pytest.raises(UnknownNameError, match="did you mean steps"):
        check_parameters(Toy, {"step": 3}, "toy", TrainingError)
    with pytest.raises(InvalidInputError, match="must be a whole number, or null, got"):
        check_value(int | None, "x", "it")
    check_value(tuple[int, ...], (1, 2), "it")
    with pytest.raises(TrainingError, match="a number, got a number of thousands of digits"):
        check_parameters(Toy, {"rate": 10**5000}, "toy", TrainingError)


def test_values_of_committed_records_are_taken_as_they_are() -> None:
    """Their digests are made of them: a float that became an int would be another run."""
    records = list(all_records(ROOT / "leaderboards" / "results"))
    assert len(records) > 40
    for who in (record.identity for record in records):
        if who.method not in available("methods"):
            continue
        method = configured_method(who.method, role="", recipe="paper", overrides=dict(who.params))
        kept = who.model_copy(update={"params": dict(method.params())})
        assert kept.digest() == who.digest(), who.method


@pytest.mark.parametrize("name", sorted(available("methods")))
def test_every_recipe_and_role_of_every_method_is_allowed(name: str) -> None:
    from kpbench.api import MethodBase
    from kpbench.registry import load_method, recipes, roles

    method = load_method(name)
    assert isinstance(method, MethodBase)
    check_parameters(type(method), method.params(), name, TrainingError)
    for recipe in recipes():
        for role in ("", *roles()):
            try:
                method.configured(role=role, recipe=recipe, overrides={})
            except UnknownNameError as error:
                assert "has no values for the recipe" in str(error)


BAD = (
    *("autolink.steps=NaN", "autolink.steps=", 'autolink.steps="9"', "autolink.steps=1.5"),
    *("autolink.steps=true", "autolink.steps=0", "autolink.steps=-Infinity", "autolink.flip=maybe"),
    *("autolink.batch_size=2.5", "autolink.thickness=NaN", "autolink.image_size=99999999999"),
)


@pytest.mark.parametrize("value", BAD)
def test_bad_values_are_refused_before_anything_is_loaded(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kpbench.running.own_images.read_folder", lambda *_: 1 / 0)
    monkeypatch.setattr("kpbench.cli.console.run_and_report", lambda *_, **__: 1 / 0)
    out = tmp_path / "model"
    target, _, text = value.partition("=")
    for words in (
        ["train", "autolink", "--output", str(out), "--images", str(tmp_path)],
        ["evaluate", "-m", "autolink", "-p", "people_plain", "--results", str(out)],
    ):
        assert main([*words, "--recipe", "smoke", "--set", value]) == 2
        said = capsys.readouterr().err
        assert f"autolink: {target.partition('.')[2]} must be " in said, said
        assert text.strip('"') in said
        assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "autolink.image_size=40"], "image_size must be a positive multiple of 16"),
        (["--set", "autolink.decay=linear"], "decay must be one of constant, step"),
        (["--set", "autolink.mask_ratio=1.5"], "mask_ratio must be in [0, 1]"),
        (["-k", "1"], "needs K of 2 or more"),
        (["--seed", "18446744073709551616"], "--seed"),
        (["--seed", "-1"], "--seed"),
        (["-k", "99999999999"], "-k"),
    ],
)
def test_values_that_do_not_fit_are_refused_before_the_images_are_read(
    options: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kpbench.running.own_images.read_folder", lambda *_: 1 / 0)
    out = tmp_path / "model"
    train = ["train", "autolink", "--output", str(out), "--images", str(tmp_path)]
    assert main([*train, "--recipe", "smoke", *options]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"k": 0}, "people_plain: k must be a whole number from 1 to 4096, or null, got 0"),
        ({"k": True}, "k must be a whole number"),
        ({"images": 1}, "images must be a whole number of 2 or more"),
        ({"depth_noise": math.nan}, "depth_noise must be a number of 0 or more, got NaN"),
        ({"depth_noise": False}, "depth_noise must be a number"),
        ({"depth_levels": 2.5}, "levels = 2.5: 0 .none., or a whole number from 2 to 4096"),
        ({"depth_blur": 3}, "blur = 3: "),
    ],
)
def test_arguments_of_protocols(argument: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        configured("people_plain", argument)
    _, kept = configured("people_plain", {"k": 8, "depth_noise": 1})
    assert json.dumps(kept) == '{"k": 8, "depth_noise": 1}', "as given: part of the identity"


def test_a_varied_protocol_can_be_copied_and_pickled() -> None:
    varied, _ = configured("people_plain", {"k": 8})
    assert isinstance(varied, VariedProtocol)
    for copied in (copy.deepcopy(varied), copy.copy(varied), pickle.loads(pickle.dumps(varied))):
        assert (copied.n_keypoints, copied.name, copied.variant) == (
            8,
            "people_plain",
            Variant(k=8),
        )
    with pytest.raises(AttributeError, match="nothing_like_it"):
        varied.nothing_like_it  # noqa: B018
    assert load_protocol("people_plain").n_keypoints != 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("²", "write 0, 0-2"),
        ("٣", "write 0, 0-2"),
        ("0-99999999999", f"more than {MOST_SEEDS:,}"),
        ("0-9999,20000-29999", f"more than {MOST_SEEDS:,}"),
        ("18446744073709551616", "write 0, 0-2"),
        (str(LAST_SEED + 1), f"none above {LAST_SEED}"),
        ("9" * 5000, "write 0, 0-2"),
    ],
)
def test_seeds_that_nothing_could_run(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        parse_seeds(text)
    assert len(str(caught.value)) < 250


@given(st.text(st.sampled_from("0123456789,- ²x"), max_size=12))
def test_seeds_are_a_sorted_list_or_an_error_that_says_how(text: str) -> None:
    try:
        seeds = parse_seeds(text)
    except InvalidInputError:
        return
    assert seeds == sorted(set(seeds))
    assert 0 < len(seeds) <= MOST_SEEDS


def test_the_last_seed_trains(tmp_path: Path) -> None:
    words = ["evaluate", "-m", "random_detector", "-p", "people_plain", "--recipe", "smoke"]
    assert parse_seeds(str(LAST_SEED)) == [LAST_SEED]
    assert main([*words, "--seeds", str(LAST_SEED), "--results", str(tmp_path)]) == 0


def test_a_model_whose_parameters_were_edited(tmp_path: Path) -> None:
    params = {"image_size": 0}
    about = {"method": "autolink", "version": 1, "params": params}
    (tmp_path / "method.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=r"method.json is corrupt.*image_size must be"):
        load_model(tmp_path)
