"""Import what a plugin's module sets; whatever goes wrong is an error that says what to do."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from typing import Any

from kpbench.errors import BrokenPluginError, MissingPackageError
from kpbench.plugins import described
from kpbench.plugins.search import Kind, Plugin


def attribute(kind: Kind, plugin: Plugin, name: str) -> Any:
    """Return what a plugin's module sets, importing it.

    Raises:
        MissingPackageError: a package that it declares in `requires` is not installed.
        BrokenPluginError: it cannot be imported for any other reason, or sets nothing of that name.
        KpbenchError: the file that describes it is not what it should be.
    """
    if plugin.is_described:
        return described.attribute(plugin.path, name)
    try:
        return getattr(importlib.import_module(plugin.module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _declared_requires(plugin):
            raise missing_packages(kind, plugin.name, [missing]) from error
        raise broken(kind, plugin, error) from error
    except (Exception, SystemExit) as error:
        raise broken(kind, plugin, error) from error


def broken(kind: Kind, plugin: Plugin, error: BaseException) -> BrokenPluginError:
    """Return the error of a plugin that cannot be imported."""
    return BrokenPluginError(
        f"{kind[:-1]} {plugin.name!r} ({plugin.origin}) cannot be imported: "
        f"{type(error).__name__}: {error}"
    )


def missing_packages(kind: Kind, name: str, packages: list[str]) -> MissingPackageError:
    """Return the error of a plugin whose packages are not installed; it holds the command."""
    return MissingPackageError(
        f"{kind[:-1]} {name!r} needs {', '.join(packages)}; run: pip install {' '.join(packages)}"
    )


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:  # a part of a package that is not there
        return False


def _declared_requires(plugin: Plugin) -> set[str]:
    """Read `requires = ("package", ...)` from the source of a module that cannot be imported."""
    try:
        nodes = ast.walk(plugin.tree())
    except (OSError, SyntaxError, ValueError):
        return set()
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == "requires" for target in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.Tuple | ast.List):
                return {str(e.value) for e in value.elts if isinstance(e, ast.Constant)}
    return set()
