"""Evaluators of the rendered people, who are scored as the data sets whose roles they take."""

from __future__ import annotations

from kpbench.people.body.skeleton import JOINTS
from kpbench.scoring.flips import mirrored_pairs
from kpbench.scoring.presets.bodies import (
    deepfashion,
    deepfashion_l2,
    lorenz_on_test,
    taichi,
    taichi_ganseg,
    taichi_l2,
)
from kpbench.scoring.presets.poses import human36m, human36m_further

PAIRS = mirrored_pairs(JOINTS)
SIXTEEN = tuple(range(1, 17))
"""BKinD's 16 joints, which lie in BKinD's order among the 32 here."""

EVALUATORS = (
    *human36m("people_background", PAIRS),
    *human36m("people_plain", PAIRS),
    *human36m("people_rooms", PAIRS),
    *deepfashion("people_fashion"),
    *taichi("people_taichi"),
)
FURTHER = (
    *human36m_further("people_background", PAIRS, SIXTEEN),
    *human36m_further("people_plain", PAIRS, SIXTEEN),
    *human36m_further("people_rooms", PAIRS, SIXTEEN),
    deepfashion_l2("people_fashion"),
    lorenz_on_test("people_fashion"),
    taichi_ganseg("people_taichi"),
    taichi_l2("people_taichi"),
)
