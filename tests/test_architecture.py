"""The rules of the house, checked on the source: who imports whom, what is packaged, how long."""

from __future__ import annotations

import ast
import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpbench.files.python_imports import Modules, imports_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"kpbench": "kpbench", "methods": "kpbench_methods", "protocols": "kpbench_protocols"}
MODULES = sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py"))
SOURCES = sorted([*MODULES, *(ROOT / "benchmarks").rglob("*.py")])
"""With what is run from a checkout and not installed."""
LIGHT = {"annotated_types", "kpbench", "numpy", "pydantic", "rich", "typer"}
"""What core modules may import at module level, besides the standard library."""
TORCH_ROOMS = ("nn", "people", "training")
ROOMS = (
    *("errors", "contracts", "files", "api", "plugins", "registry", "scoring", "nn", "data"),
    *("people", "training", "records", "diagnosis", "running", "testing", "speed", "boards"),
    *("studies", "cli"),
)
"""From the ground up: a room imports from itself and from those before it."""
LOOSE = {"__init__.py", "__main__.py", "api.py", "errors.py", "registry.py", "testing.py"}
CORE = Modules("kpbench", ROOT / "kpbench")
NAMES = {
    path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "kpbench").rglob("*.py"))
}
"""Modules of kpbench by their files."""
FOLDERS = sorted({path.parent for path in NAMES})


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
    roots = {name.partition(".")[0] for name in imports(parse(path), top_level=True)}
    heavy = roots - LIGHT - set(sys.stdlib_module_names)
    if parts[0] == "methods":  # one file holds the network, too; listing methods imports none
        heavy -= {"torch"}
    assert not heavy, f"imported at module level: {sorted(heavy)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_no_longer_than_one_can_survey(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def needed(path: Path) -> set[str]:
    """Return the modules of kpbench that a module imports, inside functions too."""
    imports = [each for each in imports_of(path, NAMES[path]) if not each.typing]
    return {name for name in CORE.imported(imports) if name != NAMES[path]}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_imports_go_down(path: Path) -> None:
    own = room(NAMES[path])
    if own in ("", "__main__"):  # the door to the contracts, and the command line
        return
    above = ROOMS[ROOMS.index(own) + 1 :]
    assert not [name for name in needed(path) if room(name) in above]


def test_no_module_imports_itself_by_way_of_others() -> None:
    waiting = {NAMES[path]: needed(path) & set(NAMES.values()) for path in NAMES}
    while done := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in done:
            del waiting[name]
    assert not waiting, "each of these imports another of them"


def test_nothing_lies_loose_in_kpbench() -> None:
    entries = list((ROOT / "kpbench").iterdir())
    assert {path.name for path in entries if path.suffix == ".py"} == LOOSE
    folders = {path.name for path in entries if path.is_dir() and path.name != "__pycache__"}
    assert folders | {name.removesuffix(".py") for name in LOOSE} - {"__init__", "__main__"} == set(
        ROOMS
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_can_be_surveyed(folder: Path) -> None:
    names = [path.stem for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(names) <= 15
    alike = [pair for pair in itertools.combinations(names, 2) if within_a_letter(*pair)]
    assert alike == []


def within_a_letter(a: str, b: str) -> bool:
    """Return whether one letter, more, less or another one, makes one name the other."""
    short, long = sorted((a, b), key=len)
    if len(short) == len(long):
        return sum(x != y for x, y in zip(a, b, strict=True)) <= 1
    return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def test_names_within_a_letter_are_seen() -> None:
    assert within_a_letter("score", "scores") and within_a_letter("packed", "packer")
    assert not within_a_letter("packed", "packing") and not within_a_letter("run", "resolve")


@pytest.mark.parametrize(
    "path",
    [path for path in NAMES if path.name == "__init__.py" and path.parent != ROOT / "kpbench"],
    ids=NAMES.get,
)
def test_a_room_says_what_is_in_it_and_what_may_enter(path: Path) -> None:
    what, blank, *enters = (ast.get_docstring(parse(path)) or "").splitlines()
    assert what and not blank and any(enters)


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
