"""Evaluators of Human3.6M, with the correct and with the published list of left and right."""

from __future__ import annotations

from dataclasses import replace

from kpbench import EvaluatorSpec
from kpbench.scoring.flips import Pairs
from kpbench.scoring.presets.poses import human36m, human36m_further

PAIRS: Pairs = (
    *((left, left - 5) for left in range(6, 11)),
    *((left, left + 8) for left in range(16, 24)),
)
"""The 32 joints of Human3.6M: hip to toes, then neck, shoulder to hand; an involution."""

PUBLISHED_PAIRS: Pairs = (
    *((left, left - 5) for left in range(6, 11)),
    *((left, left + 8) for left in range(17, 21)),
    (21, 28),
    (22, 30),
    (23, 31),
)
"""As in AutoLink (`h36m.py:111`) and StableKeypoints (`eval.py:365`): (21, 28) should be (21, 29),
and (16, 24) is missing. It is no permutation: joint 20 is filled from 28, and 28 from 21."""
PUBLISHED_FAULT = (
    "the published left/right list is no permutation: it pairs joint 21 with 28 instead of 29, and "
    "lacks (16, 24)"
)

BKIND_JOINTS = (1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)


def _fixed(spec: EvaluatorSpec) -> EvaluatorSpec:
    return replace(
        spec,
        name=f"{spec.name}_fixed",
        formula=f"{spec.formula}; with a correct left/right list",
        pairs=PAIRS,
        known_fault="",
    )


_AUTOLINK, _STABLE, _STRICT = human36m("human36m", PUBLISHED_PAIRS)

EVALUATORS = (
    replace(_AUTOLINK, known_fault=PUBLISHED_FAULT),
    _fixed(_AUTOLINK),
    replace(_STABLE, known_fault=PUBLISHED_FAULT),
    _fixed(_STABLE),
    *human36m_further("human36m", PAIRS, BKIND_JOINTS),
    _STRICT,
)
