"""The lists of CelebA and MAFL."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kpbench import Array, DataError
from kpbench.files.tables import read_words


def mafl(root: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the names of MAFL's training faces but the last 10 %, of these, and of its test.

    Raises:
        DataError: a list is missing or too short; names it.
    """
    train, test = (
        [row[0] for row in read_words(found(root, f"MAFL/{name}.txt"))]
        for name in ("training", "testing")
    )
    held = len(train) // 10
    if not (held and test):
        raise DataError(f"{root / 'MAFL'}: training.txt needs 10 names or more, testing.txt 1")
    return train[:-held], train[-held:], test


def places(name: str) -> tuple[str, str]:
    """Return where a list may lie."""
    return f"Anno/{name}", name


def found(root: Path, *names: str) -> Path:
    """Return the first of these that is there.

    Raises:
        DataError: none is.
    """
    for name in names:
        if (root / name).exists():
            return root / name
    others = f", nor {', '.join(names[1:])}" if names[1:] else ""
    raise DataError(
        f"{root / names[0]} is not there{others}; the layout is told by: kpbench data info celeba"
    )


def numbers(path: Path, names: Iterable[str], count: int, skip: int) -> Array:
    """Return (N, count) float64, the numbers beside each name in a CelebA list.

    Args:
        path: the list.
        names: N of them.
        count: numbers in a row.
        skip: lines before the first row.

    Raises:
        DataError: the list is missing, lacks a name, or holds something else; names it.
    """
    table = {row[0]: row[1:] for row in read_words(path, skip)}
    rows = []
    for name in names:
        if name not in table:
            raise DataError(f"{path} has no row for {name}")
        try:
            rows.append([int(word) for word in table[name]])
        except ValueError:
            rows.append([])
        if len(rows[-1]) != count:
            raise DataError(f"{path}: the row of {name} should hold {count} whole numbers")
    return np.array(rows, float)


def people(root: Path, names: Iterable[str]) -> Array | None:
    """Return (N,) str, who is shown; None unless the identities were downloaded as well.

    Raises:
        DataError: the list of identities lacks a name.
    """
    for place in places("identity_CelebA.txt"):
        if (root / place).exists():
            return numbers(root / place, names, 1, skip=0)[:, 0].astype(int).astype(str)
    return None
