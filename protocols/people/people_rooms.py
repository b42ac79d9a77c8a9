"""The hard case: everyday actions in rooms of which no two are alike, as in snapshots."""

from __future__ import annotations

from kpbench import EvaluationProtocol, Framing, PeopleProtocol, PeopleSettings
from kpbench.people.body.skeleton import JOINTS

from . import DATASET

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_rooms",
    description="People in a room of their own in every image; where are their 32 joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="human36m_background",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=JOINTS,
    settings=PeopleSettings(
        "rooms",
        "everyday",
        Framing(fill=(0.72, 0.9), wander=(0.03, 0.02)),
        aperture=(0.03, 0.08),
    ),
    default=False,
    evaluator="people_rooms/autolink",
)
