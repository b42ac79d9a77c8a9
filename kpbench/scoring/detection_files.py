"""Detections that were computed elsewhere: an .npz file, or a folder of .npy files.

Arrays, for S in train and test, in an .npz with or without a prefix `D/` that names a group, in a
folder as `S_keypoints.npy` and so on: `S_keypoints` (N, K, 2), `S_landmarks` (N, L, 2), (x, y) in
[0, 1]; optional `S_visible` (N, L), true or 1 where the label is there (all, if left out),
`S_activities` (N,) text, `S_boxes` (N, 4) x, y, width and height of the object in [0, 1], and
`S_aspect` (N,) width / height of what an image shows that was squashed into a square.

The files of a folder are memory-mapped: they are scored in memory that does not grow with them,
unless they are in another unit, in which case they are converted in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
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

Ranges = Mapping[str, tuple[float, float]]
"""keypoints or landmarks -> their values at the left or upper and at the right or lower edge."""
IN_UNIT: Ranges = {}
LISTED = 20


def load_detections(
    path: Path, group: str | None = None, dataset: str | None = None, ranges: Ranges = IN_UNIT
) -> tuple[Detections, Detections]:
    """Read the train and test detections of one group; unpickles nothing.

    Args:
        path: an .npz file, or a folder of .npy files.
        group: prefix of the arrays of an .npz; may be left out when the file holds one group.
        dataset: the group to take where none is named; a file of another data set is refused.
        ranges: the unit of what is not in [0, 1] of the image, {"keypoints": (-1, 1)}.

    Raises:
        InvalidInputError: not readable, no such group or several to choose from, missing or object
            arrays, wrong shapes, another unit, NaN, marks for missing labels, or the same arrays in
            train and test.
    """
    if path.is_dir():
        arrays, held = _from_folder(path, group)
    else:
        arrays, held = _from_npz(path, group, dataset)
    _check_held(path, arrays, held)
    train, test = (_detections(path, arrays, split, ranges) for split in SPLITS)
    if _equal(train.keypoints, test.keypoints) and _equal(train.landmarks, test.landmarks):
        raise InvalidInputError(
            f"{path}: train and test hold the same arrays; a regression scored on the images that "
            "it was fitted on says nothing"
        )
    return train, test


def _from_folder(path: Path, group: str | None) -> tuple[dict[str, Array], list[str]]:
    """Map the arrays of a folder; returns what else is in it, too."""
    if group is not None:
        raise InvalidInputError(
            f"{path} is a folder of .npy files, which has no group {group!r}; leave out --group"
        )
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
    held = sorted(file.name for file in path.glob("*.npy"))
    if not found:
        raise InvalidInputError(
            f"the folder {path} holds none of train_keypoints.npy, train_landmarks.npy, "
            f"test_keypoints.npy, test_landmarks.npy; it holds: {_listing(held)}"
        )
    return found, held


def _from_npz(
    path: Path, group: str | None, dataset: str | None
) -> tuple[dict[str, Array], list[str]]:
    """Read the arrays of one group, without its prefix; returns the names of all, too."""
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
    return found, archive.files


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
            f"test_landmarks; it holds: {_listing(keys)}"
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


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more if names else "nothing"


def _check_held(path: Path, arrays: dict[str, Array], held: list[str]) -> None:
    for split in SPLITS:
        missing = [f"{split}_{key}" for key in REQUIRED if f"{split}_{key}" not in arrays]
        if missing:
            raise InvalidInputError(
                f"{path}: {', '.join(missing)} missing; all four are needed; it holds: "
                f"{_listing(held)}"
            )


def _detections(path: Path, arrays: dict[str, Array], split: str, ranges: Ranges) -> Detections:
    keypoints, landmarks = (arrays[f"{split}_{key}"] for key in REQUIRED)
    others = (arrays.get(f"{split}_{key}") for key in OPTIONAL if key != "visible")
    try:
        visible = _visible(arrays, split)
        if "keypoints" in ranges:
            keypoints = _in_image(keypoints, keypoints, ranges["keypoints"], "keypoints")
        if "landmarks" in ranges and landmarks.shape[:2] == visible.shape:
            shown = landmarks[visible]
            landmarks = _in_image(landmarks, shown, ranges["landmarks"], "landmarks")
        return Detections(keypoints, landmarks, visible, *others)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {split}: {error}{_option(error)}") from error


def _option(error: InvalidInputError) -> str:
    """Return how a file in another unit is scored, where that is what was refused."""
    for name, option in (("keypoints", "--range"), ("landmarks", "--landmark-range")):
        if str(error).startswith(f"{name} must be (x, y) in [0, 1]"):
            return (
                f" (kpbench score: {option} LOW,HIGH, the values at the two edges of the image, "
                "e.g. -1,1 or 0,256)"
            )
    return ""


def _in_image(points: Array, shown: Array, ends: tuple[float, float], name: str) -> Array:
    """Return points of another unit in [0, 1] of the image.

    Args:
        points: (N, points, 2).
        shown: those that count.
        ends: what is 0 and what is 1.
        name: of the points.

    Raises:
        InvalidInputError: they are in [0, 1] already.
    """
    low, high = ends
    if points.dtype.kind not in "fiu" or not shown.size:
        return points
    if ends != (0, 1) and shown.min() >= 0 and shown.max() <= 1:
        raise InvalidInputError(
            f"{name} are said to be from {low:g} to {high:g}, but are from {shown.min():.3g} to "
            f"{shown.max():.3g}, as in [0, 1]; leave out their range"
        )
    return (np.asarray(points, np.float64) - low) / (high - low)


def _visible(arrays: dict[str, Array], split: str) -> Array:
    """Return which labels are there, bool (N, L); all where nothing says so."""
    visible, shape = arrays.get(f"{split}_visible"), arrays[f"{split}_landmarks"].shape[:2]
    if visible is None:
        return np.broadcast_to(np.True_, shape)
    if visible.dtype == np.bool_:
        return visible
    if visible.shape != shape:
        raise InvalidInputError(
            f"{split}_visible must be bool of shape {shape}, got {visible.dtype} {visible.shape}"
        )
    parts = (visible[start : start + ROWS] for start in range(0, len(visible), ROWS))
    if visible.dtype.kind not in "iuf" or not all(np.isin(part, (0, 1)).all() for part in parts):
        raise InvalidInputError(f"{split}_visible must hold true/false or 0/1{_flags(visible)}")
    return visible.astype(bool)


def _flags(visible: Array) -> str:
    """Return what values that are neither 0 nor 1 may be, and what to do about them."""
    if visible.dtype.kind not in "iuf":
        return f", got {visible.dtype}"
    if np.isnan(visible).any():
        return f", got NaN in {int(np.isnan(visible).sum())} places; give false where no label is"
    if np.isin(visible, (0, 1, 2)).all():
        return ", got 2: of COCO's flags 0, 1 and 2, 0 is a label that is missing; give flags > 0"
    return f", got values from {visible.min():g} to {visible.max():g}"


def _equal(a: Array, b: Array) -> bool:
    parts = (slice(start, start + ROWS) for start in range(0, len(a), ROWS))
    return a.shape == b.shape and all(np.array_equal(a[rows], b[rows]) for rows in parts)
