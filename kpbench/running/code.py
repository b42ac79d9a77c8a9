"""Which code a run depends on: its plugins' own, and the modules of kpbench that these import.

Both are read from the sources, transitively, imports inside functions too. What was read is kept in
the user's cache for as long as no file changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kpbench.contracts.task import Task
from kpbench.errors import BrokenPluginError, StorageError
from kpbench.files.atomic import user_cache, write_atomically
from kpbench.files.python_imports import Modules, imports_of
from kpbench.files.python_source import code_hash
from kpbench.records.made_by import line_of
from kpbench.registry import Plugin

_KPBENCH = Modules("kpbench", Path(__file__).resolve().parents[1], ("kpbench", "kpbench.api"))
_COMPUTES_NOTHING = ("errors", "plugins", "registry")
_VERSION = 1
"""Of what is kept in the cache."""


@dataclass(frozen=True)
class Part:
    """The code of one plugin, or of a task.

    Attributes:
        own: hashes of the plugin's module and of what it imports of its package, by name.
        kpbench: hashes of the modules of kpbench that are reached from there, by name.
        files: size and time of all of these files.
    """

    own: Mapping[str, str]
    kpbench: Mapping[str, str]
    files: Mapping[str, tuple[int, int]]

    @property
    def is_current(self) -> bool:
        """Whether no file has changed since."""
        return all(_state(Path(file)) == tuple(state) for file, state in self.files.items())


@dataclass(frozen=True)
class Code:
    """The code that a run depends on.

    Attributes:
        own: a hash of the code of both plugins; comments, docstrings and layout do not count.
        kpbench: hashes of the modules of each room, as `kpbench.records.made_by` writes them: what
            both plugins import, and what measures.
    """

    own: str
    kpbench: Mapping[str, str]


def code_of(method: Plugin, protocol: Plugin, task: Task) -> Code:
    """Return the code that a run of a method on a protocol depends on.

    Raises:
        BrokenPluginError: a module that one of them imports cannot be read.
    """
    parts = [_part(method), _part(protocol)]
    text = json.dumps([part.own for part in parts], sort_keys=True)
    modules = {name: code for part in [*parts, _measuring(task.measure.__module__)]
               for name, code in part.kpbench.items()}  # fmt: skip
    rooms: dict[str, dict[str, str]] = {}
    for name, code in modules.items():
        _, room, *inner = name.split(".")
        if room not in _COMPUTES_NOTHING:
            rooms.setdefault(room, {})[".".join(inner) or "__init__"] = code
    lines = {room: line_of(modules) for room, modules in rooms.items()}
    return Code(hashlib.sha256(text.encode()).hexdigest()[:16], lines)


def _part(plugin: Plugin) -> Part:
    """Return the code of a plugin; its module and its package may be one file, or folders.

    One that a file describes has none of its own: its arguments are part of the data's hash.
    """
    if plugin.is_described:
        return _measuring(plugin.module)
    path = plugin.path.with_suffix("") if plugin.path.name != "__init__.py" else plugin.path.parent
    depth = len(path.relative_to(plugin.package).parts)
    name = plugin.module.rsplit(".", depth)[0]
    return _remembered(name, plugin.package, plugin.module)


def _measuring(module: str) -> Part:
    """Return the code of what a task measures by; a protocol imports what is of its own package."""
    return _remembered("kpbench", _KPBENCH.folder, module)


_parts: dict[tuple[str, Path, str], Part] = {}


def _remembered(package: str, folder: Path, module: str) -> Part:
    key = package, folder, module
    if key not in _parts:
        _parts[key] = _kept(key) or _read(*key)
    if not _parts[key].is_current:
        _parts[key] = _read(*key)
    return _parts[key]


def _read(package: str, folder: Path, module: str) -> Part:
    try:
        part = _parsed(package, folder, module)
    except (SyntaxError, ValueError, OSError) as error:
        raise BrokenPluginError(
            f"what {module} imports cannot be read: {type(error).__name__}: {error}"
        ) from error
    with suppress(StorageError):  # it is read again
        write_atomically(_place((package, folder, module)), json.dumps(asdict(part)).encode())
    return part


def _parsed(package: str, folder: Path, module: str) -> Part:
    own = {} if package == "kpbench" else Modules(package, folder).reached([module])
    imports = [each for name, path in own.items() for each in imports_of(path, name)]
    start = [module] if package == "kpbench" else _KPBENCH.imported(imports)
    core = _KPBENCH.reached(start)
    files = {str(path): _state(path) for path in (*own.values(), *core.values())}
    return Part(
        {name.removeprefix(package).strip("."): code_hash(path) for name, path in own.items()},
        {name: code_hash(path) for name, path in core.items()},
        files,
    )


def _kept(key: tuple[str, Path, str]) -> Part | None:
    try:
        raw: dict[str, Any] = json.loads(_place(key).read_text(encoding="utf-8"))
        return Part(**raw)
    except (OSError, ValueError, TypeError):
        return None


def _place(key: tuple[str, Path, str]) -> Path:
    package, folder, module = key
    text = json.dumps([_VERSION, package, str(folder), module, str(_KPBENCH.folder)])
    return user_cache() / "code" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def _state(path: Path) -> tuple[int, int]:
    """Return size and time of a file; (0, 0) of one that has gone."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_size, about.st_mtime_ns
