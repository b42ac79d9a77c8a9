"""Lips of speakers from the front, eight points, tested on ten other speakers."""

from __future__ import annotations

from kpbench import Dataset, EvaluationProtocol, RealProtocol
from kpbench.data.projects.rules import evaluators

from .reader import LICENCE, PAPER, REPOSITORY, Speech, clone, layout

LANDMARKS = (
    *("leftLip", "rightLip", "topleftinner", "bottomleftinner", "topmidinner", "bottommidinner"),
    *("toprightinner", "bottomrightinner"),
)
"""In the order of the files; left and right of the image."""
TESTS = "LipTest_COMBINED_TEST"

DATASET = Dataset(
    name="lips",
    title="Lips of DeepLabCut for Speech Production (Wrench and Balch-Tomes, Sensors 2022)",
    about="Mouths of speakers from the front, 320 x 240 pixels; corners and inner edges of the "
    "lips labelled by hand.",
    licence=LICENCE,
    source=f"{REPOSITORY}, folder Lips",
    layout=layout(TESTS),
    needs=(f"labeled-data/{TESTS}/CollectedData_AW.csv",),
    evaluators=evaluators("lips", LANDMARKS, normaliser=("leftLip", "rightLip")),
    clone=clone("Lips", 65),
)

PLUGIN: EvaluationProtocol = RealProtocol(
    name="lips",
    description="Mouths of speakers; where are the corners and inner edges of the lips?",
    paper=PAPER,
    role="project",
    dataset=DATASET,
    n_keypoints=8,
    landmarks=LANDMARKS,
    evaluator="lips/strict",
    source=Speech(tests_in=TESTS),
    published={"discovery": 817, "regression": 264, "test": 392},
)
