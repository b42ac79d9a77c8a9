"""Human3.6M without background: the people of `people_background` before mid grey."""

from __future__ import annotations

from kpbench.api import EvaluationProtocol
from kpbench.people.body.skeleton import JOINTS
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.scene.sampler import Settings

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
