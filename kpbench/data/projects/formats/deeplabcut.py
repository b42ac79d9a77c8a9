"""Projects of DeepLabCut: config.yaml and labeled-data/<video>/CollectedData_<scorer>.csv or .h5.

Files called machinelabels hold predictions and are never read. Pictures in "<video>_labeled" have
the labels drawn in and are left out, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpbench.data.projects.formats.frames_of_tables import check_labelled, labelled_rows
from kpbench.data.projects.formats.pandas_table import read_pandas_table
from kpbench.data.projects.formats.three_rows import Table, read_table
from kpbench.data.projects.project import Choice, Project, unlabelled_rows, videos_in
from kpbench.errors import DataError, InvalidInputError
from kpbench.files.contents import MEBI, read_text

FRAMES = "labeled-data"
_PREFIX = "CollectedData_"


def is_one(root: Path) -> bool:
    """Tell whether a folder is a project of DeepLabCut."""
    return bool(_label_files(root))


def _label_files(root: Path) -> dict[tuple[str, str], Path]:
    """Return (folder, scorer) -> file of labels; a csv, which can be read by people, goes first."""
    found: dict[tuple[str, str], Path] = {}
    for ending in (".h5", ".csv"):
        for path in sorted((root / FRAMES).glob(f"*/{_PREFIX}*{ending}")):
            if not path.parent.name.endswith("_labeled"):
                found[path.parent.name, path.stem.removeprefix(_PREFIX)] = path
    return dict(sorted(found.items()))


def read(root: Path, choice: Choice) -> Project:
    """Read a project.

    Raises:
        DataError: a file is not what its format says; names file, line and column.
        InvalidInputError: several people labelled and none was chosen.
    """
    config = _config(root)
    files = _of_scorer(root, _label_files(root), choice.labels)
    if not files:
        raise DataError(f"{root}: no {FRAMES}/<video>/{_PREFIX}<scorer>.csv or .h5")
    tables = [_table(path, choice.individual) for path in files]
    names = list(dict.fromkeys(name for table in tables for name in table.names))
    wanted = [name for name in _texts(config.get("bodyparts")) if name in names]
    names = list(dict.fromkeys([*wanted, *names]))
    rows = labelled_rows(root, tables, names, lambda table, name: _image(root, table, name))
    check_labelled(root, rows, names)
    return Project(
        format="deeplabcut",
        names=tuple(names),
        labelled=rows,
        unlabelled=unlabelled_rows(root, FRAMES, rows.files.tolist()),
        videos=videos_in(root, "videos"),
        edges=_edges(config, names),
    )


def _table(path: Path, individual: str) -> Table:
    if path.suffix == ".csv":
        return read_table(path, individual)
    return read_pandas_table(path, individual)


def _of_scorer(root: Path, files: Mapping[tuple[str, str], Path], scorer: str) -> list[Path]:
    counts: dict[str, int] = {}
    for _, name in files:
        counts[name] = counts.get(name, 0) + 1
    listed = ", ".join(f"{name} ({count} videos)" for name, count in counts.items())
    if scorer and scorer not in counts:
        raise InvalidInputError(f"{root}: nobody called {scorer!r} labelled; there are: {listed}")
    if not scorer and len(counts) > 1:
        raise InvalidInputError(
            f"{root}: labels of several scorers: {listed}; choose one, e.g. "
            f"--labels {next(iter(counts))}"
        )
    return [path for (_, name), path in files.items() if scorer in ("", name)]


def _image(root: Path, table: Table, written: str) -> str | None:
    """Return the file of an image; its folder may have got another name since it was labelled."""
    folder = table.path.parent.relative_to(root).as_posix()
    name = f"{folder}/{written.rpartition('/')[2]}"
    for file in (name, written):
        if (root / file).is_file():
            return file
    return None


def _config(root: Path) -> Mapping[str, Any]:
    """Return config.yaml; {} where the folder has none, as published parts of projects."""
    path = root / "config.yaml"
    if not path.is_file():
        return {}
    import yaml

    try:
        found = yaml.safe_load(read_text(path, 4 * MEBI))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{path}: not yaml: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: should be settings by name, as DeepLabCut writes them")
    return found


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _edges(config: Mapping[str, Any], names: list[str]) -> tuple[tuple[str, str], ...]:
    listed = config.get("skeleton")
    pairs = [_texts(edge) for edge in listed] if isinstance(listed, list) else []
    return tuple((p[0], p[1]) for p in pairs if len(p) == 2 and set(p) <= set(names))
