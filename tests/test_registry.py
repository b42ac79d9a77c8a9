"""Discovery: light, exact about names, and honest about what cannot be loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kpbench.errors import (
    BrokenPluginError,
    MissingPackageError,
    UnknownNameError,
)
from kpbench.registry import available, find, load_dataset, load_method, load_protocol, roles
from tests.conftest import TOY_PROTOCOL, Install, bright


def test_a_typo_is_answered_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean autolink"):
        find("methods", "autolnk")
    with pytest.raises(UnknownNameError, match="did you mean people_"):
        load_protocol("people_backgroud")


def test_a_third_party_method_is_found_and_loaded(install: Install) -> None:
    package = install("methods", {"shiny": bright("shiny"), "_helper": "1 / 0"})
    assert available("methods")["shiny"].module == f"{package}.shiny"
    assert available("methods")["shiny"].summary.startswith("The centre of brightness")
    assert load_method("shiny").name == "shiny"
    assert "_helper" not in available("methods")


def test_a_declared_missing_package_gives_the_pip_command(install: Install) -> None:
    late = bright("late").replace("    gain:", '    requires = ("not_there_at_all",)\n    gain:')
    install("methods", {"late": late, "early": "import not_there_at_all\n" + late})
    for name in ("late", "early"):
        with pytest.raises(MissingPackageError, match="pip install not_there_at_all"):
            load_method(name)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import a_typo_in_an_import", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "no attribute 'PLUGIN'"),
        ("class A: name = 'odd'\nPLUGIN = A()", "lacks configured, depends_on, fit"),
        (bright("even"), "its name must be the module's, 'odd'"),
        ("raise SystemExit(3)", "SystemExit"),
        ("class A:\n    @property\n    def fit(self): 1 / 0\nPLUGIN = A()", "ZeroDivisionError"),
    ],
)
def test_a_broken_plugin_is_named_and_never_skipped(
    install: Install, source: str, words: str
) -> None:
    install("methods", {"odd": source})
    assert "autolink" in available("methods")
    with pytest.raises(BrokenPluginError, match=words) as caught:
        load_method("odd")
    assert "odd" in str(caught.value)


def test_half_of_a_dotted_package_is_a_missing_package(install: Install) -> None:
    late = bright("late").replace("    gain:", '    requires = ("nowhere.at_all",)\n    gain:')
    install("methods", {"late": late})
    with pytest.raises(MissingPackageError, match=r"pip install nowhere\.at_all"):
        load_method("late")


def test_roles_are_those_of_the_installed_protocols(install: Install) -> None:
    real = ["celeba_aligned", "celeba_wild", "cub", "cub_aligned", "deepfashion", "human36m"]
    assert roles() == [*real, "human36m_background", "project", "taichi"]
    install(
        "protocols", {"toy_discs": TOY_PROTOCOL.replace('"human36m"', '"discs"'), "torn": "1/0"}
    )
    assert "discs" in roles()


def test_what_is_no_data_set_is_told(install: Install) -> None:
    install("protocols", {"cats/__init__": "DATASET = 3"})
    with pytest.raises(BrokenPluginError, match=r"cats: DATASET is no kpbench\.Dataset.*name"):
        load_dataset("cats")
    with pytest.raises(UnknownNameError, match="no data set called 'cat'; did you mean"):
        load_dataset("cat")


def test_a_bare_checkout_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpbench.plugins.search._packages", lambda kind, path: [])
    with pytest.raises(UnknownNameError, match="pip install -e"):
        available("methods")


LIGHT = """
import os, sys
import numpy as np
before = np.random.get_state()[1].tolist()
from kpbench.cli.main import main
assert main({words!r}) == 0
heavy = {{"torch", "torchvision", "lightning", "pandas", "sklearn", "matplotlib", "scipy"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert np.random.get_state()[1].tolist() == before
assert os.listdir() == []
"""


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "protocols"]])
def test_import_is_light_and_silent(words: list[str], tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIGHT.format(words=words)],
        capture_output=True,
        text=True,
        cwd=str(tmp_path),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
