"""The command line starts at once: what it does not need is not imported."""

from __future__ import annotations

import subprocess
import sys

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
