"""Protocols that are described by a file in the user's settings, not by a module.

What such a file means is told by a module that lies above this room, so it is named here as the
module of an entry point is, and imported when the protocol is loaded.
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

from kpbench.files.atomic import user_config

ENDING = ".toml"
READER = "kpbench.data.projects.described"
"""The module whose `protocol_of` makes a protocol of a file."""


def folder() -> Path:
    """Return the folder of the files; it need not exist."""
    return user_config() / "protocols"


def files() -> list[Path]:
    """Return the files, sorted by name."""
    return sorted(folder().glob(f"*{ENDING}"))


def about(path: Path) -> str:
    """Return the sentence of a file, or why it cannot be read."""
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8-sig")).get("about", ""))
    except OSError as error:
        return f"(cannot be read: {error.strerror or error})"
    except ValueError as error:
        return f"(cannot be read: {error})"


def attribute(path: Path, name: str) -> Any:
    """Return `PLUGIN`, the protocol that a file describes, or `DATASET`, its data set.

    Raises:
        KpbenchError: the file is not what it should be; names it.
    """
    protocol = importlib.import_module(READER).protocol_of(path)
    return protocol if name == "PLUGIN" else protocol.dataset
