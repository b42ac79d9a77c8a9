"""Where plugins lie: in the packages that entry points name, and where KPBENCH_PLUGINS points.

Nothing is imported here. What each module is, is read from its source. A protocol may be a file of
the user's settings instead (`kpbench.plugins.described`).
"""

from __future__ import annotations

import ast
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal

from kpbench.errors import BrokenPluginError, DuplicatePluginError, KpbenchError
from kpbench.files.python_source import names_set, package_folders, parsed
from kpbench.plugins import described, unpackaged
from kpbench.plugins.unpackaged import MARKS

Kind = Literal["methods", "protocols"]
KINDS: tuple[Kind, ...] = ("methods", "protocols")
OWN = {"methods": "kpbench_methods", "protocols": "kpbench_protocols"}
"""The packages in this repository; a foreign plugin cannot take their names."""
_OF_PROTOCOLS = {"EvaluationProtocol", "PeopleProtocol", "RealProtocol", "splits"}
"""Words that only the source of a protocol holds."""


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found but not imported.

    Attributes:
        name: of the plugin: its module's.
        module: to import.
        path: of the module's source.
        package: folder of the package that ships it; what it imports from there is its code.
        written: when a file that describes it was, in ns; 0 of a module.
    """

    name: str
    module: str
    path: Path
    package: Path
    written: int = 0

    @property
    def is_described(self) -> bool:
        """Whether it is described by a file, and `module` is what reads that."""
        return self.path.suffix == described.ENDING

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read without importing it."""
        if self.is_described:
            return described.about(self.path)
        try:
            text = ast.get_docstring(self.tree())
        except OSError as error:
            return f"(cannot be read: {error.strerror or error})"
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            return f"(cannot be read: syntax error in line {line})"
        return (text or "").partition("\n")[0]

    @property
    def in_tree(self) -> bool:
        """Whether it lies in this repository."""
        return self.module.partition(".")[0] in OWN.values()

    @property
    def origin(self) -> str:
        """Where it lies, for a reader: its module, or its file where that is not packaged."""
        loose = self.is_described or self.module.startswith(unpackaged.__name__)
        return str(self.path) if loose else self.module

    def tree(self) -> ast.Module:
        """Return the parsed source of the plugin's module; of a description, that of no code."""
        return ast.Module([], []) if self.is_described else parsed(self.path)


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
    return _search(kind, tuple(sys.path), tuple(unpackaged.places()), tuple(_stamps(kind)))


def _stamps(kind: Kind) -> Iterator[tuple[str, int]]:
    """Yield all sources and folders that a search reads, and when each was changed."""
    folders = [folder for _, found in _packages(kind, tuple(sys.path)) for folder in found]
    for folder in (*folders, *(unpackaged.package_of(place)[1] for place in unpackaged.places())):
        for path in (str(folder), *_folders_in(folder)):
            with suppress(OSError), os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        yield entry.path, entry.stat().st_mtime_ns
    if kind == "protocols":
        yield from ((str(path), path.stat().st_mtime_ns) for path in described.files())


def _folders_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir()]
    except OSError:
        return []


@lru_cache(maxsize=16)
def _search(
    kind: Kind, path: tuple[str, ...], places: tuple[Path, ...], stamps: tuple[tuple[str, int], ...]
) -> Plugins:
    plugins: dict[str, list[Plugin]] = {}
    described: dict[str, list[Plugin]] = {}
    faults = [*_missing_packages(kind), *(_useless_places() if kind == KINDS[0] else ())]
    for plugin, sets in _modules(kind):
        if "PLUGIN" in sets:
            plugins.setdefault(plugin.name, []).append(plugin)
        if "DATASET" in sets:
            described.setdefault(plugin.name, []).append(plugin)
    kept, doubled = without_duplicates(kind, plugins)
    data, twice = without_duplicates(kind, described)
    return Plugins(kept, data, [*faults, *doubled, *(f for f in twice if f.name not in plugins)])


