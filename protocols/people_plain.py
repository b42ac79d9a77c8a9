"""Human3.6M without background: the people of `people_background` before mid grey."""

from __future__ import annotations

from kpbench.api import EvaluationProtocol
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.sampler import Settings
from kpbench.people.skeleton import JOINTS

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_plain",
    description="The people of people_background before mid grey; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m",
    n_keypoints=16,
    landmarks=JOINTS,
    settings=Settings(background="grey", upright=True, studio=True),
    default=False,
    evaluator="people_plain/autolink",
)
