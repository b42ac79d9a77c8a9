"""Records with chosen per-image errors, written as a run writes them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpbench.api import Array
from kpbench.contracts.types import Reference
from kpbench.files.atomic import write_artifact
from kpbench.records.evaluated import as_score
from kpbench.records.record import Artifact, Identity, LabelCurve, Record
from kpbench.scoring.evaluators import Evaluation
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.per_image import save_scores

TAICHI = ("people_taichi/autolink", "people_taichi/siarohin", "people_taichi/strict")
"""One rule under three names; errors here are of one landmark's x."""
PLAIN = ("people_plain/autolink", "people_plain/strict")


def toy_record(
    results: Path,
    method: str,
    errors: Array,
    *,
    seed: int = 0,
    reference: Reference = "",
    evaluators: Sequence[str] = PLAIN,
    predictions: Mapping[str, Array] | None = None,
    diagnostics: Mapping[str, float] | None = None,
    labels: LabelCurve | None = None,
    **identity: Any,
) -> Record:
    """Write a record with these errors (N,) under each of the evaluators, the first the default.

    Under others than the first they are half as large, unless all are one rule.
    """
    protocol = evaluators[0].partition("/")[0]
    who = Identity(
        **{
            "protocol": protocol, "protocol_version": 1, "data": "toy", "method": method,
            "method_version": 1, "params": {}, "n_keypoints": 16, "seed": seed,
            "recipe": "quick", "device": "cpu", **identity,
        }
    )  # fmt: skip
    further = 1.0 if evaluators is TAICHI else 0.5
    found = [
        _evaluation(name, errors * (further if at else 1)) for at, name in enumerate(evaluators)
    ]
    path = who.file(results, "scores.npz")
    content = write_artifact(path, save_scores(found))
    artifacts = {"scores": Artifact(file=path.name, sha256=content)}
    if predictions is not None:
        file, buffer = who.file(results, "predictions.npz"), io.BytesIO()
        np.savez(buffer, **predictions)  # type: ignore[arg-type]
        content = write_artifact(file, buffer.getvalue())
        artifacts["predictions"] = Artifact(file=file.name, sha256=content)
    record = Record(
        identity=who,
        status="ok",
        evaluator=evaluators[0],
        supervision="none",
        reference=reference,
        scores={e.evaluator: as_score(e, get_evaluator(e.evaluator)) for e in found},
        diagnostics=diagnostics or {},
        label_efficiency=labels,
        artifacts=artifacts,
    )
    record.save(results)
    return record


def _evaluation(name: str, errors: Array) -> Evaluation:
    spec = get_evaluator(name)
    value = float(errors.mean())
    column = errors.astype(np.float32)[:, None]
    return Evaluation(
        evaluator=name,
        metric=spec.metric,
        unit=spec.unit,
        higher_is_better=spec.higher_is_better,
        oracle_used=spec.oracle_used,
        value=value,
        ci95=(value - 0.5, value + 0.5),
        n_images=len(errors),
        errors=column,
        valid=np.ones_like(column, dtype=bool),
        aggregation="image_mean",
        groups=None,
        group_values={},
        landmark_values=np.array([value]),
        predicted=np.zeros((len(errors), 1, 2)),
        rank=17,
        n_features=17,
        notes=(),
    )
