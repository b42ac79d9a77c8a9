"""Find plugins: an entry point names a package, and every public module in it is one plugin.

Listing imports no plugin module, so `kpbench list` needs no torch and a broken plugin cannot
break the others. A plugin's name is its module's name; the module exports `PLUGIN`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from kpbench.api import EvaluationProtocol, Method
from kpbench.errors import (
    BrokenPluginError,
    DuplicatePluginError,
    MissingPackageError,
    UnknownNameError,
)

Kind = Literal["methods", "protocols"]
_CONTRACT: dict[Kind, type] = {"methods": Method, "protocols": EvaluationProtocol}


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found but not imported."""

    name: str
    module: str
    path: Path

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read without importing it."""
        try:
            text = ast.get_docstring(self.tree())
        except SyntaxError as error:
            return f"(cannot be read: syntax error in line {error.lineno})"
        return (text or "").partition("\n")[0]

    def tree(self) -> ast.Module:
        """Return the parsed source of the plugin's module."""
        return ast.parse(self.path.read_text(encoding="utf-8"))


def available(kind: Kind) -> dict[str, Plugin]:
    """Return the installed plugins by name, without importing any of them.

    Raises:
        DuplicatePluginError: two modules ship a plugin of one name.
        UnknownNameError: nothing is installed, as in a bare checkout.
    """
    found: dict[str, Plugin] = {}
    for package_name in _packages(kind, tuple(sys.path)):
        for plugin in _plugins_in(kind, package_name):
            if plugin.name in found:
                raise DuplicatePluginError(
                    f"{kind}: the name {plugin.name!r} is taken twice, by "
                    f"{found[plugin.name].module} and by {plugin.module}; rename one of the modules"
                )
            found[plugin.name] = plugin
    if not found:
        raise UnknownNameError(f"no {kind} are installed; from a checkout run: pip install -e .")
    return dict(sorted(found.items()))


@lru_cache
def _packages(kind: Kind, path: tuple[str, ...]) -> list[str]:
    """Return the packages that the entry points on `path`, which is `sys.path`, name.

    Reading the metadata of all that is installed takes longer than all else here.
    """
    return sorted({entry.value for entry in entry_points(group=f"kpbench.{kind}")})


def _plugins_in(kind: Kind, package_name: str) -> list[Plugin]:
    try:
        package = importlib.import_module(package_name)
        folders = list(package.__path__)
    except (ImportError, AttributeError) as error:
        raise BrokenPluginError(
            f"the entry point kpbench.{kind} = {package_name!r} is not an importable package: "
            f"{error}"
        ) from error
    return [
        Plugin(info.name, f"{package_name}.{info.name}", _source(folder, info.name, info.ispkg))
        for folder in folders
        for info in pkgutil.iter_modules([folder])
        if not info.name.startswith("_")
    ]


def _source(folder: str, name: str, is_package: bool) -> Path:
    return Path(folder) / name / "__init__.py" if is_package else Path(folder) / f"{name}.py"


def find(kind: Kind, name: str) -> Plugin:
    """Return the plugin of that name.

    Raises:
        UnknownNameError: there is none; suggests the nearest.
    """
    found = available(kind)
    if name not in found:
        raise UnknownNameError.of(kind[:-1], name, found)
    return found[name]


@lru_cache
def _load(kind: Kind, plugin: Plugin) -> Any:
    try:
        loaded: Any = importlib.import_module(plugin.module).PLUGIN
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _declared_requires(plugin):
            raise _missing(kind, plugin.name, [missing]) from error
        raise _broken(kind, plugin, error) from error
    except Exception as error:
        raise _broken(kind, plugin, error) from error
    contract = _CONTRACT[kind]
    if lacks := sorted(n for n in dir(contract) if n[0] != "_" and not hasattr(loaded, n)):
        raise BrokenPluginError(
            f"{plugin.module}.PLUGIN is no {contract.__name__}: it lacks {', '.join(lacks)}"
        )
    if loaded.name != plugin.name:
        raise BrokenPluginError(
            f"{plugin.module}.PLUGIN calls itself {loaded.name!r}; "
            f"its name must be the module's, {plugin.name!r}"
        )
    return loaded


def _broken(kind: Kind, plugin: Plugin, error: Exception) -> BrokenPluginError:
    return BrokenPluginError(
        f"{kind[:-1]} {plugin.name!r} ({plugin.module}) cannot be imported: "
        f"{type(error).__name__}: {error}"
    )


def _missing(kind: Kind, name: str, packages: list[str]) -> MissingPackageError:
    return MissingPackageError(
        f"{kind[:-1]} {name!r} needs {', '.join(packages)}; run: pip install {' '.join(packages)}"
    )


def _declared_requires(plugin: Plugin) -> set[str]:
    """Read `requires = ("package", ...)` from the source of a module that cannot be imported."""
    for node in ast.walk(plugin.tree()):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == "requires" for target in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.Tuple | ast.List):
                return {str(e.value) for e in value.elts if isinstance(e, ast.Constant)}
    return set()


def load_method(name: str) -> Method:
    """Import one method.

    Raises:
        UnknownNameError: no such method.
        MissingPackageError: a package that it declares in `requires` is not installed.
        BrokenPluginError: it cannot be imported for any other reason, or breaks the contract.
    """
    method: Method = _load("methods", find("methods", name))
    missing = [package for package in method.requires if importlib.util.find_spec(package) is None]
    if missing:
        raise _missing("methods", name, missing)
    return method


def load_protocol(name: str) -> EvaluationProtocol:
    """Import one protocol; raises as `load_method` does."""
    protocol: EvaluationProtocol = _load("protocols", find("protocols", name))
    return protocol
