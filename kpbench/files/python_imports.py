"""What Python modules import, read from their source: nothing is imported, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kpbench.files.python_source import parsed


@dataclass(frozen=True)
class Import:
    """One import statement, its module written out in full.

    Attributes:
        module: what is imported, or imported from.
        names: what is imported from it; none in `import module`.
        typing: whether type checkers alone see it.
    """

    module: str
    names: tuple[str, ...]
    typing: bool


def imports_of(path: Path, module: str) -> tuple[Import, ...]:
    """Return the imports of a module, those inside functions too.

    Args:
        path: of its source.
        module: its name; relative imports start from it.

    Raises:
        SyntaxError: it is no Python.
        OSError: it cannot be read.
    """
    about = path.stat()
    return _imports_of(path, module, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=2048)
def _imports_of(path: Path, module: str, size: int, changed: int) -> tuple[Import, ...]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return tuple(_imports_in(parsed(path), package, typing=False))


def _imports_in(node: ast.AST, package: str, *, typing: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, (), typing) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        names = tuple(alias.name for alias in node.names)
        yield Import(_absolute(node, package), names, typing)
    elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        seen = ast.unparse(node.test).startswith("not ")
        for branch, hidden in ((node.body, not seen), (node.orelse, seen)):
            for statement in branch:
                yield from _imports_in(statement, package, typing=typing or hidden)
    elif isinstance(node, ast.stmt | ast.Module | ast.ExceptHandler | ast.match_case):
        for part in ast.iter_child_nodes(node):
            yield from _imports_in(part, package, typing=typing)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")
    base = above[: len(above) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


@dataclass(frozen=True)
class Modules:
    """The modules of one package.

    Attributes:
        name: of the package.
        folder: where it lies.
        doors: modules that only pass on what others define, by a lazy table or by importing it. A
            name that is imported from a door is followed to where it is defined.
    """

    name: str
    folder: Path
    doors: tuple[str, ...] = ()

    def path(self, module: str) -> Path | None:
        """Return where a module of the package lies, None if there is none of that name."""
        if module != self.name and not module.startswith(f"{self.name}."):
            return None
        parts = module.removeprefix(self.name).strip(".").split(".")
        place = self.folder.joinpath(*parts)
        for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if path.is_file() and (module != self.name or path.name == "__init__.py"):
                return path
        return None

    def reached(self, start: Iterable[str]) -> dict[str, Path]:
        """Return what modules of the package import of it, directly or not, and those themselves.

        A package comes with its modules: importing one runs the `__init__` above it. What type
        checkers alone see does not count.

        Args:
            start: names of modules; those of other packages are left out.

        Returns:
            The sources by the names of the modules, sorted.

        Raises:
            SyntaxError: one of them is no Python.
        """
        found: dict[str, Path] = {}
        waiting = list(start)
        while waiting:
            module = waiting.pop()
            path = self.path(module)
            if module in found or path is None:
                continue
            found[module] = path
            above = module.rpartition(".")[0]
            waiting += [above] if above and above not in self.doors else []
            waiting += self.imported(imports_of(path, module))
        return dict(sorted(found.items()))

    def imported(self, imports: Iterable[Import]) -> list[str]:
        """Return the modules of the package that running these imports needs, repetitions too."""
        found: list[str] = []
        for each in imports:
            if not each.typing and self.path(each.module) is not None:
                found += [m for name in each.names or ("*",) for m in self._of(each.module, name)]
        return found

    def _of(self, module: str, name: str) -> list[str]:
        """Return the modules that define a name of a module; all that a door leads to for `*`."""
        inner = f"{module}.{name}"
        if self.path(inner) is not None:
            return [] if inner in self.doors else [inner]
        if module not in self.doors:
            return [module]
        table = _passed_on(self.path(module), module)
        if name == "*":
            return [m for each, where in table.items() for m in self._of(where, each)]
        return self._of(table[name], name) if name in table else [module]


def _passed_on(path: Path | None, module: str) -> Mapping[str, str]:
    """Return where the names that a door passes on come from: what type checkers see says it."""
    if path is None:
        return {}
    return {name: each.module for each in imports_of(path, module) for name in each.names}
