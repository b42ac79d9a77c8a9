"""What lets another process use this checkout as if it were installed. Needs Python alone.

Plugins are found by the metadata of installed packages, and those of this repository under import
names that are not their folders'. Both are written into a temporary folder, from `pyproject.toml`.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def importable(root: Path = ROOT) -> Iterator[dict[str, str]]:
    """Yield an environment in which Python runs this checkout, whatever is installed beside it.

    Args:
        root: of the checkout.
    """
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="kpbench-") as name:
        folder = Path(name)
        for package, place in settings["tool"]["setuptools"]["package-dir"].items():
            (folder / package).symlink_to(root / place, target_is_directory=True)
        _write_metadata(folder, settings["project"])
        path = [str(folder), str(root), os.environ.get("PYTHONPATH", "")]
        yield {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in path if part)}


def _write_metadata(folder: Path, project: Mapping[str, Any]) -> None:
    name, version = project["name"], project["version"]
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(about, encoding="utf-8")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{entry} = {value}" for entry, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
