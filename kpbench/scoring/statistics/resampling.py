"""Scores in resamples of their test images: the bootstrap over images or identities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kpbench.contracts.types import Array, read_only
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.scoring.metrics import Aggregation, aggregate, combine, terms

LEVELS = (2.5, 97.5)
"""Percentiles of a 95 % interval."""
CHUNK = 4_000_000
"""Counts held at once: 32 MB."""
MIN_IDENTITIES = 10
"""Fewer identities than this say nothing about others: images are resampled instead."""


@dataclass(frozen=True)
class Resampled:
    """Scores of R runs in B resamples of their common test images.

    Attributes:
        values: (R,) on the images as they are.
        resamples: (B, R); NaN where a resample has nothing to average.
        units: how many images, or identities, were resampled.
    """

    values: Array
    resamples: Array
    units: int

    def __getitem__(self, runs: slice) -> Resampled:
        """Return some of the runs, in the same resamples."""
        return Resampled(self.values[runs], self.resamples[:, runs], self.units)


def clusters_of(identities: Array | None) -> Array | None:
    """Return what to resample together: identities, or None when images have to be resampled.

    Images of one person are alike: resampling them as if they were independent makes an interval
    too narrow. Where images are known to share identities, and there are at least `MIN_IDENTITIES`
    of these, whole identities are resampled (the cluster bootstrap: Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, section 3.8). With fewer (Human3.6M tests on one or two
    subjects) the interval can speak of other images of the same people alone.

    Args:
        identities: (N,), or None if unknown.

    Example:
        >>> clusters_of(np.arange(40) // 4) is None, clusters_of(np.zeros(40)) is None
        (False, True)
    """
    if identities is None:
        return None
    count = len(np.unique(identities))
    return identities if MIN_IDENTITIES <= count < len(identities) else None


def bootstrap_interval(
    errors: Array,
    valid: Array,
    aggregation: Aggregation,
    groups: Array | None = None,
    *,
    clusters: Array | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a score over its test images.

    Resamples in which the score is undefined (no label of a rare landmark) are left out.

    Args:
        errors: (N, C) float.
        valid: (N, C) bool.
        aggregation: how errors become one number.
        groups: (N,) for `group_mean`.
        clusters: (N,) images of one cluster are drawn together; None: images are independent.
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
    found = resample(
        [(errors, valid)],
        aggregation,
        groups,
        clusters=clusters,
        n_resamples=n_resamples,
        seed=seed,
    )
    return percentile_interval(found.resamples[:, 0])


def resample(
    runs: Sequence[tuple[Array, Array]],
    aggregation: Aggregation,
    groups: Array | None = None,
    *,
    clusters: Array | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Resampled:
    """Score runs in resamples of their images, the same resamples for all of them.

    Time and memory grow with the images, not with images times resamples.

    Args:
        runs: (errors, valid), (N, C) each, of the same images.
        aggregation: how errors become one number.
        groups: (N,) for `group_mean`.
        clusters: (N,) images of one cluster are drawn together; None: images are independent.
        n_resamples: number of resamples.
        seed: of the resampling; equal numbers of images (clusters) get equal resamples.

    Raises:
        InvalidInputError: no runs, or not the same images and labels.
        UndefinedScoreError: fewer than two images (clusters), or nothing to average.
    """
    _check_same_images(runs)
    values = [aggregate(errors, valid, aggregation, groups) for errors, valid in runs]
    split = [terms(errors, valid, aggregation, groups) for errors, valid in runs]
    numerator = np.stack([part for part, _ in split], axis=1)  # (N, R, G)
    denominator = split[0][1]  # (N, G), of the labels alone, which all runs share
    if clusters is not None:
        numerator, denominator = (_summed(part, clusters) for part in (numerator, denominator))
    n, n_runs, n_ratios = numerator.shape
    scores = []
    for counts in _resamples(n, n_resamples, seed):
        above = (counts @ numerator.reshape(n, -1)).reshape(-1, n_runs, n_ratios)
        scores.append(combine(above, (counts @ denominator)[:, None], aggregation))
    return Resampled(np.array(values), np.concatenate(scores), n)


def _summed(values: Array, clusters: Array) -> Array:
    """Sum rows by cluster, in the order of the clusters' names."""
    if np.shape(clusters) != (len(values),):
        raise InvalidInputError(
            f"clusters must have shape ({len(values)},), got {np.shape(clusters)}"
        )
    order = np.argsort(clusters, kind="stable")
    _, starts = np.unique(clusters[order], return_index=True)
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def _resamples(n: int, n_resamples: int, seed: int) -> Iterator[Array]:
    """Yield how often each of n rows occurs in each resample, (some resamples, n)."""
    if n < 2:
        raise UndefinedScoreError(f"an interval needs at least two test images, got {n}")
    at_once = max(1, CHUNK // n)
    if n_resamples <= at_once:
        yield _counts(n, n_resamples, seed)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, n_resamples, at_once):
        yield _draw(n, min(at_once, n_resamples - start), rng)


@lru_cache(maxsize=2)
def _counts(n: int, n_resamples: int, seed: int) -> Array:
    """Draw resamples once for the many scores of one test set: over images, and identities."""
    return read_only(_draw(n, n_resamples, np.random.default_rng(seed)))


def _draw(n: int, n_resamples: int, rng: np.random.Generator) -> Array:
    drawn = rng.integers(0, n, (n_resamples, n), dtype=np.int32)  # four times as fast as int64
    return np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)


def percentile_interval(values: Array) -> tuple[float, float]:
    """Return the 95 % interval of (B,) resampled values; undefined ones are left out.

    Raises:
        UndefinedScoreError: most are undefined.
    """
    low, high = np.percentile(defined_ones(values), LEVELS)
    return float(low), float(high)


def defined_ones(values: Array) -> Array:
    """Return those of (B,) resampled values that are defined.

    Raises:
        UndefinedScoreError: most are not.
    """
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        raise UndefinedScoreError(
            f"the score is undefined in {len(values) - len(defined)} of {len(values)} resamples of "
            "the test images: too few of them have labels"
        )
    return np.asarray(defined)


def _check_same_images(runs: Sequence[tuple[Array, Array]]) -> None:
    if not runs:
        raise InvalidInputError("no run to resample")
    valid = runs[0][1]
    if any(errors.shape != valid.shape or not np.array_equal(v, valid) for errors, v in runs):
        raise InvalidInputError(
            "the runs were not scored on the same labels: shapes "
            f"{sorted({errors.shape for errors, _ in runs})}; compare runs of one protocol version "
            "and evaluator"
        )
