"""Birds of all 200 classes in a square about each, 15 parts where they can be seen."""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import OF_ALL, PARTS, Cub

PLUGIN: EvaluationProtocol = RealProtocol(
    name="cub_all",
    description="Birds of 200 classes; where are the 15 parts that can be seen?",
    paper="Hedlin et al., StableKeypoints, CVPR 2024",
    role="cub",
    dataset=DATASET,
    n_keypoints=4,
    landmarks=PARTS,
    evaluator="cub/autolink",
    source=Cub(),
    published={"discovery": 5_964, "regression": 5_964, "test": 2_874},
    varying_sizes=OF_ALL,
)
