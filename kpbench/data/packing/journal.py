"""Which chunks of an unfinished packing are done: a line of JSON each, with its sha256.

The sha256 is compared with the file when packing goes on, so that a chunk that was noted but did
not reach the disk (power failure) is packed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.data.source import Rows
from kpbench.files.atomic import write_atomically

JOURNAL = "finished.jsonl"


def plan_of(about: Any, rows: Rows) -> str:
    """Return a hash of what is to be packed: packing goes on only where it means the same.

    Args:
        about: description, JSON-serialisable.
        rows: of the images.
    """
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for field in fields(rows):
        column = getattr(rows, field.name)
        if column is None:
            continue
        column = column.astype("<U") if column.dtype == object else column
        digest.update(f"{field.name} {column.dtype} {column.shape}".encode())
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def start_journal(folder: Path, plan: str, finished: Mapping[int, str]) -> None:
    """Write the plan, and what is finished of it: first row of a chunk -> sha256.

    Raises:
        StorageError: the folder cannot be written.
    """
    lines = [{"plan": plan}, *({"start": a, "sha256": b} for a, b in finished.items())]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomically(folder / JOURNAL, text.encode())


def note_chunk(folder: Path, start: int, sha256: str) -> None:
    """Add a finished chunk."""
    with (folder / JOURNAL).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"start": start, "sha256": sha256}) + "\n")


def read_journal(folder: Path, plan: str) -> dict[int, str] | None:
    """Return the finished chunks, first row -> sha256; None where nothing of this plan is."""
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
        if json.loads(lines[0])["plan"] != plan:
            return None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    found = {}
    for line in lines[1:]:
        try:
            entry = json.loads(line)
            found[int(entry["start"])] = str(entry["sha256"])
        except (ValueError, LookupError, TypeError):
            continue  # the line that a kill cut off
    return found


def remove_journal(folder: Path) -> None:
    """Forget what is finished."""
    (folder / JOURNAL).unlink(missing_ok=True)
