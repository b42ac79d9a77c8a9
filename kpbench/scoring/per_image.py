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
FORMAT = 2
"""Of the file; 1 kept the error of every landmark in every image."""
IDENTITIES = "identities"


@dataclass(frozen=True)
class Scores:
    """What `save_scores` keeps of an evaluation: `aggregate(...)` of the fields is its value.

    Attributes:
        errors: (N, C) float32, few numbers an image; see `reduced`.
        valid: (N, C) bool.
        aggregation: how errors become one number.
        groups: (N,) str, for `group_mean`, or None.
        identities: (N,) str, who or what each image shows, or None if unknown.
        landmarks: names of the landmarks, () if they were not kept.
        landmark_values: (L,) float32, the score of each named landmark alone, see `each_landmark`.
    """

    errors: Array
    valid: Array
    aggregation: Aggregation
    groups: Array | None
    identities: Array | None = None
    landmarks: tuple[str, ...] = ()
    landmark_values: Array | None = None

    def by_landmark(self) -> list[float | None]:
        """Return the score of each named landmark alone, None where it is never visible."""
        values = [] if self.landmark_values is None else self.landmark_values.tolist()
        return [None if np.isnan(value) else value for value in values]


def reduced(errors: Array, valid: Array, aggregation: Aggregation) -> tuple[Array, Array]:
    """Return the few numbers an image that score it as all of its errors do, in every resample.

    These are the mean over an image's errors, or their sum for `image_sum`, in one column;
    `pooled_mean` has the mean in as many columns as errors count. For `component_sum` columns that
    count in the same images are added up: one where every landmark is labelled, else one for x and
    y of a landmark.

    Args:
        errors: (N, C) float.
        valid: (N, C) bool, the errors that count.
        aggregation: see `Aggregation`.

    Returns:
        errors and valid, both (N, C') with C' at most C; errors that do not count are 0.

    Example:
        >>> errors = np.array([[1.0, 3.0], [5.0, 9.0]])
        >>> reduced(errors, errors < 9, "image_mean")[0]
        array([[2.],
               [5.]])
    """
    kept = np.where(valid, errors, 0.0)
    if aggregation == "component_sum":
        shown, place = np.unique(valid, axis=1, return_inverse=True)
        member = place.reshape(-1, 1) == np.arange(shown.shape[1])
        return kept @ member.astype(float), shown
    total, count = kept.sum(1, keepdims=True), valid.sum(1, keepdims=True)
    if aggregation == "image_sum":  # an image that shows nothing adds nothing and still counts
        return total, np.full_like(count, valid.any(), bool)
    mean = total / np.maximum(count, 1)
    if aggregation == "pooled_mean":
        counted = np.arange(count.max(initial=1)) < count
        return mean * counted, counted
    return mean, count > 0


def each_landmark(found: Evaluation) -> Array:
    """Return the score of each landmark alone, (L,) float32, NaN where it is never visible.

    This is the breakdown of Harris's thesis, Table 4.17: the same errors and aggregation, over the
    columns of one landmark; where each image is summed, the mean over the images that show it, as a
    landmark that is rarely shown would look easy.
    """
    how: Aggregation = "pooled_mean" if found.aggregation == "image_sum" else found.aggregation
    values = []
    for part in np.arange(found.errors.shape[1]).reshape(len(found.landmark_values), -1):
        try:
            values.append(aggregate(found.errors[:, part], found.valid[:, part], how, found.groups))
        except UndefinedScoreError:
            values.append(np.nan)
    return np.array(values, np.float32)


