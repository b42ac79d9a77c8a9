"""Python modules as text: where packages lie and what modules set, without importing any."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path

_SETS = re.compile(r"^([A-Z_]+)\b *[:=]|^from .* import (?:.*\b)?(PLUGIN)\b(?! as)", re.MULTILINE)


def package_folders(package: str) -> list[Path]:
    """Return where a package lies, without importing it or its parents; [] if nowhere.

    Example:
        >>> [folder.name for folder in package_folders("kpbench.files")]
        ['files']
        >>> package_folders("kpbench.no_such_room")
        []
    """
    places: list[str] | None = None
    name = ""
    for part in package.split("."):
        name = f"{name}.{part}" if name else part
        spec = _spec(name, places)
        found = None if spec is None else spec.submodule_search_locations
        try:
            places = list(found or [])
        except KeyError:  # a namespace package asks its parent, which is not imported
            places = [str(Path(place, part)) for place in places or []]
        if not places:
            return []
    return [Path(place) for place in places or [] if Path(place).is_dir()]


def _spec(name: str, places: list[str] | None) -> ModuleSpec | None:
    """Ask the finders that `import` asks, which would import the parents of a dotted name first."""
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, places)
        except (AttributeError, ImportError, ValueError):
            continue
        if spec is not None:
            return spec
    return None


def names_set(path: Path) -> frozenset[str]:
    """Return the constants that a module sets at its top level, whether or not it can be parsed.

    A `PLUGIN` that it imports from another module counts.
    """
    try:
        about = path.stat()
        return _names_set(path, about.st_size, about.st_mtime_ns)
    except (OSError, UnicodeDecodeError):
        return frozenset()


@lru_cache(maxsize=1024)
def _names_set(path: Path, size: int, changed: int) -> frozenset[str]:
    found = _SETS.finditer(path.read_text(encoding="utf-8-sig"))
    return frozenset(match[1] or match[2] for match in found)


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
    return ast.parse(path.read_text(encoding="utf-8-sig"))


def code_hash(path: Path) -> str:
    """Return a short hash of a module's code; comments, docstrings and layout do not change it.

    Raises:
        SyntaxError: it is no Python.
        OSError: it cannot be read.
    """
    about = path.stat()
    return _code_hash(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=2048)
def _code_hash(path: Path, size: int, changed: int) -> str:
    parts: list[str] = []
    _write_code(_parsed(path, size, changed), parts)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:8]


def _write_code(node: object, parts: list[str]) -> None:
    """Write a tree as text that versions of Python agree on: fields that are empty are left out."""
    if isinstance(node, ast.AST):
        parts.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "body":
                value = _without_docstring(value)
            if value == [] or (value is None and not isinstance(node, ast.Constant)):
                continue
            parts.append(f"{name}=")
            _write_code(value, parts)
        parts.append(")")
    elif isinstance(node, list):
        for item in node:
            _write_code(item, parts)
    else:
        parts.append(f"{node!r},")


def _without_docstring(body: object) -> object:
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return body[1:]
    return body
