"""Folders of records, one or several together."""

from __future__ import annotations

from pathlib import Path

Folders = Path | tuple[Path, ...]
"""Of a run that is in more than one of several folders, the first counts."""


def as_tuple(root: Folders) -> tuple[Path, ...]:
    """Return the folders, also where it is one."""
    return (root,) if isinstance(root, Path) else root


def record_files(root: Folders) -> list[Path]:
    """Return the files of all records below `root` in a fixed order."""
    found: dict[Path, Path] = {}
    for folder in as_tuple(root):
        for path in folder.glob("*/*/*.json"):
            found.setdefault(path.relative_to(folder), path)
    return [found[name] for name in sorted(found)]


def holder(root: Folders, name: Path) -> Path:
    """Return the folder that holds a file of that name, the first folder if none does."""
    folders = as_tuple(root)
    return next((each for each in folders if (each / name).exists()), folders[0])