def save_scores(
    evaluations: Sequence[Evaluation],
    identities: Array | None = None,
    landmarks: Mapping[str, Sequence[str]] | None = None,
) -> bytes:
    """Return an npz of the per-image scores, the same bytes for the same evaluations.

    Evaluators that are one function of the same errors share what is kept of them.

    Args:
        evaluations: of the same test images.
        identities: (N,) who or what each image shows, or None.
        landmarks: names of the landmarks that an evaluator scores, by its name.

    Raises:
        InvalidInputError: two evaluations of the same name, or identities of other images.
    """
    arrays: dict[str, Array] = {"format": np.array(FORMAT)}
    shared: dict[object, str] = {}
    for evaluation in evaluations:
        name = evaluation.evaluator
        if f"{name}:aggregation" in arrays:
            raise InvalidInputError(f"two evaluations under {name}; keep one")
        _check_identities(evaluation, identities)
        errors, valid = reduced(evaluation.errors, evaluation.valid, evaluation.aggregation)
        errors = errors.astype(np.float32)
        first = shared.setdefault((errors.shape, errors.tobytes(), valid.tobytes()), name)
        if first == name:
            arrays |= {f"{name}:errors": errors, f"{name}:valid": valid}
        else:
            arrays[f"{name}:errors_of"] = np.array(first)
        arrays[f"{name}:aggregation"] = np.array(evaluation.aggregation)
        if evaluation.groups is not None:
            arrays[f"{name}:groups"] = evaluation.groups.astype(str)
        if landmarks is not None and name in landmarks:
            arrays[f"{name}:landmarks"] = np.array(landmarks[name], dtype=str)
            arrays[f"{name}:landmark_values"] = each_landmark(evaluation)
    if identities is not None:
        arrays[IDENTITIES] = np.asarray(identities).astype(str)
    buffer = io.BytesIO()
    # numpy's stub takes the arrays' names for its own keyword
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _check_identities(evaluation: Evaluation, identities: Array | None) -> None:
    if identities is not None and np.shape(identities) != (len(evaluation.errors),):
        raise InvalidInputError(
            f"{evaluation.evaluator} scored {len(evaluation.errors)} images, but there are "
            f"identities of {len(identities)}"
        )


def load_scores(path: Path) -> dict[str, Scores]:
    """Return what `save_scores` wrote, by name of the evaluator; unpickles nothing.

    Raises:
        RecordError: missing, truncated, altered, of an earlier format, or not written by
            `save_scores`.
    """
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        _check_format(arrays, path)
        suffix = ":aggregation"
        names = [key.removesuffix(suffix) for key in arrays if key.endswith(suffix)]
        return {name: _scores(arrays, name) for name in names}
    except FileNotFoundError as error:
        raise RecordError(f"the per-image scores {path} are missing") from error
    except UNREADABLE as error:
        raise RecordError(
            f"the per-image scores {path} are corrupt ({error}); run the evaluation again"
        ) from error


def _check_format(arrays: Mapping[str, Array], path: Path) -> None:
    found = arrays.get("format", np.array(1)).tolist()
    if found != FORMAT:
        raise RecordError(
            f"the per-image scores {path} are of format {found}, and this kpbench reads {FORMAT}: "
            "another version of it wrote them; delete the record beside them and run it again"
        )


def _scores(arrays: Mapping[str, Array], name: str) -> Scores:
    owner = str(arrays.get(f"{name}:errors_of", name))
    scores = Scores(
        arrays[f"{owner}:errors"],
        arrays[f"{owner}:valid"],
        cast(Aggregation, str(arrays[f"{name}:aggregation"])),
        arrays.get(f"{name}:groups"),
        arrays.get(IDENTITIES),
        tuple(map(str, arrays.get(f"{name}:landmarks", ()))),
        arrays.get(f"{name}:landmark_values"),
    )
    _check(scores, name)
    return scores


def _check(scores: Scores, name: str) -> None:
    errors, valid = scores.errors, scores.valid
    if errors.dtype != np.float32 or valid.dtype != np.bool_ or errors.shape != valid.shape:
        raise ValueError(f"{name}: errors and valid do not match")
    if errors.ndim != 2:
        raise ValueError(f"{name}: errors must be (N, C)")
    for label in (scores.groups, scores.identities):
        if label is not None and label.shape != (len(errors),):
            raise ValueError(f"{name}: groups and identities must be (N,)")
    if scores.aggregation not in get_args(Aggregation):
        raise ValueError(f"{name}: unknown aggregation {scores.aggregation!r}")
    values = scores.landmark_values
    if values is None:
        values = np.zeros(0, np.float32)
    if values.dtype != np.float32 or values.shape != (len(scores.landmarks),):
        raise ValueError(f"{name}: landmarks and their scores do not match")
