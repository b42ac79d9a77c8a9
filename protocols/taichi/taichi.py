"""Tai-Chi-HD: people doing Tai Chi in videos of all kinds, 18 joints by OpenPose.

K as Distill-DKP's Table 1 and StableKeypoints' Table 3. The published number of frames to discover
from is that of `taichi-metadata.csv` in Siarohin's video-preprocessing: 3,049 clips, of which many
can no longer be downloaded.
"""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from . import DATASET
from .reader import JOINTS, Taichi

PLUGIN: EvaluationProtocol = RealProtocol(
    name="taichi",
    description="People doing Tai Chi; where are the 18 joints that can be seen?",
    paper="Siarohin et al., Motion-supervised Co-Part Segmentation, ICPR 2020",
    role="taichi",
    dataset=DATASET,
    n_keypoints=10,
    landmarks=JOINTS,
    extremities=("nose", "l_wrist", "r_wrist", "l_ankle", "r_ankle"),
    evaluator="taichi/siarohin",
    source=Taichi(),
    published={"discovery": 957_564, "regression": 5_000, "test": 300},
    varying_sizes={"discovery": "many of the 3,049 clips can no longer be downloaded"},
)
