"""Which packages the measurements need beyond torch, torchvision and lightning. Needs none."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from benchmarks.uninstalled import ROOT

GIVEN = ("torch", "torchvision", "lightning")
"""What a machine with a GPU is expected to have."""
PYTHON = "3.12"
"""Of the machine without a network."""
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
_MODULES = {"pillow": "PIL", "scikit-learn": "sklearn", "pyyaml": "yaml"}
"""Import names that are not the package's."""


def needed(root: Path = ROOT) -> dict[str, str]:
    """Return what has to be there besides `GIVEN`: requirements by name.

    All that kpbench depends on is imported by one part or another: matplotlib by the official code,
    pandas where the frames of the test loop are written, scikit-learn by the tests.

    Args:
        root: of the checkout, whose `pyproject.toml` lists them.
    """
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    found = {name_of(line): line for line in settings["project"]["dependencies"]}
    return {name: line for name, line in found.items() if name not in GIVEN}


def name_of(requirement: str) -> str:
    """Return whose version a requirement bounds.

    Example:
        >>> name_of("scikit-learn>=1.5")
        'scikit-learn'
    """
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def missing(names: Iterable[str]) -> list[str]:
    """Return those that cannot be imported; nothing is imported to find out."""
    modules = {name: _MODULES.get(name, name.replace("-", "_")) for name in names}
    return [name for name, module in modules.items() if find_spec(module) is None]


def download(requirements: Iterable[str]) -> str:
    """Return two commands: on a machine with a network, and then on the one without."""
    words = ["python -m pip download --dest wheels --only-binary :all:"]
    words += [f"--python-version {PYTHON} --implementation cp"]
    words += [f"--platform {name}_x86_64" for name in PLATFORMS]
    words += [f"'{requirement}'" for requirement in requirements]
    unpack = 'for wheel in wheels/*.whl; do python -m zipfile -e "$wheel" packages; done'
    return f"{' '.join(words)}\n{unpack}; export PYTHONPATH=$PWD/packages"
