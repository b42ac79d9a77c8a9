"""The per-image scores beside a record: written once, read by the leaderboard."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np
from numpy.lib.npyio import NpzFile

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError, RecordError, UndefinedScoreError
from kpbench.scoring.metrics import Aggregation, aggregate

if TYPE_CHECKING:
    from kpbench.scoring.evaluators import Evaluation

UNREADABLE = (
    *(OSError, EOFError, MemoryError, RuntimeError, ValueError, KeyError, AttributeError),
    *(zipfile.BadZipFile, zlib.error, struct.error, SyntaxError, tokenize.TokenError),
)
"""What numpy raises for a file that is no .npz, truncated, altered or pickled."""
IDENTITIES = "identities"


@dataclass(frozen=True)
class Scores:
    """What `save_scores` keeps of an evaluation: `aggregate(...)` of the fields is its value.

    Attributes:
        errors: (N, C) float32, one column a landmark, or one a coordinate of a landmark.
        valid: (N, C) bool.
        aggregation: how errors become one number.
        groups: (N,) str, for `group_mean`, or None.
        identities: (N,) str, who or what each image shows, or None if unknown.
        landmarks: names of the landmarks, () if they were not kept.
    """

    errors: Array
    valid: Array
    aggregation: Aggregation
    groups: Array | None
    identities: Array | None = None
    landmarks: tuple[str, ...] = ()

    def by_landmark(self) -> list[float | None]:
        """Return the score of each landmark alone, None where it is never visible.

        This is the breakdown of Harris's thesis, Table 4.17: the same errors and aggregation, over
        the columns of one landmark; where each image is summed, the mean over the images that show
        it, as a landmark that is rarely shown would look easy. Without names every column counts
        as one landmark.
        """
        n_landmarks = len(self.landmarks) or self.errors.shape[1]
        columns = np.arange(self.errors.shape[1]).reshape(n_landmarks, -1)
        return [self._alone(part) for part in columns]

    def _alone(self, columns: Array) -> float | None:
        how = "pooled_mean" if self.aggregation == "image_sum" else self.aggregation
        try:
            return aggregate(self.errors[:, columns], self.valid[:, columns], how, self.groups)
        except UndefinedScoreError:
            return None


def save_scores(
    evaluations: Sequence[Evaluation],
    identities: Array | None = None,
    landmarks: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """Return an npz of the per-image errors, the same bytes for the same evaluations.

    Args:
        evaluations: of the same test images.
        identities: (N,) who or what each image shows, or None.
        landmarks: names of the landmarks that an evaluator scores, by its name.

    Raises:
        InvalidInputError: two evaluations of the same name, or identities of other images.
    """
    arrays: dict[str, Array] = {}
    for evaluation in evaluations:
        name = evaluation.evaluator
        if f"{name}:errors" in arrays:
            raise InvalidInputError(f"two evaluations under {name}; keep one")
        arrays[f"{name}:errors"] = evaluation.errors.astype(np.float32)
        arrays[f"{name}:valid"] = np.asarray(evaluation.valid)
        arrays[f"{name}:aggregation"] = np.array(evaluation.aggregation)
        if evaluation.groups is not None:
            arrays[f"{name}:groups"] = evaluation.groups.astype(str)
        if landmarks is not None and name in landmarks:
            arrays[f"{name}:landmarks"] = np.array(landmarks[name], dtype=str)
        if identities is not None and np.shape(identities) != (len(evaluation.errors),):
            raise InvalidInputError(
                f"{name} scored {len(evaluation.errors)} images, but there are identities of "
                f"{len(identities)}"
            )
    if identities is not None:
        arrays[IDENTITIES] = np.asarray(identities).astype(str)
    buffer = io.BytesIO()
    # numpy's stub takes the arrays' names for its own keyword
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def load_scores(path: Path) -> dict[str, Scores]:
    """Return what `save_scores` wrote, by name of the evaluator; unpickles nothing.

    Raises:
        RecordError: missing, truncated, altered, or not written by `save_scores`.
    """
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        names = [key.removesuffix(":errors") for key in arrays if key.endswith(":errors")]
        return {name: _scores(arrays, name) for name in names}
    except FileNotFoundError as error:
        raise RecordError(f"the per-image scores {path} are missing") from error
    except UNREADABLE as error:
        raise RecordError(
            f"the per-image scores {path} are corrupt ({error}); run the evaluation again"
        ) from error


def _scores(arrays: dict[str, Array], name: str) -> Scores:
    scores = Scores(
        arrays[f"{name}:errors"],
        arrays[f"{name}:valid"],
        cast(Aggregation, str(arrays[f"{name}:aggregation"])),
        arrays.get(f"{name}:groups"),
        arrays.get(IDENTITIES),
        tuple(map(str, arrays.get(f"{name}:landmarks", ()))),
    )
    errors, valid = scores.errors, scores.valid
    if errors.dtype != np.float32 or valid.dtype != np.bool_ or errors.shape != valid.shape:
        raise ValueError(f"{name}: errors and valid do not match")
    if errors.ndim != 2 or errors.shape[1] % max(1, len(scores.landmarks)):
        raise ValueError(f"{name}: errors must be (N, C), C a multiple of the landmarks")
    for label in (scores.groups, scores.identities):
        if label is not None and label.shape != (len(errors),):
            raise ValueError(f"{name}: groups and identities must be (N,)")
    if scores.aggregation not in get_args(Aggregation):
        raise ValueError(f"{name}: unknown aggregation {scores.aggregation!r}")
    return scores
