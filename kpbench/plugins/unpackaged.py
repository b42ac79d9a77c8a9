"""Plugins that are not packaged: the files and folders that KPBENCH_PLUGINS names.

Each folder becomes a package below this module, so that the modules in it can import one another
relatively, and so that any process with the same environment, a worker included, can import them.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from types import ModuleType

from kpbench.files.python_source import names_set

VARIABLE = "KPBENCH_PLUGINS"
MARKS = frozenset({"PLUGIN", "DATASET"})
"""What a module sets that takes part."""


def places() -> list[Path]:
    """Return the files and folders that the variable names, which need not exist."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [Path(place.strip()).expanduser().absolute() for place in named if place.strip()]


def package_of(place: Path) -> tuple[str, Path]:
    """Return name and folder of the package that a file or folder belongs to.

    A folder is its own package, unless its `__init__` says what it is: then it is a module of the
    folder that it lies in, as a file is.
    """
    alone = place.is_file() or bool(MARKS & names_set(place / "__init__.py"))
    folder = place.parent if alone else place
    name = f"{__name__}.f{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        package = ModuleType(name, f"Plugins in {folder.name}, named by {VARIABLE}.")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name, folder


for _place in places():  # a worker imports plugins by name before it asks for any
    package_of(_place)
