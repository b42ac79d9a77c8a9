"""CUB's class 001: black-footed albatrosses, learnt from about 30 images."""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import OF_A_CLASS, PARTS, Cub

PLUGIN: EvaluationProtocol = RealProtocol(
    name="cub_001",
    description="Black-footed albatrosses; where are the 15 parts that can be seen?",
    paper="Hedlin et al., StableKeypoints, CVPR 2024",
    role="cub",
    dataset=DATASET,
    n_keypoints=4,
    landmarks=PARTS,
    evaluator="cub/autolink",
    source=Cub(classes="001", split="official"),
    published={"discovery": 30, "regression": 30, "test": 30},
    varying_sizes=OF_A_CLASS,
)
