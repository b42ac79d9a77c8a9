"""Human3.6M without background: gray as AutoLink, or black as StableKeypoints, an argument.

K as StableKeypoints' Table 3; split and sizes as AutoLink.
"""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import EXTREMITIES, JOINTS, PUBLISHED, Human36m

PLUGIN: EvaluationProtocol = RealProtocol(
    name="human36m",
    description="People cut out by their masks and cropped to 128 px; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    extremities=EXTREMITIES,
    evaluator="human36m/autolink_fixed",
    source=Human36m(background="gray"),
    published=PUBLISHED,
    signals=("depth", "mask"),
)
