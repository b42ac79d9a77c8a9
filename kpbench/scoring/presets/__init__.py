"""The named evaluators as data: what each paper's released evaluation code does.

Sources are the papers' repositories at the files named in `paper`. Three rules of thumb when
reading: a factor on keypoints or labels alone changes no least-squares fit, so pixels of 128, 255
or 256 in the papers' fits are not repeated here; a subtracted constant does change a fit without
bias, so `centre` is; and a standardised fit without intercept is a fit with bias.
"""

from __future__ import annotations

from kpbench.scoring.presets.birds import cub
from kpbench.scoring.presets.bodies import (
    deepfashion,
    deepfashion_l2,
    lorenz_on_test,
    taichi,
    taichi_ganseg,
    taichi_l2,
)
from kpbench.scoring.presets.faces import celeba, other_faces
from kpbench.scoring.presets.poses import (
    BKIND_JOINTS,
    HUMAN36M_PAIRS,
    HUMAN36M_PUBLISHED_PAIRS,
    PEOPLE_JOINTS,
    PEOPLE_PAIRS,
    human36m,
    people,
    people_further,
)
from kpbench.scoring.spec import EvaluatorSpec

__all__ = [
    "BKIND_JOINTS",
    "EVALUATORS",
    "FURTHER",
    "HUMAN36M_PAIRS",
    "HUMAN36M_PUBLISHED_PAIRS",
    "PEOPLE_JOINTS",
    "PEOPLE_PAIRS",
]


def _before_strict(specs: list[EvaluatorSpec], *more: EvaluatorSpec) -> list[EvaluatorSpec]:
    return [*specs[:-1], *more, specs[-1]]


_EVERY_RUN = (
    *human36m(),
    *_before_strict(deepfashion("deepfashion"), deepfashion_l2("deepfashion")),
    *_before_strict(taichi("taichi"), taichi_ganseg("taichi"), taichi_l2("taichi")),
    *celeba(),
    *other_faces(),
    *cub(),
    *people("people_background"),
    *people("people_plain"),
    *deepfashion("people_fashion"),
    *taichi("people_taichi"),
)
_FURTHER = (
    lorenz_on_test("deepfashion"),
    *people_further("people_background"),
    *people_further("people_plain"),
    deepfashion_l2("people_fashion"),
    lorenz_on_test("people_fashion"),
    taichi_ganseg("people_taichi"),
    taichi_l2("people_taichi"),
)

EVALUATORS = {spec.name: spec for spec in (*_EVERY_RUN, *_FURTHER)}
"""Every named evaluator: of a data set, the papers' first and the strict one after them."""
FURTHER = frozenset(spec.name for spec in _FURTHER)
"""Names of those that a run is not scored under, unless asked: see `disagreement_evaluators`."""
