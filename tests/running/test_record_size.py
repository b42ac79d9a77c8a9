"""How large a record with its per-image scores is: there will be a thousand in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpbench.api import Array, ImageSet, Labelled, Splits
from kpbench.people.protocol import PeopleProtocol
from kpbench.records.record import Record, stored_artifact
from kpbench.registry import available, load_protocol
from kpbench.running.execute import Settings, evaluate
from kpbench.running.plan import Cell
from kpbench.scoring.metrics import aggregate
from kpbench.scoring.per_image import load_scores
from tests.conftest import Install, bright

LIMIT = 40_000
"""Bytes of a record and its per-image scores."""
SEEN = 0.93
"""Share of joints with a label, as in Tai-Chi-HD."""


def people() -> list[PeopleProtocol]:
    found = [load_protocol(n) for n, p in available("protocols").items() if "people" in p.module]
    return [protocol for protocol in found if isinstance(protocol, PeopleProtocol)]


def made_up(protocol: PeopleProtocol, n: int, seed: int) -> Labelled:
    """Return images of noise with joints anywhere: errors that no compression makes smaller."""
    rng = np.random.default_rng(seed)
    size = (n, len(protocol.landmarks))
    seen: Array = np.ones(size, bool)
    if protocol.labels == "found":
        seen = rng.random(size) < SEEN
    joints = rng.uniform(0.1, 0.9, (*size, 2)) * seen[..., None]
    images = rng.integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)
    mask = rng.random((n, 32, 32)) < 0.2
    people = np.array([f"test-{seed}-{i // 4:04d}" for i in range(n)])
    return Labelled(ImageSet(images, mask=mask), joints, seen, people)


def recorded(
    protocol: PeopleProtocol, folder: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> Record:
    """Return the record of a run on 300 made-up test images; nothing is rendered."""

    def splits(self: PeopleProtocol, *_: Any, **__: Any) -> Splits:
        train = made_up(self, 400, 0)
        return Splits(train.images, train, made_up(self, 300, 1))

    monkeypatch.setattr(PeopleProtocol, "splits", splits)
    jitter = "points = points + np.random.default_rng(0).normal(0, 0.1, points.shape)"
    name = f"jittery_{protocol.name}"
    install("methods", {name: bright(name, predict=jitter)})
    [outcome] = evaluate([Cell(name, protocol.name, 0)], Settings(folder, recipe="smoke"))
    assert outcome.record is not None and outcome.status == "ok", outcome.reason
    return outcome.record


@pytest.mark.parametrize("protocol", people(), ids=lambda protocol: protocol.name)
def test_a_record_with_its_scores_is_small(
    protocol: PeopleProtocol, tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recorded(protocol, tmp_path, install, monkeypatch)
    kept = stored_artifact(tmp_path, record, "scores")
    assert record.path(tmp_path).stat().st_size + kept.stat().st_size <= LIMIT
    scores = load_scores(kept)
    assert set(scores) == {spec.name for spec in protocol.evaluators}
    for name, score in record.scores.items():
        found = scores[name]
        again = aggregate(found.errors, found.valid, found.aggregation, found.groups)
        assert again == pytest.approx(score.value, rel=1e-6), name
        assert score.n_images == len(found.errors) == 300
        assert found.identities is not None and len(set(found.identities)) == 75
        assert len(found.by_landmark()) == len(protocol.landmarks)
    assert {"joint_coverage", "extremity_coverage", "object_share"} < set(record.diagnostics)
    assert record.diagnostics["object_share"] == pytest.approx(0.2, abs=0.01)
