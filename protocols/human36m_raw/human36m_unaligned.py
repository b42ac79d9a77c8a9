"""Human3.6M with a loose, shifted crop (StableKeypoints), from the frames of h36m-fetch.

K as StableKeypoints' Table 3. The published sizes are those of all frames; h36m-fetch leaves frames
out in which little moves, and all but each 64th of S9 and S11, so that there are fewer.
"""

from __future__ import annotations

from kpbench import EvaluationProtocol, RealProtocol

from ..human36m.reader import EXTREMITIES, JOINTS, PUBLISHED
from . import DATASET
from .reader import Human36mUnaligned

PLUGIN: EvaluationProtocol = RealProtocol(
    name="human36m_unaligned",
    description="People anywhere in a wide crop of a studio; where are their 32 joints?",
    paper="Hedlin et al., StableKeypoints, CVPR 2024",
    role="human36m_background",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    extremities=EXTREMITIES,
    evaluator="human36m/autolink_fixed",
    source=Human36mUnaligned(),
    published=PUBLISHED,
    varying_sizes=dict.fromkeys(
        PUBLISHED, "h36m-fetch leaves frames out, the published number is that of all frames"
    ),
)
