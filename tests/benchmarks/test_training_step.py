"""Speed of whole trainings at `quick`: thirty steps, building the networks included."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kpbench.api import FitContext
from kpbench.speed.training import Case

STEPS = 30


@pytest.mark.parametrize("name", ["autolink", "distill_dkp"])
def test_thirty_steps(name: str, benchmark: BenchmarkFixture) -> None:
    case = Case(name, "quick")
    images, teacher = case.images(64, ("depth",)), case.dependency()

    def train() -> None:
        method = case.configured(steps=STEPS)
        context = FitContext(recipe="quick", dependency=teacher)
        method.fit(images.restricted(method.needs), n_keypoints=16, seed=0, context=context)

    benchmark.pedantic(train, rounds=3, warmup_rounds=1)  # type: ignore[no-untyped-call]