def without_duplicates(
    kind: Kind, found: dict[str, list[Plugin]]
) -> tuple[dict[str, Plugin], list[Fault]]:
    """Return what each name means; of two foreign plugins of one name neither takes part."""
    kept: dict[str, Plugin] = {}
    faults = []
    for name, named in sorted(found.items()):
        plugins = list(dict.fromkeys(named))  # KPBENCH_PLUGINS may name a folder and a file in it
        own = [plugin for plugin in plugins if plugin.in_tree]
        if len(plugins) == 1 or own:
            kept[name] = (own or plugins)[0]
        if len(plugins) > 1:
            error = DuplicatePluginError(
                f"{kind}: the name {name!r} is taken twice, by "
                f"{' and by '.join(plugin.origin for plugin in plugins)}; rename one of them"
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


def _missing_packages(kind: Kind) -> Iterator[Fault]:
    for entry, folders in _packages(kind, tuple(sys.path)):
        if not folders:
            shipped = _distribution(entry)
            error = BrokenPluginError(
                f"the entry point kpbench.{kind} = {entry.value!r}"
                f"{shipped and f' of {shipped}'} names no package that can be found; install it "
                f"again, or remove it: pip uninstall {shipped or entry.value}"
            )
            yield Fault(kind, entry.value, error)


def _distribution(entry: EntryPoint) -> str:
    """Return the name of what shipped an entry point; "" where its metadata is damaged."""
    try:
        return entry.dist.name if entry.dist else ""
    except (KeyError, OSError, TypeError, ValueError):
        return ""


def _useless_places() -> Iterator[Fault]:
    """Yield what KPBENCH_PLUGINS names in vain; said once, with the methods."""
    for place in unpackaged.places():
        if not place.exists():
            reason = "does not exist"
        elif not any(sets for _, sets in _unpackaged(place)):
            reason = "holds no module that sets PLUGIN or DATASET"
        else:
            continue
        error = BrokenPluginError(f"{unpackaged.VARIABLE} names {place}, which {reason}")
        yield Fault(KINDS[0], place.name, error)


def _modules(kind: Kind) -> Iterator[tuple[Plugin, frozenset[str]]]:
    """Yield each module that may be a plugin or describe a data set, and which of them it is."""
    for entry, folders in _packages(kind, tuple(sys.path)):
        for folder in folders:
            yield from _packaged(entry.value, folder)
    for place in unpackaged.places():
        for plugin, sets in _unpackaged(place):
            if sets and _kind(plugin.path, sets) == kind:
                yield plugin, sets
    for path in described.files() if kind == "protocols" else ():
        written = path.stat().st_mtime_ns
        yield Plugin(path.stem, described.READER, path, path.parent, written), MARKS


def _packaged(package: str, folder: Path) -> Iterator[tuple[Plugin, frozenset[str]]]:
    """Yield the modules of a package; one that sets nothing forgot to, which loading it says."""
    if MARKS & names_set(folder / "__init__.py"):  # one data set, or one method, is the package
        yield from _of(package, folder / "__init__.py", folder)
        return
    for info in pkgutil.iter_modules([str(folder)]):
        found = list(_of(f"{package}.{info.name}", _source(folder, info), folder))
        nothing = not any(sets for _, sets in found)
        for plugin, sets in found:
            yield plugin, frozenset({"PLUGIN"}) if nothing else sets


def _unpackaged(place: Path) -> Iterator[tuple[Plugin, frozenset[str]]]:
    """Yield the modules in a file or folder; those that set nothing are no plugins there."""
    package, folder = unpackaged.package_of(place)
    for info in pkgutil.iter_modules([str(folder)]):
        source = _source(folder, info)
        if folder == place or place in (source, source.parent):
            yield from _of(f"{package}.{info.name}", source, folder)


def _of(module: str, path: Path, package: Path) -> Iterator[tuple[Plugin, frozenset[str]]]:
    """Yield a module and what it sets, and the plugins in it when it is a family."""
    name = module.rpartition(".")[2]
    if name.startswith("_"):
        return
    sets = MARKS & names_set(path)
    yield Plugin(name, module, path, package), sets
    if path.name != "__init__.py" or "PLUGIN" in sets:
        return
    for info in pkgutil.iter_modules([str(path.parent)]):
        source = _source(path.parent, info)
        if not info.name.startswith("_") and "PLUGIN" in names_set(source):
            sets = MARKS & names_set(source)
            yield Plugin(info.name, f"{module}.{info.name}", source, package), sets


def _source(folder: Path, info: pkgutil.ModuleInfo) -> Path:
    return folder / info.name / "__init__.py" if info.ispkg else folder / f"{info.name}.py"


def _kind(path: Path, sets: frozenset[str]) -> Kind:
    """Tell a method from a protocol by its source: protocols have splits, methods are classes."""
    try:
        nodes = [*ast.walk(parsed(path))]
    except (OSError, SyntaxError, ValueError):
        return "protocols" if "DATASET" in sets else "methods"
    words = {node.id for node in nodes if isinstance(node, ast.Name)}
    words |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    if "DATASET" in sets or words & _OF_PROTOCOLS:
        return "protocols"
    classes = any(isinstance(node, ast.ClassDef) for node in nodes)
    return "methods" if classes else "protocols"
