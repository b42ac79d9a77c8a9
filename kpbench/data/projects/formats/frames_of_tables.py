"""From tables of labels to a project: the images are looked for, and the labels checked by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kpbench.api import Array
from kpbench.data.projects.formats.three_rows import Table
from kpbench.data.projects.project import CENTRE, Faults, beyond, folder_of
from kpbench.data.source import Rows
from kpbench.errors import DataError
from kpbench.files.image.sizes import image_sizes


def labelled_rows(
    root: Path,
    tables: Sequence[Table],
    names: Sequence[str],
    found: Callable[[Table, str], str | None],
) -> Rows:
    """Return the labelled images of tables, in their order.

    Args:
        root: folder of the project.
        tables: of labels.
        names: of the landmarks; one that a table lacks is labelled nowhere in it.
        found: the image file, relative to `root`, of what a table calls so; None: there is none.

    Raises:
        DataError: an image is missing or unreadable, is labelled twice, or has a label outside of
            it; names table, line and column.
    """
    files: list[str] = []
    points: list[Array] = []
    seen: dict[str, str] = {}
    for table in tables:
        faults = Faults(table.path)
        places = [names.index(name) for name in table.names]
        inner: list[tuple[str, int]] = []
        for i, written in enumerate(table.files):
            file = found(table, written)
            if file is None:
                faults.add(f"line {table.lines[i]}", f"there is no image {written}")
            elif file in seen:
                faults.add(f"line {table.lines[i]}", f"{file} is labelled in {seen[file]} as well")
            else:
                seen[file] = f"{table.path.name}, line {table.lines[i]},"
                inner.append((file, i))
        faults.check()
        _check_places(root, table, inner)
        for file, i in inner:
            placed = np.full((len(names), 2), np.nan)
            placed[places] = table.points[i] + CENTRE
            files.append(file)
            points.append(placed)
    landmarks = np.array(points).reshape(-1, len(names), 2)
    return with_labels(np.array(files, dtype=str), landmarks)


def _check_places(root: Path, table: Table, inner: Sequence[tuple[str, int]]) -> None:
    faults = Faults(table.path)
    sizes = image_sizes([root / file for file, _ in inner])
    for (file, i), size in zip(inner, sizes, strict=True):
        points = table.points[i]
        for landmark in np.flatnonzero(beyond(np.nan_to_num(points), size)):
            x, y = points[landmark]
            faults.add(
                f"line {table.lines[i]}, {table.column(int(landmark))}",
                f"({x:g}, {y:g}) lies outside of {file}, {size[0]} x {size[1]} pixels",
            )
    faults.check()


def with_labels(
    files: Array, landmarks: Array, groups: Array | None = None, **others: Array | None
) -> Rows:
    """Return rows of the images that have a label, with the folder as the video if none is given.

    Args:
        files: (N,) str.
        landmarks: (N, L, 2), NaN where not labelled.
        groups: (N,) str, the video of each.
        others: further columns of `Rows`.
    """
    visible = np.asarray(np.isfinite(landmarks).all(-1))
    if groups is None:
        groups = np.array([folder_of(str(name)) for name in files], dtype=str)
    points = np.where(visible[..., None], landmarks, 0.0)
    rows = Rows(files, points, visible, groups, **others)
    return rows[np.asarray(visible.any(1))]


def check_labelled(root: Path, rows: Rows, names: Sequence[str]) -> None:
    """Check that something is labelled, and every landmark somewhere.

    Raises:
        DataError: nothing is; or names the landmarks that are labelled nowhere.
    """
    if len(rows) == 0:
        raise DataError(f"{root}: no image has a label")
    assert rows.visible is not None
    somewhere = np.asarray(rows.visible.any(0))
    never = [name for name, seen in zip(names, somewhere, strict=True) if not seen]
    if never:
        raise DataError(f"{root}: labelled in no image: {', '.join(never)}; remove these columns")
