"""Scoring keypoints that were computed elsewhere, from an .npz file.

Arrays, for S in train and test, with or without a prefix `D/` that names a group:
`S_keypoints` (N, K, 2), `S_landmarks` (N, L, 2), (x, y) in [0, 1]; optional `S_visible` (N, L),
true or 1 where the label is there (all, if left out), and `S_activities` (N,) text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from kpbench.api import Array
from kpbench.errors import InvalidInputError, KpbenchError
from kpbench.evaluators import (
    EVALUATORS,
    Detections,
    Evaluation,
    evaluate,
    evaluators_of,
    get_evaluator,
)
from kpbench.stats import UNREADABLE

SPLITS = ("train", "test")
REQUIRED = ("keypoints", "landmarks")
OPTIONAL = ("visible", "activities")


@dataclass(frozen=True)
class Unscored:
    """An evaluator that cannot score the arrays, and why."""

    evaluator: str
    error: str


def load_detections(path: Path, group: str | None = None) -> tuple[Detections, Detections]:
    """Read the train and test detections of one group; unpickles nothing.

    Args:
        path: an .npz file.
        group: prefix of the arrays; may be left out when the file holds one group.

    Raises:
        InvalidInputError: not a readable .npz, no such group or several to choose from, missing
            or object arrays, wrong shapes, pixels, NaN, or the same arrays in train and test.
    """
    return _load(path, group, None)


def score_file(path: Path, evaluator: str, group: str | None = None) -> Evaluation:
    """Score the arrays in `path` under the named evaluator.

    Args:
        path: see `load_detections`.
        evaluator: its name.
        group: prefix of the arrays; the evaluator's data set, or the only one, if left out.

    Raises:
        UnknownNameError: there is no such evaluator.
        InvalidInputError: as `load_detections` and `evaluate`.
        UndefinedScoreError: as `evaluate`.
    """
    spec = get_evaluator(evaluator)
    return evaluate(spec, *_load(path, group, spec.dataset))


def score_file_all(
    path: Path, dataset: str, group: str | None = None
) -> list[Evaluation | Unscored]:
    """Score the arrays in `path` under every evaluator of a data set.

    Args:
        path: see `load_detections`.
        dataset: the data set whose evaluators are used.
        group: prefix of the arrays; `dataset`, or the only one, if left out.

    Returns:
        One entry an evaluator; `Unscored` where it cannot score these arrays.

    Raises:
        UnknownNameError: there is no evaluator for that data set.
        InvalidInputError: as `load_detections`.
    """
    specs = evaluators_of(dataset)
    train, test = _load(path, group, dataset)
    found: list[Evaluation | Unscored] = []
    for spec in specs:
        try:
            found.append(evaluate(spec, train, test))
        except KpbenchError as error:
            found.append(Unscored(spec.name, str(error)))
    return found


def as_json(found: Evaluation | Unscored) -> dict[str, Any]:
    """Return what `kpbench score --json` prints; holds no NaN."""
    if isinstance(found, Unscored):
        return {"evaluator": found.evaluator, "error": found.error}
    by_landmark = [None if np.isnan(v) else float(v) for v in found.landmark_values]
    return {
        "evaluator": found.evaluator,
        "metric": found.metric,
        "value": found.value,
        "unit": found.unit,
        "ci95": list(found.ci95),
        "higher_is_better": found.higher_is_better,
        "oracle_used": found.oracle_used,
        "n": found.n_images,
        "rank": found.rank,
        "n_features": found.n_features,
        "notes": list(found.notes),
        "landmark_values": by_landmark,
    }


def _load(path: Path, group: str | None, dataset: str | None) -> tuple[Detections, Detections]:
    arrays = _arrays(path, group, dataset)
    train, test = (_detections(path, arrays, split) for split in SPLITS)
    same = (
        np.array_equal(train.keypoints, test.keypoints),
        np.array_equal(train.landmarks, test.landmarks),
    )
    if all(same):
        raise InvalidInputError(
            f"{path}: train and test hold the same arrays; a regression scored on the images that "
            "it was fitted on says nothing"
        )
    return train, test


def _arrays(path: Path, group: str | None, dataset: str | None) -> dict[str, Array]:
    """Read the arrays of one group, without its prefix."""
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            prefix = _prefix(path, archive.files, group, dataset)
            wanted = (f"{split}_{key}" for split in SPLITS for key in (*REQUIRED, *OPTIONAL))
            found = {key: archive[prefix + key] for key in wanted if prefix + key in archive}
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
        if group in {spec.dataset for spec in EVALUATORS.values()} - {dataset} and dataset:
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
    visible = arrays.get(f"{split}_visible", np.ones(landmarks.shape[:2], bool))
    if visible.dtype != np.bool_:
        if visible.dtype.kind not in "iuf" or not np.isin(visible, (0, 1)).all():
            raise InvalidInputError(f"{path}: {split}_visible must hold true/false or 0/1")
        visible = visible.astype(bool)
    try:
        return Detections(keypoints, landmarks, visible, arrays.get(f"{split}_activities"))
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {split}: {error}") from error
