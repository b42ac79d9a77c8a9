"""Human3.6M without background: the people of `people_background` before mid grey."""

from __future__ import annotations

from kpbench import EvaluationProtocol, PeopleProtocol, PeopleSettings
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
    settings=PeopleSettings(background="grey", upright=True, studio=True),
    default=False,
    evaluator="people_plain/autolink",
)
