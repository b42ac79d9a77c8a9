"""Find plugins: an entry point names a package, and every public module in it is one plugin.

Listing imports nothing, so `kpbench list` is fast whatever is installed, and a plugin that is
broken, missing or a duplicate costs its own line (see `faults`) and nothing else. A plugin's name
is its module's name; the module exports `PLUGIN`. A folder is one plugin when its `__init__` sets
`PLUGIN`; else it is a family (the protocols of one data set) and each of its modules that sets
`PLUGIN` is a plugin. A module or folder of protocols that sets `DATASET` describes a data set.

A recipe is declared by `kpbench.declare_recipe` in the module of a method or protocol.

The environment variable KPBENCH_PLUGINS names files and folders (separated as in PATH) whose
methods and protocols take part without being installed. So do the protocols that files in the
user's settings describe (`kpbench data add`).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from kpbench.api import DeclaredRecipe, EvaluationProtocol, Method, Recipe
from kpbench.contracts.recipes import all_declared, declared, for_recipe
from kpbench.errors import BrokenPluginError, KpbenchError, UnknownNameError
from kpbench.plugins.importing import attribute, broken, is_installed, missing_packages
from kpbench.plugins.search import KINDS, Fault, Kind, Plugin, search, without_duplicates

__all__ = [
    "KINDS",
    "Fault",
    "Kind",
    "Plugin",
    "available",
    "configured_method",
    "dataset_faults",
    "datasets",
    "faults",
    "find",
    "find_recipe",
    "load_dataset",
    "load_method",
    "load_protocol",
    "loadable_datasets",
    "loadable_protocols",
    "of_recipe",
    "on_boards",
    "place_of",
    "recipes",
    "roles",
]

Value = TypeVar("Value")
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
    missing = [package for package in method.requires if not is_installed(package)]
    if missing:
        raise missing_packages("methods", name, missing)
    return method


def configured_method(
    name: str, *, role: str, recipe: Recipe, overrides: Mapping[str, Any]
) -> Method:
    """Import one method and give it the settings of a role and a recipe, whoever declares that.

    Raises:
        UnknownNameError: no such recipe, none for this method, or an override names no parameter;
            else as `load_method`.
    """
    find_recipe(recipe)
    return load_method(name).configured(role=role, recipe=recipe, overrides=overrides)


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


def recipes() -> dict[Recipe, DeclaredRecipe]:
    """Return all recipes, those that lead the boards first, importing the plugins that declare one.

    A plugin that cannot be imported declares nothing.
    """
    for kind in KINDS:
        for plugin in search(kind).plugins.values():
            with suppress(KpbenchError):
                if _declares_recipe(plugin):
                    _load(kind, plugin)
    return all_declared()


def find_recipe(name: Recipe) -> DeclaredRecipe:
    """Return the recipe of that name; plugins are asked when it is not known yet.

    Raises:
        UnknownNameError: there is none; lists those that there are.
    """
    if name not in all_declared():
        recipes()
    return declared(name)


def of_recipe(name: Recipe, values: Mapping[Recipe, Value], whose: str) -> Value:
    """Return the value of a recipe, else of its base; see `kpbench.contracts.recipes.for_recipe`.

    Raises:
        UnknownNameError: no such recipe, or no value of it or of what it is based on.
    """
    find_recipe(name)
    return for_recipe(name, values, whose)


def on_boards(name: Recipe) -> bool:
    """Return whether boards show runs of a recipe; those of one that nobody declares any more, too.

    Example:
        >>> on_boards("quick"), on_boards("smoke")
        (True, False)
    """
    with suppress(UnknownNameError):
        return find_recipe(name).place is not None
    return True


def place_of(name: Recipe) -> tuple[float, str]:
    """Return what boards are sorted by: the recipe that leads them is the least.

    Example:
        >>> sorted(["quick", "paper", "standard"], key=place_of)
        ['standard', 'paper', 'quick']
    """
    with suppress(UnknownNameError):
        place = find_recipe(name).place
        return (float("inf") if place is None else place), name
    return float("inf"), name


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
    loaded = attribute("protocols", plugin, "DATASET")
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
    loaded = attribute(kind, plugin, "PLUGIN")
    contract = _CONTRACT[kind]
    try:
        lacks = sorted(n for n in dir(contract) if n[0] != "_" and not hasattr(loaded, n))
        name = getattr(loaded, "name", None)
    except Exception as error:  # of a property
        raise broken(kind, plugin, error) from error
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


def _declares_recipe(plugin: Plugin) -> bool:
    """Tell from the source of a plugin whether it declares a recipe."""
    try:
        nodes = ast.walk(plugin.tree())
    except (OSError, SyntaxError, ValueError):
        return False
    word = "declare_recipe"
    return any(word in (getattr(node, "id", ""), getattr(node, "attr", "")) for node in nodes)
