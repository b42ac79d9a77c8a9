"""Python modules as text: where packages lie and what modules set, without importing any."""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import lru_cache
from pathlib import Path

_SETS = re.compile(r"^([A-Z_]+)\b *[:=]", re.MULTILINE)


def package_folders(package: str) -> list[Path]:
    """Return where a package lies, without importing it or its parents; [] if nowhere.

    Example:
        >>> [folder.name for folder in package_folders("kpbench.files")]
        ['files']
        >>> package_folders("kpbench.no_such_room")
        []
    """
    top, *parts = package.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    return [folder for place in places if (folder := Path(place, *parts)).is_dir()]


def names_set(path: Path) -> frozenset[str]:
    """Return the constants that a module sets at its top level, whether or not it can be parsed."""
    try:
        about = path.stat()
        return _names_set(path, about.st_size, about.st_mtime_ns)
    except (OSError, UnicodeDecodeError):
        return frozenset()


@lru_cache(maxsize=1024)
def _names_set(path: Path, size: int, changed: int) -> frozenset[str]:
    return frozenset(_SETS.findall(path.read_text(encoding="utf-8")))


def parsed(path: Path) -> ast.Module:
    """Return the parsed source of a module.

    Raises:
        SyntaxError: it is no Python.
        OSError: it cannot be read.
    """
    about = path.stat()
    return _parsed(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=512)
def _parsed(path: Path, size: int, changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
