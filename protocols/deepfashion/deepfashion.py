"""DeepFashion: full bodies of models before white, 17 joints by AlphaPose.

K as Distill-DKP's Table 1 and StableKeypoints' Table 3; split as Lorenz et al., CVPR 2019.
"""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import JOINTS, DeepFashion

PLUGIN: EvaluationProtocol = RealProtocol(
    name="deepfashion",
    description="Models showing clothes before white; where are their 17 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="deepfashion",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    extremities=("nose", "l_wrist", "r_wrist", "l_ankle", "r_ankle"),
    evaluator="deepfashion/autolink",
    source=DeepFashion(),
    published={"discovery": 10_604, "regression": 10_604, "test": 1_179},
    shared_identities=(
        "the published split was drawn by image: 742 of 1,179 test images lie in the folder of an "
        "item (garment and model) that training shows, too"
    ),
)
