"""Human3.6M without background: the people of `people_background` before mid grey."""

from __future__ import annotations

from kpbench import EvaluationProtocol, Framing, PeopleProtocol, PeopleSettings
from kpbench.people.body.skeleton import JOINTS

from . import DATASET

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_plain",
    description="The people of people_background before mid grey; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    settings=PeopleSettings("grey", "everyday", Framing(fill=(0.72, 0.9), wander=(0.03, 0.02))),
    default=False,
    evaluator="people_plain/autolink",
)
