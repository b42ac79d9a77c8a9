"""Records of the study with chosen scores, written as a run writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kpbench.api import Recipe
from kpbench.files.atomic import write_artifact
from kpbench.records.evaluated import as_score
from kpbench.records.record import Artifact, Failure, Identity, Record
from kpbench.scoring.evaluators import Evaluation
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.per_image import save_scores
from kpbench.studies.plan import BOTH, DATASETS, STUDENT, TEACHER

IMAGES = 60


def toy_record(
    results: Path,
    protocol: str,
    method: str,
    score: float | None,
    *,
    seed: int = 0,
    point: tuple[str, float] | None = None,
    recipe: Recipe = "quick",
    steps: int = 500,
    noise: float = 0.05,
    **further: Any,
) -> Record:
    """Write a record with a score under both evaluators of the study; None: it failed.

    The images differ by much more than the methods; `noise` is the method's own.
    """
    who = _identity(protocol, method, seed, point, recipe, steps, **further)
    told = {"evaluator": f"{protocol}/autolink", "supervision": "none"}
    if score is None:
        error = Failure(type="TrainingError", message="diverged")
        record = Record(identity=who, status="failed", error=error, **told)
    else:
        found = [_evaluation(name, who, score, noise) for name in DATASETS[protocol].evaluators]
        path = who.file(results, "scores.npz")
        kept = Artifact(file=path.name, sha256=write_artifact(path, save_scores(found)))
        scores = {e.evaluator: as_score(e, get_evaluator(e.evaluator)) for e in found}
        record = Record(
            identity=who, status="ok", scores=scores, artifacts={"scores": kept}, **told,
            seconds={"fit": 30.0, "predict": 1.0},
        )  # fmt: skip
    record.save(results)
    return record


def toy_tables(
    results: Path, scores: dict[str, float], protocols: list[str], seeds: int = 2, **further: Any
) -> None:
    """Write records of the methods at the published setting, `scores` by method."""
    for protocol in protocols:
        for seed in range(seeds):
            for method, score in scores.items():
                toy_record(results, protocol, method, score, seed=seed, **further)


def _identity(
    protocol: str,
    method: str,
    seed: int,
    point: tuple[str, float] | None,
    recipe: Recipe,
    steps: int,
    **further: Any,
) -> Identity:
    shared = {"steps": steps, "batch_size": 16, "image_size": 32, "backbone": "efficientnet_lite0"}
    plain = {
        "protocol": protocol, "protocol_version": 1, "data": "toy", "n_keypoints": 16,
        "recipe": recipe, "device": "cpu", "seed": seed, "method_version": 1, **further,
    }  # fmt: skip
    if method in (STUDENT, TEACHER):
        return Identity(method=method, params=shared, **plain)
    layer, gamma = point or DATASETS[protocol].points[0]
    own = {"lambda_": 1.0, "layer": layer, "gamma": gamma}
    teacher = Identity(method=TEACHER, params=shared, **plain)
    return Identity(method=BOTH, params={**shared, **own}, dependency=teacher, **plain)


def _evaluation(name: str, who: Identity, score: float, noise: float) -> Evaluation:
    spec = get_evaluator(name)
    images = np.random.default_rng(0).normal(0, 1, (IMAGES, 1))
    own = np.random.default_rng(int(who.digest(), 16)).normal(0, noise, (IMAGES, 1))
    errors = score + (images - images.mean()) + (own - own.mean())
    return Evaluation(
        evaluator=name,
        metric=spec.metric,
        unit=spec.unit,
        higher_is_better=spec.higher_is_better,
        oracle_used=spec.oracle_used,
        value=float(errors.mean()),
        ci95=(score - 0.5, score + 0.5),
        n_images=IMAGES,
        errors=errors,
        valid=np.ones_like(errors, dtype=bool),
        aggregation="image_mean",
        groups=None,
        group_values={},
        landmark_values=np.array([score]),
        predicted=np.zeros((IMAGES, 1, 2)),
        rank=17,
        n_features=17,
        notes=(),
    )
