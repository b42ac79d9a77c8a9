"""Birds that all look to the left, 15 parts where they can be seen."""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from ..cub.reader import PARTS
from . import DATASET
from .reader import CubAligned

PLUGIN: EvaluationProtocol = RealProtocol(
    name="cub_aligned",
    description="Birds that all look to the left; where are the 15 parts that can be seen?",
    paper="Lorenz et al., Unsupervised Part-Based Disentangling, CVPR 2019",
    role="cub_aligned",
    dataset=DATASET,
    n_keypoints=10,
    landmarks=PARTS,
    evaluator="cub/autolink",
    source=CubAligned(),
    published={"discovery": 4_735, "regression": 4_735, "test": 4_630},
)
