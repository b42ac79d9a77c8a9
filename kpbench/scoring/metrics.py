"""Errors of predicted landmarks, and how they become one number. Pure; arguments are not changed.

A score has two steps, kept apart so that images can be resampled: per-image errors (N, C) with a
mask of those that count, and an aggregation of them. C is one column a landmark, or one a
coordinate.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError

Aggregation = Literal["image_mean", "pooled_mean", "image_sum", "component_sum", "group_mean"]
"""How errors (N, C) become a number:

- `image_mean`: mean over images of the mean over an image's valid errors; images without any are
  left out.
- `pooled_mean`: sum of all valid errors / number of valid errors.
- `image_sum`: mean over images of the sum over an image's valid errors.
- `component_sum`: sum over the C columns of the mean over a column's valid errors.
- `group_mean`: `image_mean` inside each group of images, then the unweighted mean over groups.
"""


def l2_errors(predicted: Array, landmarks: Array) -> Array:
    """Return the Euclidean distance of each landmark, (N, L), in the unit of the arguments.

    Args:
        predicted: (N, L, 2).
        landmarks: (N, L, 2).

    Raises:
        InvalidInputError: the shapes differ.

    Example:
        >>> l2_errors(np.array([[[0.3, 0.4]]]), np.array([[[0.0, 0.0]]]))
        array([[0.5]])
    """
    gap = _difference(predicted, landmarks)
    return np.asarray(np.sqrt(gap[..., 0] ** 2 + gap[..., 1] ** 2))


def absolute_errors(predicted: Array, landmarks: Array) -> Array:
    """Return the absolute error of each coordinate, (N, 2L), ordered x0, y0, x1, y1, ...

    Args:
        predicted: (N, L, 2).
        landmarks: (N, L, 2).

    Raises:
        InvalidInputError: the shapes differ.

    Example:
        >>> absolute_errors(np.array([[[0.3, 0.4]]]), np.array([[[0.5, 0.0]]]))
        array([[0.2, 0.4]])
    """
    return np.abs(_difference(predicted, landmarks)).reshape(len(predicted), -1)


def hits(predicted: Array, landmarks: Array, threshold: float) -> Array:
    """Return 1.0 where a landmark is closer than `threshold` (strictly), else 0.0, (N, L).

    The mean is PCK, the percentage of correct keypoints.

    Args:
        predicted: (N, L, 2).
        landmarks: (N, L, 2).
        threshold: a distance in the unit of the points.

    Raises:
        InvalidInputError: the shapes differ.

    Example:
        >>> hits(np.array([[[0.0, 5.9], [6.0, 0.0]]]), np.zeros((1, 2, 2)), threshold=6.0)
        array([[1., 0.]])
    """
    return (l2_errors(predicted, landmarks) < threshold).astype(np.float64)


def interocular_distances(landmarks: Array, eyes: tuple[int, int]) -> Array:
    """Return the distance of the two eye landmarks in each image, (N,).

    Args:
        landmarks: (N, L, 2).
        eyes: indices of the two eyes.

    Example:
        >>> interocular_distances(np.array([[[0.25, 0.5], [0.75, 0.5]]]), eyes=(0, 1))
        array([0.5])
    """
    left, right = eyes
    return np.asarray(np.linalg.norm(landmarks[:, left] - landmarks[:, right], axis=-1))


def aggregate(
    errors: Array,
    valid: Array,
    aggregation: Aggregation,
    groups: Array | None = None,
    weights: Array | None = None,
) -> float:
    """Return the score of `errors`.

    Args:
        errors: (N, C) float.
        valid: (N, C) bool, the errors that count.
        aggregation: see `Aggregation`.
        groups: (N,) the group of each image, for `group_mean` alone.
        weights: (N,) how often each image counts; once if None.

    Raises:
        UndefinedScoreError: nothing to average (anywhere, in a column of `component_sum`, or in a
            group), or an error that counts is not finite; says how many images or which column.
        InvalidInputError: wrong shapes, an unknown aggregation, or `group_mean` without groups.

    Example:
        >>> errors = np.array([[1.0, 3.0], [5.0, 9.0]])
        >>> valid = np.array([[True, True], [True, False]])
        >>> aggregate(errors, valid, "image_mean"), aggregate(errors, valid, "pooled_mean")
        (3.5, 3.0)
        >>> aggregate(errors, valid, "image_sum"), aggregate(errors, valid, "component_sum")
        (4.5, 6.0)
    """
    numerator, denominator = terms(errors, valid, aggregation, groups)
    counts = np.ones(len(errors)) if weights is None else np.asarray(weights)
    if counts.shape != (len(errors),):
        raise InvalidInputError(f"weights must be ({len(errors)},) per image, got {counts.shape}")
    value = float(combine(counts @ numerator, counts @ denominator, aggregation))
    if np.isnan(value):
        raise UndefinedScoreError(_why_undefined(valid, aggregation))
    return value


def combine(numerator: Array, denominator: Array, aggregation: Aggregation) -> Array:
    """Return scores from sums of `terms` over images, (...); NaN where one has nothing to average.

    Args:
        numerator: (..., G) sums over the images of a sample, or over those of a resample.
        denominator: (..., G) likewise.
        aggregation: see `Aggregation`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(denominator > 0, numerator / denominator, np.nan)
    return np.asarray(ratio.sum(-1) if aggregation == "component_sum" else ratio.mean(-1))


