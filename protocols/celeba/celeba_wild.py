"""CelebA's faces as photographed, five points; K = 8, or 4 as an argument."""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import LANDMARKS, CelebaWild

PLUGIN: EvaluationProtocol = RealProtocol(
    name="celeba_wild",
    description="Faces that fill 30 % of a photograph; where are eyes, nose and mouth?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="celeba_wild",
    dataset=DATASET,
    n_keypoints=8,
    landmarks=LANDMARKS,
    evaluator="celeba/autolink",
    source=CelebaWild(),
    published={"discovery": 45_609, "regression": 5_379, "test": 283},
    shared_identities=(
        "808 of MAFL's 1,000 test faces are from CelebA's training part, which has some 20 images "
        "of each person"
    ),
)
