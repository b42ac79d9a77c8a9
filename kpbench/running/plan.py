"""The grid of methods, protocols and seeds, in the order in which it has to run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kpbench.errors import KpbenchError
from kpbench.registry import find, load_method, loadable_protocols


@dataclass(frozen=True)
class Cell:
    """One entry of the grid.

    Attributes:
        method: name of the method.
        protocol: name of the protocol that scores.
        seed: of the training.
        train_on: name of the protocol whose images it is trained on, when that is another one.
    """

    method: str
    protocol: str
    seed: int
    train_on: str | None = None

    def __str__(self) -> str:
        """Return "protocol / method / seed n"."""
        trained = f" trained on {self.train_on}" if self.train_on else ""
        return f"{self.protocol} / {self.method}{trained} / seed {self.seed}"


def default_protocols() -> list[str]:
    """Return the protocols that run when none is named."""
    return [name for name, found in loadable_protocols().items() if found.default]


def grid(
    methods: Iterable[str],
    protocols: Iterable[str],
    seeds: Iterable[int],
    train_on: Iterable[str] = (),
) -> list[Cell]:
    """Return the cells, each method after the one that it depends on and reference rows first.

    Args:
        methods: their names.
        protocols: names of those that score.
        seeds: of the trainings.
        train_on: names of the protocols whose images are trained on; each protocol's own if empty.

    Raises:
        UnknownNameError: a name is not installed.
    """
    ordered: list[str] = []

    def add(name: str) -> None:
        depends_on = _loaded(name, "depends_on", None)
        if depends_on is not None:
            add(depends_on)
        if name not in ordered:
            ordered.append(name)

    for name in sorted(methods, key=lambda name: (_loaded(name, "paper", "unknown") != "", name)):
        add(name)
    protocols, seeds, origins = list(protocols), list(seeds), list(train_on)
    for protocol in (*protocols, *origins):
        find("protocols", protocol)
    return [
        Cell(m, p, s, origin if origin != p else None)
        for p in protocols
        for origin in origins or [p]
        for s in seeds
        for m in ordered
    ]


def _loaded(name: str, attribute: str, otherwise: str | None) -> str | None:
    """Return an attribute of a method; a method that cannot be loaded fails later, in its cell."""
    find("methods", name)
    try:
        value: str | None = getattr(load_method(name), attribute)
    except KpbenchError:
        return otherwise
    return value
