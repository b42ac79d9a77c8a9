"""The rules of the house, checked on the source: who imports whom, what is packaged, how long."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"kpbench": "kpbench", "methods": "kpbench_methods", "protocols": "kpbench_protocols"}
MODULES = sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py"))
SOURCES = sorted([*MODULES, *(ROOT / "benchmarks").rglob("*.py")])
"""With what is run from a checkout and not installed."""
LIGHT = {"kpbench", "numpy", "pydantic", "rich", "typer"}
"""What core modules may import at module level, besides the standard library."""
TORCH_ROOMS = ("nn", "people", "training")


def imports(tree: ast.AST, *, top_level: bool) -> Iterator[str]:
    nodes = ast.iter_child_nodes(tree) if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_imports_a_plugin_by_name(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imports(parse(path), top_level=False)}
    assert not roots & {"kpbench_methods", "kpbench_protocols", "methods", "protocols"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_are_light_to_import(path: Path) -> None:
    import sys

    parts = path.relative_to(ROOT).parts
    if parts[0] == "kpbench" and parts[1] in TORCH_ROOMS and path.name != "__init__.py":
        return
    if parts[0] == "methods" and path.name.startswith("_") and path.name != "__init__.py":
        return
    roots = {name.partition(".")[0] for name in imports(parse(path), top_level=True)}
    heavy = roots - LIGHT - set(sys.stdlib_module_names)
    assert not heavy, f"imported at module level: {sorted(heavy)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_no_longer_than_one_can_survey(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 310


def test_every_plugin_folder_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    on_disk = set()
    for folder, package in PACKAGES.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            on_disk.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    assert set(settings["packages"]) == on_disk


def test_every_source_says_what_it_is() -> None:
    silent = [path for path in SOURCES if not ast.get_docstring(parse(path))]
    assert silent == []


def test_the_repository_names_no_machine() -> None:
    marks = ("/" + "work/", "/" + "farm/", "/" + "root/")
    texts = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *ROOT.glob("*.md"), ROOT / "pyproject.toml"]
    found = [p for p in texts if any(mark in p.read_text(encoding="utf-8") for mark in marks)]
    assert found == []
