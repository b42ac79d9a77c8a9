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
from kpbench.plugins.search import KINDS, Fault, Kind, Plugin, search, without_duplicates

__all__ = [
    "KINDS",
    "Fault",
    "Kind",
    "Plugin",
    "available",
    "dataset_faults",
    "datasets",
    "faults",
    "find",
    "load_dataset",
    "load_method",
    "load_protocol",
    "loadable_datasets",
    "loadable_protocols",
    "roles",
]

_OF_DATASET = ("name", "title", "about", "licence", "source", "layout", "needs", "evaluators")
_CONTRACT: dict[Kind, type] = {"methods": Method, "protocols": EvaluationProtocol}


def available(kind: Kind) -> dict[str, Plugin]:
    """Return the plugins that take part by name, without importing any of them.

    Raises:
        UnknownNameError: nothing is installed, as in a bare checkout.
    """
    found = search(kind).plugins
    if not found:
        raise UnknownNameError(f"no {kind} are installed; from a checkout run: pip install -e .")
    return dict(found)


def datasets() -> dict[str, Plugin]:
    """Return the modules that describe a data set, by their name, without importing any of them."""
    return dict(search("protocols").datasets)


def faults(kind: Kind) -> list[Fault]:
    """Return the plugins and packages that cannot take part, each with the reason."""
    return list(search(kind).faults)


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
    missing = [package for package in method.requires if not _is_installed(package)]
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


def roles() -> list[str]:
    """Return the roles that protocols take, importing all of them."""
    return sorted({protocol.role for protocol in loadable_protocols().values()})


def load_dataset(module: str) -> Any:
    """Import the description of the data set that the module of that name holds.

    Returns:
        Its `kpbench.Dataset`.

    Raises:
        UnknownNameError: no such module.
        BrokenPluginError: it cannot be imported, or `DATASET` is something else.
    """
    found = datasets()
    if module not in found:
        raise UnknownNameError.of("data set", module, found)
    plugin = found[module]
    loaded = _attribute("protocols", plugin, "DATASET")
    if lacks := [name for name in _OF_DATASET if not hasattr(loaded, name)]:
        raise BrokenPluginError(
            f"{plugin.origin}: DATASET is no kpbench.Dataset: it lacks {', '.join(lacks)}"
        )
    return loaded


def loadable_datasets() -> dict[str, Any]:
    """Import the descriptions of data sets, by the names that they give; others are left out."""
    return _described()[0]


def dataset_faults() -> list[Fault]:
    """Import the descriptions of data sets, and return why some cannot take part."""
    return _described()[1]


def _described() -> tuple[dict[str, Any], list[Fault]]:
    loaded: dict[Plugin, Any] = {}
    by_name: dict[str, list[Plugin]] = {}
    faults = []
    for module, plugin in datasets().items():
        try:
            loaded[plugin] = load_dataset(module)
        except KpbenchError as error:
            faults.append(Fault("protocols", module, error))
            continue
        by_name.setdefault(loaded[plugin].name, []).append(plugin)
    kept, twice = without_duplicates("protocols", by_name)
    return {name: loaded[plugin] for name, plugin in kept.items()}, [*faults, *twice]


@lru_cache
def _load(kind: Kind, plugin: Plugin) -> Any:
    loaded = _attribute(kind, plugin, "PLUGIN")
    contract = _CONTRACT[kind]
    try:
        lacks = sorted(n for n in dir(contract) if n[0] != "_" and not hasattr(loaded, n))
        name = getattr(loaded, "name", None)
    except Exception as error:  # of a property
        raise _broken(kind, plugin, error) from error
    if lacks:
        raise BrokenPluginError(
            f"{plugin.origin}: PLUGIN is no {contract.__name__}: it lacks {', '.join(lacks)}"
        )
    if name != plugin.name:
        raise BrokenPluginError(
            f"{plugin.origin}: PLUGIN calls itself {name!r}; "
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
    except (Exception, SystemExit) as error:
        raise _broken(kind, plugin, error) from error


def _broken(kind: Kind, plugin: Plugin, error: BaseException) -> BrokenPluginError:
    return BrokenPluginError(
        f"{kind[:-1]} {plugin.name!r} ({plugin.origin}) cannot be imported: "
        f"{type(error).__name__}: {error}"
    )


def _missing(kind: Kind, name: str, packages: list[str]) -> MissingPackageError:
    return MissingPackageError(
        f"{kind[:-1]} {name!r} needs {', '.join(packages)}; run: pip install {' '.join(packages)}"
    )


def _is_installed(package: str) -> bool:
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
