"""The command line starts at once: what it does not need is not imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kpbench

HEAVY = {"lightning", "matplotlib", "pandas", "PIL", "scipy", "sklearn", "torch", "torchvision"}


def imported(*words: str) -> set[str]:
    """Return the packages that `kpbench WORDS` has imported when it ends."""
    program = [sys.executable, "-X", "importtime", "-m", "kpbench", *words]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["--help"], {"pydantic"}),
        (["data", "--help"], set()),  # typer itself imports pydantic to read options
        (["evaluate", "--help"], set()),
    ],
)
def test_help_imports_next_to_nothing(words: list[str], more: set[str]) -> None:
    found = imported(*words)
    assert {"kpbench", "typer"} <= found
    assert found & {*HEAVY, "numpy", "joblib", *more} == set()


@pytest.mark.parametrize("words", [["list"], ["show", "people_background"]])
def test_listing_imports_nothing_that_computes(words: list[str]) -> None:
    found = imported(*words)
    assert "numpy" in found
    assert found & HEAVY == set()


def test_every_name_is_what_a_type_checker_sees_and_can_be_imported() -> None:
    tree = ast.parse(Path(kpbench.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in imports(block) for alias in node.names}
    assert seen == kpbench._MODULES
    assert all(getattr(kpbench, name).__module__ for name in seen if name not in ALIASES)


ALIASES = {"Array", "Box", "Device", "Progress", "Recipe", "Signal"}
"""Names of types that are no classes."""


def imports(block: ast.If) -> list[ast.ImportFrom]:
    return [node for node in block.body if isinstance(node, ast.ImportFrom)]


def test_contracts_are_exported_though_loaded_late() -> None:
    program = (
        "import sys, kpbench; assert 'numpy' not in sys.modules;"
        "assert set(kpbench.__all__) <= set(dir(kpbench));"
        "from kpbench import MethodBase; import kpbench.api;"
        "assert MethodBase is kpbench.api.MethodBase"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="'kpbench' has no attribute 'MethodBas'"):
        kpbench.MethodBas  # type: ignore[attr-defined]  # noqa: B018
