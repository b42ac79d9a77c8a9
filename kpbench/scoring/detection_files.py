"""Detections that were computed elsewhere: an .npz file, or a folder of .npy files.

Arrays, for S in train and test, in an .npz with or without a prefix `D/` that names a group, in a
folder as `S_keypoints.npy` and so on: `S_keypoints` (N, K, 2), `S_landmarks` (N, L, 2), (x, y) in
[0, 1]; optional `S_visible` (N, L), true or 1 where the label is there (all, if left out),
`S_activities` (N,) text, `S_boxes` (N, 4) x, y, width and height of the object in [0, 1], and
`S_aspect` (N,) width / height of what an image shows that was squashed into a square.

The files of a folder are memory-mapped: they are scored in memory that does not grow with them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.lib.npyio import NpzFile

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError
from kpbench.scoring.detections import ROWS, Detections
from kpbench.scoring.named import has_evaluators
from kpbench.scoring.per_image import UNREADABLE

SPLITS = ("train", "test")
REQUIRED = ("keypoints", "landmarks")
OPTIONAL = ("visible", "activities", "boxes", "aspect")
NAMES = tuple(f"{split}_{key}" for split in SPLITS for key in (*REQUIRED, *OPTIONAL))


def load_detections(
    path: Path, group: str | None = None, dataset: str | None = None
) -> tuple[Detections, Detections]:
    """Read the train and test detections of one group; unpickles nothing.

    Args:
        path: an .npz file, or a folder of .npy files.
        group: prefix of the arrays of an .npz; may be left out when the file holds one group.
        dataset: the group to take where none is named; a file of another data set is refused.

    Raises:
        InvalidInputError: not readable, no such group or several to choose from, missing or object
            arrays, wrong shapes, pixels, NaN, or the same arrays in train and test.
    """
    arrays = _from_folder(path) if path.is_dir() else _from_npz(path, group, dataset)
    train, test = (_detections(path, arrays, split) for split in SPLITS)
    if _equal(train.keypoints, test.keypoints) and _equal(train.landmarks, test.landmarks):
        raise InvalidInputError(
            f"{path}: train and test hold the same arrays; a regression scored on the images that "
            "it was fitted on says nothing"
        )
    return train, test


def _from_folder(path: Path) -> dict[str, Array]:
    files = {name: path / f"{name}.npy" for name in NAMES}
    found: dict[str, Array] = {}
    for name, file in files.items():
        if not file.exists():
            continue
        try:
            found[name] = open_memmap(file, mode="r")
        except UNREADABLE as error:
            raise InvalidInputError(
                f"{file} cannot be read as a .npy of numbers or text: {error}; write it with "
                "numpy.save and no objects"
            ) from error
    if not found:
        raise InvalidInputError(
            f"the folder {path} holds none of train_keypoints.npy, train_landmarks.npy, "
            "test_keypoints.npy, test_landmarks.npy"
        )
    return found


def _from_npz(path: Path, group: str | None, dataset: str | None) -> dict[str, Array]:
    """Read the arrays of one group, without its prefix."""
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            prefix = _prefix(path, archive.files, group, dataset)
            found = {key: archive[prefix + key] for key in NAMES if prefix + key in archive}
    except FileNotFoundError as error:
        raise InvalidInputError(f"there is no file {path}") from error
    except UNREADABLE as error:
        raise InvalidInputError(
            f"{path} cannot be read as an .npz of plain arrays: {error}; save it with "
            "numpy.savez(path, train_keypoints=..., ...) and no object arrays"
        ) from error
    for key, value in found.items():  # numpy hands out other members of a zip as bytes
        if not isinstance(value, np.ndarray):
            raise InvalidInputError(f"{path}: {prefix}{key} is no array")
    return found


def _prefix(path: Path, keys: list[str], group: str | None, dataset: str | None) -> str:
    found = {
        key[: -len(f"{split}_{name}")]
        for key in keys
        for split in SPLITS
        for name in REQUIRED
        if key.endswith(f"{split}_{name}")
    }
    prefixes = sorted(prefix for prefix in found if prefix == "" or prefix.endswith("/"))
    if not prefixes:
        raise InvalidInputError(
            f"{path} holds no arrays train_keypoints, train_landmarks, test_keypoints, "
            f"test_landmarks; it holds: {', '.join(keys[:20]) or 'nothing'}"
        )
    names = [prefix.removesuffix("/") for prefix in prefixes]
    if group is None and dataset in names:
        group = dataset
    if group is None and len(names) == 1:
        group = names[0]
        if dataset and group != dataset and has_evaluators(group):
            raise InvalidInputError(
                f"{path} holds {group}, not {dataset}; name an evaluator of {group}, or choose the "
                f"arrays with --group {group} to score them under {dataset} anyway"
            )
    if group not in names:
        listed = ", ".join(name or "(no prefix)" for name in names)
        raise InvalidInputError(
            f"{path} holds the groups {listed}; "
            + (f"there is none called {group!r}" if group else "choose one with --group")
        )
    return f"{group}/" if group else ""


def _detections(path: Path, arrays: dict[str, Array], split: str) -> Detections:
    missing = [f"{split}_{key}" for key in REQUIRED if f"{split}_{key}" not in arrays]
    if missing:
        raise InvalidInputError(f"{path}: {', '.join(missing)} missing; all four are needed")
    keypoints, landmarks = (arrays[f"{split}_{key}"] for key in REQUIRED)
    others = (arrays.get(f"{split}_{key}") for key in OPTIONAL if key != "visible")
    try:
        return Detections(keypoints, landmarks, _visible(arrays, split), *others)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {split}: {error}") from error


def _visible(arrays: dict[str, Array], split: str) -> Array:
    visible = arrays.get(f"{split}_visible")
    if visible is None:
        return np.broadcast_to(np.True_, arrays[f"{split}_landmarks"].shape[:2])
    if visible.dtype == np.bool_:
        return visible
    parts = (visible[start : start + ROWS] for start in range(0, len(visible), ROWS))
    if visible.dtype.kind not in "iuf" or not all(np.isin(part, (0, 1)).all() for part in parts):
        raise InvalidInputError(f"{split}_visible must hold true/false or 0/1")
    return visible.astype(bool)


def _equal(a: Array, b: Array) -> bool:
    parts = (slice(start, start + ROWS) for start in range(0, len(a), ROWS))
    return a.shape == b.shape and all(np.array_equal(a[rows], b[rows]) for rows in parts)
