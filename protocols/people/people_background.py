"""Human3.6M's role: upright people in a studio with four cameras, all 32 joints labelled."""

from __future__ import annotations

from kpbench.api import EvaluationProtocol
from kpbench.people.body.skeleton import JOINTS
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.scene.sampler import Settings

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_background",
    description="Upright people in a studio seen by four fixed cameras; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m",
    n_keypoints=16,
    landmarks=JOINTS,
    settings=Settings(background="room", upright=True, studio=True),
    default=True,
    evaluator="people_background/autolink",
)
