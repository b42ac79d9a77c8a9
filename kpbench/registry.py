"""Find plugins: an entry point names a package, and every public module in it is one plugin.

Listing imports nothing, so `kpbench list` is fast whatever is installed, and a plugin that is
broken, missing or a duplicate costs its own line (see `faults`) and nothing else. A plugin's name
is its module's name; the module exports `PLUGIN`. A folder is one plugin when its `__init__` sets
`PLUGIN`; else it is a family (the protocols of one data set) and each of its modules that sets
`PLUGIN` is a plugin. A module or folder of protocols that sets `DATASET` describes a data set.

The environment variable KPBENCH_PLUGINS names files and folders (separated as in PATH) whose
methods and protocols take part without being installed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from functools import lru_cache
from typing import Any

from kpbench.api import EvaluationProtocol, Method
from kpbench.errors import BrokenPluginError, KpbenchError, MissingPackageError, UnknownNameError
from kpbench.plugins.search import KINDS, Fault, Kind, Plugin, search

__all__ = [
    "KINDS",
    "Fault",
    "Kind",
    "Plugin",
    "available",
    "datasets",
    "faults",
    "find",
    "load_dataset",
    "load_method",
    "load_protocol",
    "loadable_protocols",
]

_CONTRACT: dict[Kind, type] = {"methods": Method, "protocols": EvaluationProtocol}


def available(kind: Kind) -> dict[str, Plugin]:
    """Return the plugins that take part by name, without importing any of them.

    Raises:
        UnknownNameError: nothing is installed, as in a bare checkout.
    """
    found = search(kind).plugins
    if not found:
        raise UnknownNameError(f"no {kind} are installed; from a checkout run: pip install -e .")
    return found


def datasets() -> dict[str, Plugin]:
    """Return the modules that describe a data set, by their name, without importing any of them."""
    return search("protocols").datasets


def faults(kind: Kind) -> list[Fault]:
    """Return the plugins and packages that cannot take part, each with the reason."""
    return search(kind).faults


def find(kind: Kind, name: str) -> Plugin:
    """Return the plugin of that name.

    Raises:
        UnknownNameError: there is none; suggests the nearest.
        DuplicatePluginError: two foreign modules ship one of that name.
    """
    found = search(kind)
    if name in found.plugins:
        return found.plugins[name]
    for fault in found.faults:
        if fault.name == name:
            raise fault.error
    raise UnknownNameError.of(kind[:-1], name, available(kind))


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


def loadable_protocols() -> dict[str, EvaluationProtocol]:
    """Import the protocols; those that cannot be imported are left out."""
    found = {}
    for name in available("protocols"):
        try:
            found[name] = load_protocol(name)
        except KpbenchError:
            continue
    return found


def load_dataset(name: str) -> Any:
    """Import the description of the data set that the module of that name holds.

    Returns:
        Its `kpbench.Dataset`.

    Raises:
        UnknownNameError: no such module.
        BrokenPluginError: it cannot be imported.
    """
    found = datasets()
    if name not in found:
        raise UnknownNameError.of("data set", name, found)
    return _attribute("protocols", found[name], "DATASET")


@lru_cache
def _load(kind: Kind, plugin: Plugin) -> Any:
    loaded = _attribute(kind, plugin, "PLUGIN")
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


def _attribute(kind: Kind, plugin: Plugin, name: str) -> Any:
    try:
        return getattr(importlib.import_module(plugin.module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _declared_requires(plugin):
            raise _missing(kind, plugin.name, [missing]) from error
        raise _broken(kind, plugin, error) from error
    except Exception as error:
        raise _broken(kind, plugin, error) from error


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
