"""Recipes: which there are, how plugins declare further ones, and who refuses which."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from kpbench.api import Recipe
from kpbench.boards.board import read_boards
from kpbench.cli.main import main
from kpbench.contracts import recipes as contract
from kpbench.contracts.recipes import all_declared, declare_recipe, for_recipe
from kpbench.errors import BrokenPluginError, ContractError, UnknownNameError
from kpbench.records.record import Identity
from kpbench.registry import (
    configured_method,
    find_recipe,
    load_method,
    load_protocol,
    on_boards,
    place_of,
    recipes,
)
from kpbench.running.execute import evaluate
from kpbench.running.plan import Cell, grid
from kpbench.running.resolve import Settings
from tests.conftest import TOY_PROTOCOL, Install, bright

OVERNIGHT = 'declare_recipe("overnight", "eight hours on a core", base="standard", place=15)\n'
IMPORT = "import declare_recipe, Keypoints, MethodBase\n"


def ours(name: str = "ours", declares: str = OVERNIGHT) -> str:
    """Return the source of a method that declares a recipe and has a value for it."""
    source = bright(name).replace("import Keypoints, MethodBase\n", IMPORT + declares)
    return source.replace(
        "    gain:", '    recipes = {"quick": {"gain": 5.0}, "overnight": {"gain": 9.0}}\n    gain:'
    )


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test declares."""
    monkeypatch.setattr(contract, "_DECLARED", dict(contract._DECLARED))
    yield


@pytest.fixture
def overnight(install: Install) -> None:
    install("methods", {"ours": ours()})
    install("protocols", {"toy_discs": TOY_PROTOCOL})


# What there is


def test_standard_leads_the_boards_and_smoke_is_on_none() -> None:
    assert list(recipes()) == ["standard", "paper", "quick", "smoke"]
    assert [name for name in recipes() if on_boards(name)] == ["standard", "paper", "quick"]


@pytest.mark.parametrize("name", ["people_plain", "people_taichi"])
def test_rendered_people_have_more_and_larger_images_in_standard(name: str) -> None:
    quick, standard, paper = (
        load_protocol(name).sizes(recipe) for recipe in ("quick", "standard", "paper")
    )
    for key in ("discovery", "regression", "test", "pixels"):
        assert quick[key] < standard[key] < paper[key]


def test_standard_has_all_of_taichi_and_a_part_of_human36m() -> None:
    taichi, human36m = load_protocol("taichi"), load_protocol("human36m")
    assert taichi.sizes("standard")["regression"] == taichi.sizes("paper")["regression"] == 5000
    assert taichi.sizes("standard")["test"] == 300
    assert human36m.sizes("standard")["discovery"] == 5000
    assert human36m.sizes("standard")["test"] == 1000


# Plugins


