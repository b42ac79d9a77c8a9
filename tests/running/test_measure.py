"""What is measured of a run besides its scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kpbench.running.measure as measured
from kpbench.api import Keypoints
from kpbench.diagnosis.foreground import foreground_hits
from kpbench.errors import InvalidInputError
from kpbench.records.evaluated import as_score
from kpbench.registry import load_method, load_protocol
from kpbench.running.measure import detections, measure
from kpbench.scoring.detection_files import load_detections
from kpbench.scoring.evaluators import evaluate
from kpbench.scoring.named import get_evaluator
from kpbench.scoring.per_image import load_scores
from kpbench.scoring.statistics.resampling import bootstrap_interval
from kpbench.testing import toy_labelled

STRICT = replace(get_evaluator("deepfashion/strict"), threshold=0.1)


@pytest.mark.parametrize("size", [(7, 5), (64, 64)])
def test_hits_against_a_loop_over_any_mask(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((20, *size)) < 0.4
    points = rng.uniform(-0.2, 1.2, (20, 6, 2))
    hits = [
        0 <= x < 1 and 0 <= y < 1 and bool(m[int(y * size[0]), int(x * size[1])])
        for m, image in zip(mask, points, strict=True)
        for x, y in image
    ]
    assert foreground_hits(points, mask) == pytest.approx(np.mean(hits))


def test_random_points_hit_the_share_of_the_object() -> None:
    mask = np.zeros((50, 10, 10), bool)
    mask[:, 2:5, :] = True
    points = np.random.default_rng(1).random((50, 400, 2))
    assert foreground_hits(points, mask) == pytest.approx(0.3, abs=0.02)
    assert foreground_hits(points[..., ::-1], mask) == pytest.approx(0.3, abs=0.02)
    high = np.array([[[0.9, 0.3]]])  # x and y are not exchanged
    assert foreground_hits(high, mask[:1]) == 1 and foreground_hits(high[..., ::-1], mask[:1]) == 0


def test_images_without_an_object_do_not_count() -> None:
    mask = np.zeros((2, 4, 4), bool)
    points = np.full((2, 3, 2), 0.5)
    assert foreground_hits(points, mask) is None
    assert foreground_hits(points, None) is None
    mask[0] = True
    assert foreground_hits(points, mask) == 1
    with pytest.raises(InvalidInputError, match=r"bool of shape \(2, H, W\)"):
        foreground_hits(points, mask[:1])
    with pytest.raises(InvalidInputError, match="got float64"):
        foreground_hits(points, mask.astype(float))


def test_interval_is_over_identities_where_they_are_known() -> None:
    parts = [toy_labelled(60, seed=seed) for seed in (0, 1)]
    rng = np.random.default_rng(2)
    found = [Keypoints(p.landmarks + rng.normal(0, 0.05, p.landmarks.shape)) for p in parts]
    evaluation = evaluate(STRICT, *map(detections, found, parts))
    people = np.arange(60) // 5
    score = as_score(evaluation, STRICT, people)
    wanted = bootstrap_interval(
        evaluation.errors, evaluation.valid, evaluation.aggregation, clusters=people
    )
    assert (score.ci95, score.resampled) == (wanted, "identities")
    assert as_score(evaluation, STRICT).ci95 == evaluation.ci95
    assert as_score(evaluation, STRICT, people // 4).resampled == "images"


def test_everything_that_evaluators_may_read_is_kept(tmp_path: Path, toy_discs: str) -> None:
    protocol, oracle = load_protocol(toy_discs), load_method("oracle")
    splits = protocol.splits("smoke")

    def known(labelled: Any) -> Any:
        n = len(labelled)
        return replace(
            labelled,
            groups=np.array([f"p{i // 2}" for i in range(n)]),
            activities=np.array(["walk", "sit"], dtype=object)[np.arange(n) % 2],
            boxes=np.tile([0.1, 0.2, 0.3, 0.4], (n, 1)),
            aspect=np.linspace(0.5, 1, n),
        )

    splits = replace(splits, regression=known(splits.regression), test=known(splits.test))
    result = measure(oracle, protocol, splits)
    path = tmp_path / "predictions.npz"
    path.write_bytes(result.files["predictions"])
    for part, labelled in zip(load_detections(path), (splits.regression, splits.test), strict=True):
        direct = detections(Keypoints(labelled.landmarks), labelled)
        for name in ("keypoints", "landmarks", "boxes", "aspect"):
            np.testing.assert_allclose(getattr(part, name), getattr(direct, name), atol=1e-6)
        assert part.activities is not None and list(part.activities) == list(direct.activities)  # type: ignore[arg-type]
    with np.load(path) as arrays:
        assert list(arrays["test_groups"]) == list(splits.test.groups)  # type: ignore[arg-type]
    scores = tmp_path / "scores.npz"
    scores.write_bytes(result.files["scores"])
    kept = load_scores(scores)["toy_discs/strict"]
    assert kept.landmarks == ("top", "right", "bottom", "left")
    assert kept.identities is not None and kept.identities[3] == "p1"
    assert result.equivariance == {}  # the oracle cannot be shown an image without labels
    assert result.label_efficiency is not None
    assert result.label_efficiency.points[-1].n_labelled == 40


def test_scores_are_computed_on_one_thread_whatever_the_machine(
    toy_discs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import scipy.linalg  # noqa: F401 - has a BLAS of its own
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads() -> set[int]:
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    protocol = load_protocol(toy_discs)
    splits = protocol.splits("smoke", signals=("mask",))
    oracle = load_method("oracle").configured(role="human36m", recipe="smoke", overrides={})
    seen = []
    pack = measured._pack

    def watched(*arguments: Any) -> bytes:
        seen.append(threads())
        return pack(*arguments)

    monkeypatch.setattr(measured, "_pack", watched)
    with threadpool_limits(2, "blas"):
        before = threads()
        measure(oracle, protocol, splits)
        assert threads() == before
    assert seen == [{1}]
