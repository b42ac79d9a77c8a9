"""Projects of Lightning Pose: CollectedData.csv beside the folders labeled-data and videos.

Several views in one image are several columns (paw_top, paw_bottom), as any other landmarks.
"""

from __future__ import annotations

from pathlib import Path

from kpbench.data.projects.formats.frames_of_tables import check_labelled, labelled_rows
from kpbench.data.projects.formats.three_rows import read_table
from kpbench.data.projects.project import Choice, Project, chosen_file, unlabelled_rows, videos_in
from kpbench.errors import DataError, InvalidInputError

USUAL = "CollectedData.csv"
_FRAMES = "labeled-data"


def is_one(root: Path) -> bool:
    """Tell whether a folder is a project of Lightning Pose."""
    return bool(_label_files(root))


def _label_files(root: Path) -> list[str]:
    found = [path.name for path in sorted(root.glob("*.csv")) if _begins_as_labels(path)]
    return [USUAL] if USUAL in found else found


def _begins_as_labels(path: Path) -> bool:
    if path.name == USUAL:
        return True
    try:
        with path.open("rb") as file:
            return file.read(7).removeprefix(b"\xef\xbb\xbf").startswith(b"scor")
    except OSError:
        return False


def read(root: Path, choice: Choice) -> Project:
    """Read a project.

    Raises:
        DataError: a file is not what its format says; names file, line and column.
        InvalidInputError: there are several tables of labels and none was chosen.
    """
    known = _label_files(root)
    if choice.labels and not (root / choice.labels).is_file():
        raise InvalidInputError(
            f"{root}: no table {choice.labels!r}; there are: {', '.join(known) or 'none'}"
        )
    table = read_table(
        root / chosen_file(root, known, choice, "table of labels"), choice.individual
    )
    rows = labelled_rows(
        root, [table], table.names, lambda _, name: name if (root / name).is_file() else None
    )
    check_labelled(root, rows, table.names)
    if not (root / _FRAMES).is_dir() and not len(rows):
        raise DataError(f"{root}: no folder {_FRAMES}")
    return Project(
        format="lightning_pose",
        names=table.names,
        labelled=rows,
        unlabelled=unlabelled_rows(root, _FRAMES, rows.files.tolist()),
        videos=videos_in(root, "videos"),
    )
