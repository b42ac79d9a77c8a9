"""How far a score may be trusted: bootstrap over test images, paired differences, saved errors."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np
from numpy.lib.npyio import NpzFile

from kpbench.errors import InvalidInputError, RecordError, UndefinedScoreError
from kpbench.metrics import Aggregation, aggregate, aggregate_resamples
from kpbench.types import Array

if TYPE_CHECKING:
    from kpbench.evaluators import Evaluation

LEVELS = (2.5, 97.5)
"""Percentiles of a 95 % interval."""
UNREADABLE = (
    *(OSError, EOFError, MemoryError, RuntimeError, ValueError, KeyError, AttributeError),
    *(zipfile.BadZipFile, zlib.error, struct.error, SyntaxError, tokenize.TokenError),
)
"""What numpy raises for a file that is no .npz, truncated, altered or pickled."""
CHUNK = 4_000_000
"""Image counts held at once: 32 MB."""


@dataclass(frozen=True)
class PairedDifference:
    """Score of a minus score of b on the same images.

    Attributes:
        difference: in the unit of the score.
        ci95: percentile bootstrap interval over images and seeds.
        p_value: two-sided, of no difference; at least 2 / (resamples + 1).
    """

    difference: float
    ci95: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Scores:
    """What `save_scores` keeps of an evaluation: `aggregate(...)` of the fields is its value.

    Attributes:
        errors: (N, C) float32.
        valid: (N, C) bool.
        aggregation: how errors become one number.
        groups: (N,) str, or None.
    """

    errors: Array
    valid: Array
    aggregation: Aggregation
    groups: Array | None


def bootstrap_interval(
    errors: Array,
    valid: Array,
    aggregation: Aggregation,
    groups: Array | None = None,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a score over its test images.

    Images are resampled independently: frames of one clip make the interval too narrow. Resamples
    in which the score is undefined (no label of a rare landmark) are left out.

    Args:
        errors: (N, C) float.
        valid: (N, C) bool.
        aggregation: how errors become one number.
        groups: (N,) for `group_mean`.
        n_resamples: number of resamples.
        seed: of the resampling.

    Raises:
        UndefinedScoreError: fewer than two images, or most resamples are undefined.
        InvalidInputError: as `aggregate`.

    Example:
        >>> errors = np.arange(100.0)[:, None]
        >>> low, high = bootstrap_interval(errors, errors >= 0, "image_mean")
        >>> low < 49.5 < high
        True
    """
    values = np.concatenate(
        [
            aggregate_resamples(errors, valid, aggregation, groups, counts)
            for counts in _resamples(len(errors), n_resamples, np.random.default_rng(seed))
        ]
    )
    return _interval(values)


def paired_bootstrap(
    a: Sequence[tuple[Array, Array]],
    b: Sequence[tuple[Array, Array]],
    aggregation: Aggregation,
    groups: Array | None = None,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """Compare two methods on the same images, over images and seeds.

    Each resample draws the images once, for both methods and all seeds, and draws the seeds of each
    method with replacement (its runs are independent of the other's). With n seeds the share of the
    variance between seeds is too small by (n - 1) / n, and with one seed it is absent.

    Args:
        a: (errors, valid) of the first method, one a seed, (N, C) each.
        b: the same of the second method.
        aggregation: how errors become one number.
        groups: (N,) for `group_mean`.
        n_resamples: number of resamples.
        seed: of the resampling.

    Raises:
        InvalidInputError: no seeds, or not the same images and labels.
        UndefinedScoreError: as `bootstrap_interval`.
    """
    means = _resampled_means([a, b], aggregation, groups, n_resamples, seed)
    value = [np.mean([aggregate(e, v, aggregation, groups) for e, v in runs]) for runs in (a, b)]
    differences = means[0] - means[1]
    return PairedDifference(
        float(value[0] - value[1]), _interval(differences), _p_value(differences)
    )


def runs_interval(
    runs: Sequence[tuple[Array, Array]],
    aggregation: Aggregation,
    groups: Array | None = None,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a method's mean over seeds, as `paired_bootstrap`.

    Args:
        runs: (errors, valid), one a seed, (N, C) each, of the same images.
        aggregation: how errors become one number.
        groups: (N,) for `group_mean`.
        n_resamples: number of resamples.
        seed: of the resampling.

    Raises:
        InvalidInputError: no seeds, or not the same images and labels.
        UndefinedScoreError: as `bootstrap_interval`.
    """
    return _interval(_resampled_means([runs], aggregation, groups, n_resamples, seed)[0])


def _resampled_means(
    methods: Sequence[Sequence[tuple[Array, Array]]],
    aggregation: Aggregation,
    groups: Array | None,
    n_resamples: int,
    seed: int,
) -> list[Array]:
    """Return each method's mean over seeds in each resample of the images and of its seeds."""
    together = [run for runs in methods for run in runs]
    _check_same_images(together, min(len(runs) for runs in methods))
    rng = np.random.default_rng(seed)
    scores: list[list[Array]] = []
    for counts in _resamples(len(together[0][0]), n_resamples, rng):
        scores.append([aggregate_resamples(e, v, aggregation, groups, counts) for e, v in together])
    by_run = np.concatenate([np.stack(chunk, 1) for chunk in scores])
    means = []
    for runs in methods:
        own, by_run = by_run[:, : len(runs)], by_run[:, len(runs) :]
        drawn = rng.integers(0, own.shape[1], own.shape)
        means.append(np.take_along_axis(own, drawn, axis=1).mean(1))
    return means


def save_scores(evaluations: Sequence[Evaluation]) -> bytes:
    """Return an npz of the per-image errors, the same bytes for the same evaluations.

    Raises:
        InvalidInputError: two evaluations of the same name.
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
    )
    errors, valid, groups = scores.errors, scores.valid, scores.groups
    if errors.dtype != np.float32 or valid.dtype != np.bool_ or errors.shape != valid.shape:
        raise ValueError(f"{name}: errors and valid do not match")
    if errors.ndim != 2 or (groups is not None and groups.shape != (len(errors),)):
        raise ValueError(f"{name}: errors must be (N, C), groups (N,)")
    if scores.aggregation not in get_args(Aggregation):
        raise ValueError(f"{name}: unknown aggregation {scores.aggregation!r}")
    return scores


def _resamples(n: int, n_resamples: int, rng: np.random.Generator) -> Iterator[Array]:
    """Yield how often each of n images occurs in each resample, (some resamples, n)."""
    if n < 2:
        raise UndefinedScoreError(f"an interval needs at least two test images, got {n}")
    at_once = max(1, CHUNK // n)
    for start in range(0, n_resamples, at_once):
        size = min(at_once, n_resamples - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _interval(values: Array) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        raise UndefinedScoreError(
            f"the score is undefined in {len(values) - len(defined)} of {len(values)} resamples of "
            "the test images: too few of them have labels"
        )
    low, high = np.percentile(defined, LEVELS)
    return float(low), float(high)


def _p_value(differences: Array) -> float:
    defined = differences[~np.isnan(differences)]
    tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(defined) + 1))


def _check_same_images(runs: Sequence[tuple[Array, Array]], seeds: int) -> None:
    if seeds == 0:
        raise InvalidInputError("a comparison needs at least one seed of each method")
    valid = runs[0][1]
    if any(errors.shape != valid.shape or not np.array_equal(v, valid) for errors, v in runs):
        raise InvalidInputError(
            "the runs were not scored on the same labels: shapes "
            f"{sorted({errors.shape for errors, _ in runs})}; compare runs of one protocol version "
            "and evaluator"
        )
