"""Label efficiency: how good the regressed landmarks are with few labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError, UndefinedScoreError
from kpbench.records.record import LabelCurve, LabelPoint
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import score_alone
from kpbench.scoring.spec import EvaluatorSpec

COUNTS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
"""Labelled images, besides all; Zhang et al. (CVPR 2018) and IMM report such curves on MAFL."""
DRAWS = 10
RIDGES = tuple(10.0**power for power in range(-6, 3))
"""Penalties to choose from; at the largest the prediction is close to the mean of the labels."""
ENOUGH = 5000
"""Images at most, evenly spaced, on which a curve is scored and a penalty is chosen."""


def label_efficiency(
    spec: EvaluatorSpec,
    train: Detections,
    test: Detections,
    *,
    counts: Sequence[int] = COUNTS,
    n_draws: int = DRAWS,
    seed: int = 0,
) -> LabelCurve:
    """Return the score against the number of labelled images that the regressor is fitted on.

    For each number, that many training images are drawn without replacement, several times; the
    last point uses all. Least squares on about as many images as there are coordinates interpolates
    its labels and is worse than on fewer ("double descent"), which says nothing about keypoints.
    So the whole curve uses ridge regression, with the penalty that has the least leave-one-out
    error on the drawn labels, test labels apart: with very few labels it falls back to their mean.
    With all labels the penalty is small, and the curve ends near the score of `spec`.

    Draws in which a landmark has fewer than two labels are left out, and so are points of which
    half of the draws are.

    Args:
        spec: the evaluator; its own ridge is replaced.
        train: detections to draw from.
        test: detections to score.
        counts: numbers of images; those below the number of training images are used.
        n_draws: draws for each number.
        seed: of the draws.

    Raises:
        InvalidInputError: as `score_alone`.
        UndefinedScoreError: not even all training images label every landmark twice.
    """
    rng = np.random.default_rng(seed)
    test = _thinned(test)
    points = []
    for count in (n for n in counts if n < len(train)):
        draws = [rng.choice(len(train), count, replace=False) for _ in range(n_draws)]
        drawn = [_subset(train, np.sort(rows)) for rows in draws]
        scored = [_score(spec, part, test) for part in drawn if _labelled_twice(part)]
        if 2 * len(scored) > n_draws:
            points.append(_point(count, scored))
    if not _labelled_twice(train):
        raise UndefinedScoreError("a landmark is labelled in fewer than two training images")
    points.append(_point(len(train), [_score(spec, train, test)]))
    return LabelCurve(evaluator=spec.name, points=tuple(points))


def best_ridge(
    keypoints: Array, landmarks: Array, visible: Array, *, bias: bool, centre: float = 0.0
) -> float:
    """Return the penalty of `RIDGES` with the least squared leave-one-out error over all landmarks.

    The error of a linear smoother without one row is its residual over one minus its leverage
    (Allen, The relationship between variable selection and data augmentation, Technometrics 1974).

    Args:
        keypoints: (N, K, 2) in [0, 1].
        landmarks: (N, L, 2) in [0, 1].
        visible: (N, L) bool, the rows that a landmark is fitted on.
        bias: as `fit_regressor`.
        centre: as `fit_regressor`.
    """
    if visible.sum(0).min() < 2:
        raise InvalidInputError("leaving one out needs two labels of each landmark")
    x = np.asarray(keypoints, np.float64).reshape(len(keypoints), -1) - centre
    # most often all are visible, which `unique` would need longer to find than the rest takes
    found = visible.T[:1] if visible.all() else visible.T
    patterns, member = np.unique(found, axis=0, return_inverse=True)
    member = np.broadcast_to(member.ravel(), len(visible.T)) if visible.all() else member.ravel()
    total = np.zeros(len(RIDGES))
    for i, rows in enumerate(patterns):
        y = landmarks[rows][:, member == i].reshape(rows.sum(), -1) - centre
        total += _leave_one_out(x[rows], y, bias)
    return RIDGES[int(total.argmin())]


def _leave_one_out(x: Array, y: Array, bias: bool) -> Array:
    """Return the summed squared leave-one-out error for each penalty, (len(RIDGES),)."""
    if bias:
        x, y = x - x.mean(0), y - y.mean(0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    projected = u.T @ y
    found = []
    for ridge in RIDGES:
        gain = s**2 / (s**2 + ridge)
        residual = y - u @ (gain[:, None] * projected)
        leverage = u**2 @ gain + (1 / len(x) if bias else 0)
        found.append(((residual / (1 - leverage)[:, None]) ** 2).sum())
    return np.array(found)


def _score(spec: EvaluatorSpec, train: Detections, test: Detections) -> float:
    part = _thinned(train)
    ridge = best_ridge(
        part.keypoints, part.landmarks, part.visible, bias=spec.bias, centre=spec.centre
    )
    return score_alone(replace(spec, ridge=ridge, min_norm=True), train, test)


def _thinned(part: Detections) -> Detections:
    thin = _subset(part, np.arange(0, len(part), -(-len(part) // ENOUGH)))
    return thin if _labelled_twice(thin) else part


def _labelled_twice(part: Detections) -> bool:
    return bool((part.visible.sum(0) >= 2).all())


def _subset(part: Detections, rows: Array) -> Detections:
    known = {f.name: getattr(part, f.name) for f in fields(part)}
    return replace(part, **{name: v[rows] for name, v in known.items() if v is not None})


def _point(count: int, scored: Sequence[float]) -> LabelPoint:
    sd = float(np.std(scored, ddof=1)) if len(scored) > 1 else 0.0
    return LabelPoint(n_labelled=count, n_draws=len(scored), mean=float(np.mean(scored)), sd=sd)
