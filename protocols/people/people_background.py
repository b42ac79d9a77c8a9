"""Human3.6M's role: upright people in a studio with four cameras, all 32 joints labelled."""

from __future__ import annotations

from kpbench import EvaluationProtocol, PeopleProtocol, PeopleSettings
from kpbench.people.body.skeleton import JOINTS

from . import DATASET

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_background",
    description="Upright people in a studio seen by four fixed cameras; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m_background",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    settings=PeopleSettings(background="room", upright=True, studio=True),
    default=True,
    evaluator="people_background/autolink",
)
