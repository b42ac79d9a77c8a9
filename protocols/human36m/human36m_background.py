"""Human3.6M as it was taken: 128 x 128 crops of people doing six things, 32 joints.

K as Distill-DKP's Table 1 and StableKeypoints' Table 3; split and sizes as AutoLink.
"""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import EXTREMITIES, JOINTS, PUBLISHED, Human36m

PLUGIN: EvaluationProtocol = RealProtocol(
    name="human36m_background",
    description="People in a studio, cropped to 128 px; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m_background",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    extremities=EXTREMITIES,
    evaluator="human36m/autolink_fixed",
    source=Human36m(background="image"),
    published=PUBLISHED,
    signals=("depth", "mask"),
)
