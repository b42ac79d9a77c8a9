"""What a record keeps of an evaluation."""

from __future__ import annotations

from kpbench.contracts.types import Array
from kpbench.records.record import Score
from kpbench.scoring.evaluators import Evaluation
from kpbench.scoring.spec import EvaluatorSpec
from kpbench.scoring.statistics.resampling import bootstrap_interval, clusters_of


def as_score(found: Evaluation, spec: EvaluatorSpec, identities: Array | None = None) -> Score:
    """Return what a record keeps of an evaluation.

    Args:
        found: the evaluation.
        spec: its evaluator.
        identities: (N,) who or what each test image shows; where these are enough, the interval is
            over them (see `clusters_of`).
    """
    clusters = clusters_of(identities)
    ci95 = found.ci95
    if clusters is not None:
        ci95 = bootstrap_interval(
            found.errors, found.valid, found.aggregation, found.groups, clusters=clusters
        )
    return Score(
        metric=found.metric,
        unit=found.unit,
        higher_is_better=found.higher_is_better,
        oracle_used=spec.oracle_used,
        value=found.value,
        ci95=ci95,
        n_images=found.n_images,
        rank=found.rank,
        n_features=found.n_features,
        notes=found.notes,
        resampled="images" if clusters is None else "identities",
    )
