"""Human3.6M's role: everyday actions in a laboratory with four cameras, all 32 joints labelled."""

from __future__ import annotations

from kpbench import EvaluationProtocol, Framing, PeopleProtocol, PeopleSettings
from kpbench.people.body.skeleton import JOINTS

from . import DATASET

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_background",
    description="People in a laboratory seen by four fixed cameras; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m_background",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    settings=PeopleSettings(
        "laboratory", "everyday", Framing(fill=(0.72, 0.9), wander=(0.03, 0.02))
    ),
    default=True,
    evaluator="people_background/autolink",
)