def terms(
    errors: Array, valid: Array, aggregation: Aggregation, groups: Array | None = None
) -> tuple[Array, Array]:
    """Return numerators and denominators, (N, G) each: a score is `combine` of their sums.

    Args:
        errors: (N, C) float.
        valid: (N, C) bool, the errors that count; the denominators depend on them alone.
        aggregation: see `Aggregation`.
        groups: (N,) the group of each image, for `group_mean` alone.

    Raises:
        UndefinedScoreError: an error that counts is not finite.
        InvalidInputError: wrong shapes, an unknown aggregation, or `group_mean` without groups.
    """
    _check(errors, valid, aggregation)
    kept = np.where(valid, errors, 0.0)
    weight = valid.astype(np.float64)
    total, count = kept.sum(1, keepdims=True), weight.sum(1, keepdims=True)
    if aggregation == "component_sum":
        return kept, weight
    if aggregation == "pooled_mean":
        return total, count
    if aggregation == "image_sum":
        # an empty data set has no score, but one empty image adds nothing and still counts
        return total, np.full_like(count, float(valid.any()))
    mean, present = total / np.maximum(count, 1), (count > 0).astype(np.float64)
    if aggregation == "image_mean":
        return mean, present
    if groups is None or np.shape(groups) != (len(errors),):
        raise InvalidInputError(f"group_mean needs the group of each of the {len(errors)} images")
    member = (np.asarray(groups)[:, None] == np.unique(groups)).astype(np.float64)
    return mean * member, present * member


def _check(errors: Array, valid: Array, aggregation: str) -> None:
    if errors.ndim != 2 or errors.shape != valid.shape or valid.dtype != np.bool_:
        raise InvalidInputError(
            f"errors and valid must be (N, C) float and bool, got {errors.dtype} {errors.shape} "
            f"and {valid.dtype} {valid.shape}"
        )
    if aggregation not in get_args(Aggregation):
        raise InvalidInputError(
            f"no aggregation {aggregation!r}; known: {', '.join(get_args(Aggregation))}"
        )
    if bad := int((valid & ~np.isfinite(errors)).any(1).sum()):
        raise UndefinedScoreError(
            f"the error is NaN or infinite in {bad} of {len(errors)} images; "
            "check the keypoints and landmarks of these images"
        )


def _why_undefined(valid: Array, aggregation: Aggregation) -> str:
    if not valid.any():
        return f"none of the {len(valid)} images has a visible landmark to score"
    if aggregation == "component_sum":
        empty = np.flatnonzero(~valid.any(0)).tolist()
        return f"error columns {empty} have no visible landmark in any of the {len(valid)} images"
    return "a group of images has no visible landmark to score"


def _difference(predicted: Array, landmarks: Array) -> Array:
    if predicted.shape != landmarks.shape or predicted.ndim != 3 or predicted.shape[2] != 2:
        raise InvalidInputError(
            "predicted and annotated landmarks must both have shape (N, L, 2), "
            f"got {predicted.shape} and {landmarks.shape}"
        )
    return np.asarray(predicted, np.float64) - np.asarray(landmarks, np.float64)
