"""CelebA's aligned faces, five points, tested on MAFL."""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import LANDMARKS, CelebaAligned

PLUGIN: EvaluationProtocol = RealProtocol(
    name="celeba_aligned",
    description="Aligned faces; where are eyes, nose and corners of the mouth?",
    paper="Jakab et al., Conditional Image Generation for Object Landmarks, NeurIPS 2018",
    role="celeba_aligned",
    dataset=DATASET,
    n_keypoints=10,
    landmarks=LANDMARKS,
    evaluator="celeba/imm",
    source=CelebaAligned(),
    published={"discovery": 160_215, "regression": 17_100, "test": 1_000},
    shared_identities=(
        "808 of MAFL's 1,000 test faces are from CelebA's training part, which has some 20 images "
        "of each person"
    ),
)
