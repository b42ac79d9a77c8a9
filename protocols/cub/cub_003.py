"""CUB's class 003: sooty albatrosses, learnt from about 30 images."""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import OF_A_CLASS, PARTS, Cub

PLUGIN: EvaluationProtocol = RealProtocol(
    name="cub_003",
    description="Sooty albatrosses; where are the 15 parts that can be seen?",
    paper="Hedlin et al., StableKeypoints, CVPR 2024",
    role="cub",
    dataset=DATASET,
    n_keypoints=4,
    landmarks=PARTS,
    evaluator="cub/autolink",
    source=Cub(classes="003", split="official"),
    published={"discovery": 30, "regression": 30, "test": 28},
    varying_sizes=OF_A_CLASS,
)