def test_a_plugin_s_recipe_is_known_everywhere(
    overnight: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "overnight" not in all_declared()
    assert find_recipe("overnight").about == "eight hours on a core"
    assert list(recipes()) == ["standard", "overnight", "paper", "quick", "smoke"]
    assert main(["list", "recipes"]) == 0
    assert "  overnight  eight hours on a core\n" in capsys.readouterr().out
    assert main(["show", "ours"]) == 0
    assert 'taichi, overnight               {"gain": 9.0}' in capsys.readouterr().out


def test_protocols_take_the_data_of_its_base(overnight: None) -> None:
    for name in ("people_plain", "taichi"):
        protocol = load_protocol(name)
        assert protocol.sizes("overnight") == protocol.sizes("standard")
    people = load_protocol("people_plain")
    assert people.fingerprint("overnight") == people.fingerprint("standard")


def test_without_a_base_a_protocol_says_what_it_has(install: Install) -> None:
    install("methods", {"ours": ours(declares='declare_recipe("overnight", "hours")\n')})
    words = "the rendered people has nothing for the recipe 'overnight'; it has: smoke, quick, "
    with pytest.raises(UnknownNameError, match=words):
        load_protocol("people_plain").sizes("overnight")


def test_runs_of_it_are_recorded_and_on_the_boards(overnight: None, tmp_path: Path) -> None:
    for recipe in ("quick", "overnight"):
        done = list(
            evaluate(grid(["ours", "mean_shape"], ["toy_discs"], [0]), Settings(tmp_path, recipe))
        )
        assert [outcome.status for outcome in done] == ["ok", "ok"]
    first, second = read_boards(tmp_path)
    assert (first.recipe, second.recipe) == ("overnight", "quick")
    rows = [board.row("ours") for board in (first, second)]
    gains = [row.records[0].identity.params["gain"] for row in rows if row is not None]
    assert gains == [9.0, 5.0]
    assert len(list(tmp_path.glob("toy_discs/ours/overnight-0-*.json"))) == 1


def test_a_process_that_has_not_seen_the_plugin_finds_it(tmp_path: Path) -> None:
    place = tmp_path / "ours.py"
    place.write_text(ours())
    script = (
        "from kpbench.registry import configured_method, load_protocol\n"
        "print(load_protocol('people_plain').sizes('overnight')['test'])\n"
        "print(configured_method('oracle', role='', recipe='overnight', overrides={}).name)"
    )
    env = {"KPBENCH_PLUGINS": str(place), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["500", "oracle"]


def test_two_plugins_cannot_mean_two_things_by_one_name(install: Install) -> None:
    other = OVERNIGHT.replace("eight hours", "a week")
    install("methods", {"ours": ours(), "theirs": ours("theirs", other)})
    assert find_recipe("overnight").about == "eight hours on a core"
    with pytest.raises(BrokenPluginError, match="'overnight' is declared already: eight hours"):
        load_method("theirs")


# Who refuses what


def test_a_method_that_names_recipes_is_refused_the_others(overnight: None) -> None:
    """Its row would be called what it was not trained with."""
    with pytest.raises(UnknownNameError, match=r"'standard'; it has: paper, quick, overnight$"):
        configured_method("ours", role="", recipe="standard", overrides={})
    with pytest.raises(UnknownNameError, match="autolink has no values for the recipe 'overnight'"):
        configured_method("autolink", role="taichi", recipe="overnight", overrides={})
    ours_as_published = configured_method("ours", role="", recipe="paper", overrides={})
    assert ours_as_published.params() == {"gain": 4.0}


def test_such_a_cell_fails_with_the_reason_and_the_others_run(
    overnight: None, tmp_path: Path
) -> None:
    cells = [Cell("ours", "toy_discs", 0), Cell("mean_shape", "toy_discs", 0)]
    refused, floor = evaluate(cells, Settings(tmp_path, "standard"))
    assert (refused.status, floor.status) == ("failed", "ok")
    assert "ours has no values for the recipe 'standard'" in refused.reason


def test_a_reference_is_there_in_every_recipe(overnight: None) -> None:
    """It is not trained: what is compared with it must not lack it."""
    find_recipe("overnight")
    below, of_base = (
        configured_method("random_detector", role="", recipe=recipe, overrides={}).params()
        for recipe in ("overnight", "standard")
    )
    assert below == of_base
    assert configured_method("mean_shape", role="", recipe="overnight", overrides={}).params() == {}


@pytest.mark.parametrize("name", ["mean_shape", "autolink", "random_detector"])
def test_an_unknown_recipe_is_an_error_in_every_method(name: str) -> None:
    with pytest.raises(UnknownNameError, match="no recipe called 'quik'; did you mean quick"):
        load_method(name).configured(role="taichi", recipe="quik", overrides={})


@pytest.mark.parametrize("asked", ["quik", "nonsense"])
def test_the_command_line_lists_what_there_is(
    asked: str, overnight: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--recipe", asked]) == 2
    said = capsys.readouterr().err
    for name in ("standard", "overnight", "paper", "quick", "smoke"):
        assert name in said


@pytest.mark.parametrize("name", ["", "Long", "a-b", "../x", "1st", "a" * 41, "quick\n"])
def test_a_name_that_no_file_should_have_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match="1 to 40 lower-case"):
        declare_recipe(name, "hours")
    with pytest.raises(ValidationError, match="recipe"):
        identity(name)


def test_a_record_outlives_the_plugin_that_declared_its_recipe() -> None:
    assert identity("gone_by_now").stem(Path()).name.startswith("gone_by_now-0-")
    assert on_boards("gone_by_now")
    names: list[Recipe] = ["gone_by_now", "quick", "paper", "standard"]
    assert sorted(names, key=place_of) == ["standard", "paper", "quick", "gone_by_now"]


def identity(recipe: Recipe) -> Identity:
    return Identity(
        protocol="p", protocol_version=1, data="d", method="m", method_version=1, params={},
        n_keypoints=4, seed=0, recipe=recipe, device="cpu",
    )  # fmt: skip


def test_declarations_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="'standart'; did you mean standard"):
        declare_recipe("longer", "hours", base="standart")
    longer = declare_recipe("longer", "hours", base="standard")
    assert declare_recipe("longer", "hours", base="standard") == longer
    with pytest.raises(ContractError, match="rename one of them"):
        declare_recipe("quick", "hours")


def test_the_nearest_base_counts() -> None:
    declare_recipe("longer", "hours", base="standard")
    declare_recipe("longest", "days", base="longer")
    assert for_recipe("longest", {"quick": 1, "standard": 2}, "a toy") == 2
    assert for_recipe("longest", {"quick": 1, "longer": 3, "standard": 2}, "a toy") == 3
    with pytest.raises(UnknownNameError, match="a toy has nothing for the recipe 'longest'"):
        for_recipe("longest", {"paper": 1}, "a toy")
