"""Tongues of speakers in ultrasound, fourteen points, tested on 25 other recordings."""

from __future__ import annotations

from kpbench import Dataset, EvaluationProtocol, RealProtocol
from kpbench.data.projects.rules import evaluators

from .reader import LICENCE, PAPER, REPOSITORY, Speech, clone, layout

LANDMARKS = (
    *("vallecula", "tongueRoot1", "tongueRoot2", "tongueBody1", "tongueBody2", "tongueDorsum1"),
    *("tongueDorsum2", "tongueBlade1", "tongueBlade2", "tongueTip1", "tongueTip2", "hyoid"),
    *("mandible", "shortTendon"),
)
"""In the order of the files; eleven along the tongue from its root to its tip."""
TESTS = "UTI_Test_Set_COMBINED_ALL"

DATASET = Dataset(
    name="tongue",
    title="Tongues of DeepLabCut for Speech Production (Wrench and Balch-Tomes, Sensors 2022)",
    about="Tongues of speakers in midsagittal ultrasound, 320 x 240 pixels, tip to the right; "
    "labelled by hand.",
    licence=LICENCE,
    source=f"{REPOSITORY}, folder Ultrasound",
    layout=layout(TESTS),
    needs=(f"labeled-data/{TESTS}/CollectedData_AW.csv",),
    evaluators=evaluators("tongue", LANDMARKS),
    clone=clone("Ultrasound", 58),
)

PLUGIN: EvaluationProtocol = RealProtocol(
    name="tongue",
    description="Tongues in ultrasound; where are their surface, the hyoid and the mandible?",
    paper=PAPER,
    role="project",
    dataset=DATASET,
    n_keypoints=10,
    landmarks=LANDMARKS,
    evaluator="tongue/strict",
    source=Speech(tests_in=TESTS),
    published={"discovery": 592, "regression": 548, "test": 1026},
)
