"""A plugin that is broken, missing, slow or double costs its own line and nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from kpbench.cli.main import main
from kpbench.errors import BrokenPluginError, DuplicatePluginError
from kpbench.registry import (
    available,
    dataset_faults,
    datasets,
    faults,
    find,
    loadable_datasets,
    loadable_protocols,
)
from tests.conftest import TOY_PROTOCOL, Install, bright
from tests.data.toy_source import write

SLOW = """
import sys
sys.modules["sloth_was_asked"] = sys
raise AssertionError("nobody asked for this package")
"""
CATS = '''
"""Cats."""
from kpbench import Dataset

DATASET = Dataset("{name}", "Cats", "cats", "none", "nowhere", layout="cats/")
'''


@dataclass(frozen=True)
class Broken:
    """Names of packages, by what is wrong with them."""

    gone: str
    torn: str
    slow: str
    twins: tuple[str, str]
    place: Path


@pytest.fixture
def broken(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broken:
    """Install one plugin for each way to be wrong."""
    gone = install("protocols", {"ghost": TOY_PROTOCOL})
    shutil.rmtree(tmp_path / f"site-{gone}" / gone)
    torn = install("methods", {"__init__": "raise RuntimeError('torn')", "leaf": bright("leaf")})
    slow = install("protocols", {"__init__": SLOW, "sloth": TOY_PROTOCOL})
    install("protocols", {"unparsable": "PLUGIN = def(", "raising": "1 / 0", "late": "exit(3)"})
    install("methods", {"mean_shape": bright("mean_shape")})
    twins = [install("protocols", {"twin": TOY_PROTOCOL}) for _ in range(2)]
    install("protocols", {"cats/__init__": "DATASET = 3", "dogs/__init__": "1 / 0\nDATASET = 3"})
    install("protocols", {"lynx/__init__": CATS.format(name="celeba")})
    for module in ("lion", "puma"):
        install("protocols", {f"{module}/__init__": CATS.format(name="big_cats")})
    place = tmp_path / "nowhere"
    monkeypatch.setenv("KPBENCH_PLUGINS", os.pathsep.join([str(place), str(tmp_path / "none.py")]))
    (tmp_path / "none.py").write_text("x = 1")
    return Broken(gone, torn, slow, (twins[0], twins[1]), place)


def test_each_fault_has_a_line_with_its_reason(
    broken: Broken, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {*sys.modules}
    assert main(["list"]) == 0
    foreign = {name for name in {*sys.modules} - before if name.startswith("kpbench_test_")}
    assert foreign == set()
    methods, protocols, _, evaluators = sections(capsys.readouterr().out)
    assert "which does not exist" in methods["nowhere"]
    assert "holds no module that sets PLUGIN" in methods["none.py"]
    assert "kpbench_methods.mean_shape" in methods["mean_shape"]
    assert f"pip uninstall {broken.gone}" in protocols[broken.gone]
    assert all(f"{name}.twin" in protocols["twin"] for name in broken.twins)
    assert protocols["unparsable"] == "(cannot be read: syntax error in line 1)"
    assert {"raising", "late", "sloth"} <= set(protocols)
    assert methods["leaf"].startswith("The centre of brightness")
    assert evaluators["lynx/…"].endswith("Cats.")


def sections(text: str) -> list[dict[str, str]]:
    """Return name -> the rest of its last line, of methods, protocols, recipes and evaluators."""
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        if not line.startswith(" "):
            found.append({})
        else:
            name, _, rest = line.strip().partition(" ")
            found[-1][name] = rest.strip()
    return found


def test_check_fails_on_each_and_only_on_these(
    broken: Broken, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["nowhere", "none.py", "leaf", "mean_shape", broken.gone, "sloth", "unparsable"]
    names += ["raising", "late", "twin", "cats", "dogs", "celeba", "big_cats"]
    assert main(["check", *names]) == 1
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[2].rstrip(":"): line for line in lines if line.startswith("failed")}
    assert set(found) == set(names)
    for name, words in {
        "leaf": "torn", "sloth": "nobody asked", "raising": "ZeroDivisionError",
        "late": "SystemExit", "unparsable": "SyntaxError", "cats": "no kpbench.Dataset",
        "dogs": "ZeroDivisionError", "celeba": "lynx", "big_cats": "puma",
    }.items():  # fmt: skip
        assert words in found[name], found[name]
    assert "ok       method mean_shape" in lines  # that of this repository


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    "words",
    [
        ["show", "people_plain"],
        ["show", "mean_shape"],
        ["data", "list"],
        ["data", "info", "celeba"],
        ["data", "verify", "toy"],
        ["check", "oracle"],
        ["evaluate", "-p", "people_plain", "-m", "mean_shape", "--recipe", "smoke"],
    ],
)
def test_every_other_command_goes_on(
    words: list[str],
    install: Install,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("protocols", {"toy": "from tests.data.toy_source import protocol\nPLUGIN = protocol()"})
    write(tmp_path / "toy")
    monkeypatch.setenv("KPBENCH_DATA_TOY", str(tmp_path / "toy"))
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0, capsys.readouterr()


@pytest.mark.usefixtures("broken")
def test_the_default_protocols_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "-m", "oracle", "--recipe", "smoke", "--jobs", "1"]
    assert main([*words, "--results", str(tmp_path / "results")]) == 0, capsys.readouterr()
    assert {path.name for path in (tmp_path / "results").iterdir() if path.is_dir()} == {
        "people_background", "people_fashion"
    }  # fmt: skip


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "evaluators"],
        ["show", "people_plain"],
        ["show", "celeba/imm"],
        ["show", "people_plain/strict"],
        ["data", "verify", "toy"],
        ["check", "oracle"],
        ["evaluate", "-p", "people_plain", "-m", "mean_shape", "--recipe", "smoke"],
    ],
)
def test_nobody_waits_for_a_package_that_was_not_asked_for(
    words: list[str], install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package could as well sleep for an hour, or import torch."""
    install("protocols", {"toy": "from tests.data.toy_source import protocol\nPLUGIN = protocol()"})
    write(tmp_path / "toy")
    monkeypatch.setenv("KPBENCH_DATA_TOY", str(tmp_path / "toy"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "sloth_was_asked", raising=False)
    main(words)
    assert "sloth_was_asked" not in sys.modules
    main(["show", "sloth"])
    assert "sloth_was_asked" in sys.modules


def test_naming_a_faulty_plugin_says_what_is_wrong(
    broken: Broken, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["show", "twin"], ["data", "verify", "twin"], ["evaluate", "-p", "twin"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert all(f"{name}.twin" in said for name in broken.twins)
    with pytest.raises(DuplicatePluginError):
        find("protocols", "twin")
    assert main(["show", "leaf"]) == 2
    assert "RuntimeError: torn" in capsys.readouterr().err


def test_of_two_plugins_of_one_name_that_of_this_repository_stays(broken: Broken) -> None:
    assert available("methods")["mean_shape"].module == "kpbench_methods.mean_shape"
    assert "twin" not in available("protocols")
    assert {"ghost", "celeba"} & set(available("protocols")) == set()
    assert loadable_datasets()["celeba"].title.startswith("CelebA")
    assert {"cats", "dogs", "lynx", "lion", "puma"} <= set(datasets())
    assert "big_cats" not in loadable_datasets()
    assert {fault.name for fault in dataset_faults()} == {"big_cats", "cats", "celeba", "dogs"}
    assert {"twin", broken.gone} <= {fault.name for fault in faults("protocols")}
    assert {"people_plain", "celeba_wild"} <= set(loadable_protocols())
    assert {"sloth", "raising", "late"} & set(loadable_protocols()) == set()


def test_a_package_in_a_package_is_found_without_importing_either(install: Install) -> None:
    parent = "kpbench_test_lab"
    name = install("methods", {"dotted": bright("dotted")}, parent=parent)
    assert available("methods")["dotted"].module == f"{name}.dotted"
    assert parent not in sys.modules
    gone = install("protocols", {}, parent="kpbench_test_empty_lab")
    shutil.rmtree(Path(sys.path[0], *gone.split(".")))
    [fault] = [fault for fault in faults("protocols") if fault.name == gone]
    assert isinstance(fault.error, BrokenPluginError)


def test_damaged_metadata_of_a_vanished_package_is_no_obstacle(
    install: Install, tmp_path: Path
) -> None:
    gone = install("methods", {"ghost": bright("ghost")})
    shutil.rmtree(tmp_path / f"site-{gone}" / gone)
    (tmp_path / f"site-{gone}" / f"{gone}-1.0.dist-info" / "METADATA").unlink()
    [fault] = [fault for fault in faults("methods") if fault.name == gone]
    assert f"pip uninstall {gone}" in str(fault.error)
