"""Examples run: every docstring's, and those of the README."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import kpbench
from kpbench.cli.main import main
from kpbench.data.installed import dataset_of
from kpbench.registry import load_method
from kpbench.scoring.named import get_evaluator
from kpbench.testing import check_method
from tests.conftest import Install

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [
    info.name
    for info in pkgutil.walk_packages(kpbench.__path__, "kpbench.")
    if not info.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def test_some_docstrings_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [
        example
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
    ]
    assert len(examples) > 20


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_method_of_the_readme_keeps_the_contract(install: Install) -> None:
    [source] = [text for text in blocks("python") if "PLUGIN" in text]
    name = re.findall(r'name = "(\w+)"', source)[0]
    assert "TorchMethod" in source and len(source.splitlines()) < 60
    install("methods", {name: source})
    check_method(load_method(name))


def test_the_data_set_of_the_readme_is_found(install: Install) -> None:
    [source] = [text for text in blocks("python") if "DATASET" in text]
    install("protocols", {"cats/__init__": source})
    assert get_evaluator("cats/strict").bias
    assert dataset_of("cats").licence == "ask its authors"


def commands() -> list[str]:
    lines = [line for text in blocks("bash") for line in text.splitlines()]
    parts = [part.strip() for line in lines for part in line.partition("#")[0].split("&&")]
    return sorted({part for part in parts if part.startswith("kpbench ")})


@pytest.mark.parametrize("command", commands())
def test_the_commands_of_the_readme_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)[1:]
    verb = words[:2] if words[0] in ("new", "data") else words[:1]
    assert main([*verb, "--help"]) == 0
    text = capsys.readouterr().out
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in text, f"{command}: {word}"


def test_the_two_commands_are_there() -> None:
    assert "pip install -e . && kpbench evaluate" in README
    assert "pip install -e '.[dev]' && pytest" in README


def test_the_disagreement_table_is_what_score_prints(capsys: pytest.CaptureFixture[str]) -> None:
    golden = ROOT / "tests" / "golden" / "evaluators.npz"
    rows = re.findall(r"^\| `([a-z0-9]+/[a-z]+)` \| ([\d.]+) (.*?) \|", README, re.MULTILINE)
    assert len(rows) >= 10
    for name, value, unit in rows:
        assert main(["score", "--evaluator", name, str(golden), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        digits = len(value.partition(".")[2])
        assert f"{found['value']:.{digits}f}" == value, name
        assert found["unit"] == unit
