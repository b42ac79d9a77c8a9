"""Where plugins lie: in the packages that entry points name, and where KPBENCH_PLUGINS points.

Nothing is imported here. What each module is, is read from its source.
"""

from __future__ import annotations

import ast
import hashlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal

from kpbench.errors import BrokenPluginError, DuplicatePluginError, KpbenchError
from kpbench.files.python_source import names_set, package_folders, parsed

Kind = Literal["methods", "protocols"]
KINDS: tuple[Kind, ...] = ("methods", "protocols")
VARIABLE = "KPBENCH_PLUGINS"
OWN = {"methods": "kpbench_methods", "protocols": "kpbench_protocols"}
"""The packages in this repository; a foreign plugin cannot take their names."""
_MARKS = frozenset({"PLUGIN", "DATASET"})


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found but not imported.

    Attributes:
        name: of the plugin: its module's.
        module: to import.
        path: of the module's source.
        package: folder of the package that ships it; what it imports from there is its code.
    """

    name: str
    module: str
    path: Path
    package: Path

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read without importing it."""
        try:
            text = ast.get_docstring(self.tree())
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            return f"(cannot be read: syntax error in line {line})"
        return (text or "").partition("\n")[0]

    def tree(self) -> ast.Module:
        """Return the parsed source of the plugin's module."""
        return parsed(self.path)


@dataclass(frozen=True)
class Fault:
    """A plugin, or a package of them, that cannot take part, and why."""

    kind: Kind
    name: str
    error: KpbenchError


@dataclass(frozen=True)
class Plugins:
    """What the packages of one kind hold."""

    plugins: dict[str, Plugin]
    datasets: dict[str, Plugin]
    faults: list[Fault]


def search(kind: Kind) -> Plugins:
    """Return the plugins of one kind, the data sets beside them, and what cannot take part."""
    plugins: dict[str, list[Plugin]] = {}
    described: dict[str, list[Plugin]] = {}
    faults = list(_missing_packages(kind, tuple(sys.path)))
    for plugin, sets in _modules(kind):
        if "PLUGIN" in sets:
            plugins.setdefault(plugin.name, []).append(plugin)
        if "DATASET" in sets:
            described.setdefault(plugin.name, []).append(plugin)
    kept, doubled = _without_duplicates(kind, plugins)
    data, twice = _without_duplicates(kind, described)
    return Plugins(kept, data, [*faults, *doubled, *(f for f in twice if f.name not in plugins)])


def _without_duplicates(
    kind: Kind, found: dict[str, list[Plugin]]
) -> tuple[dict[str, Plugin], list[Fault]]:
    """Return what each name means; of two foreign plugins of one name neither takes part."""
    kept: dict[str, Plugin] = {}
    faults = []
    for name, plugins in sorted(found.items()):
        own = [p for p in plugins if p.module.partition(".")[0] == OWN[kind]]
        if len(plugins) == 1 or own:
            kept[name] = (own or plugins)[0]
        if len(plugins) > 1:
            modules = " and by ".join(plugin.module for plugin in plugins)
            error = DuplicatePluginError(
                f"{kind}: the name {name!r} is taken twice, by {modules}; rename one of the modules"
            )
            faults.append(Fault(kind, name, error))
    return kept, faults


@lru_cache
def _packages(kind: Kind, path: tuple[str, ...]) -> list[tuple[EntryPoint, list[Path]]]:
    """Return the entry points on `path`, which is `sys.path`, and the folders of their packages.

    Reading the metadata of all that is installed takes longer than all else here.
    """
    found = {entry.value: entry for entry in entry_points(group=f"kpbench.{kind}")}
    return [(entry, package_folders(entry.value)) for _, entry in sorted(found.items())]


def _missing_packages(kind: Kind, path: tuple[str, ...]) -> Iterator[Fault]:
    for entry, folders in _packages(kind, path):
        if not folders:
            shipped = f" of {entry.dist.name}" if entry.dist else ""
            error = BrokenPluginError(
                f"the entry point kpbench.{kind} = {entry.value!r}{shipped} names no package that "
                f"can be found; install it again, or remove it: pip uninstall "
                f"{entry.dist.name if entry.dist else entry.value}"
            )
            yield Fault(kind, entry.value, error)
    for place in _named_places():
        if not place.exists() and kind == KINDS[0]:  # said once
            error = BrokenPluginError(f"{VARIABLE} names {place}, which does not exist")
            yield Fault(kind, str(place), error)


def _named_places() -> list[Path]:
    """Return the files and folders that KPBENCH_PLUGINS names."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [Path(place).expanduser().absolute() for place in named if place.strip()]


def _modules(kind: Kind) -> Iterator[tuple[Plugin, frozenset[str]]]:
    """Yield each module that may be a plugin or describe a data set, and which of them it is."""
    for entry, folders in _packages(kind, tuple(sys.path)):
        for folder in folders:
            for info in pkgutil.iter_modules([str(folder)]):
                yield from _of(f"{entry.value}.{info.name}", _source(folder, info), folder)
    for place in _named_places():
        if not place.exists():
            continue
        alone = place.is_file() or bool(_MARKS & names_set(place / "__init__.py"))
        package = place.parent if alone else place
        for info in pkgutil.iter_modules([str(package)]):
            source = _source(package, info)
            if alone and place not in (source, source.parent):
                continue
            for plugin, sets in _of(f"{_synthetic(package)}.{info.name}", source, package):
                if "DATASET" in sets or _kind(plugin.path) == kind:
                    yield plugin, sets


def _of(module: str, path: Path, package: Path) -> Iterator[tuple[Plugin, frozenset[str]]]:
    """Yield what a module is, and the plugins in it when it is a family."""
    name = module.rpartition(".")[2]
    if name.startswith("_"):
        return
    here, sets = Plugin(name, module, path, package), _MARKS & names_set(path)
    folder = path.parent if path.name == "__init__.py" else None
    inner = []
    if folder is not None and "PLUGIN" not in sets:
        for info in pkgutil.iter_modules([str(folder)]):
            source = _source(folder, info)
            if not info.name.startswith("_") and "PLUGIN" in names_set(source):
                inner.append(Plugin(info.name, f"{module}.{info.name}", source, package))
    if not sets and not inner:
        sets = frozenset({"PLUGIN"})  # a plugin that forgot to export it, which loading it says
    yield here, sets
    yield from ((plugin, frozenset({"PLUGIN"})) for plugin in inner)


def _source(folder: Path, info: pkgutil.ModuleInfo) -> Path:
    return folder / info.name / "__init__.py" if info.ispkg else folder / f"{info.name}.py"


def _kind(path: Path) -> Kind:
    """Tell a method from a protocol by its source: only a method predicts."""
    try:
        tree = parsed(path)
    except (SyntaxError, ValueError):
        return "methods"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            if bases & {"MethodBase", "TorchMethod"} or methods & {"predict", "keypoints"}:
                return "methods"
    return "protocols"


def _synthetic(folder: Path) -> str:
    """Return the import name of a folder that KPBENCH_PLUGINS names, and make it importable."""
    name = f"kpbench_named_{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        package = ModuleType(name, f"Plugins in {folder.name}, named by {VARIABLE}.")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name
