"""Taichi's role: people in all poses, OpenPose's 18 joints labelled where they can be seen."""

from __future__ import annotations

from kpbench.api import EvaluationProtocol
from kpbench.people.body.skeleton import OPENPOSE_18
from kpbench.people.protocol import PeopleProtocol
from kpbench.people.scene.sampler import Settings

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_taichi",
    description="People in all poses in rooms; where are the 18 OpenPose joints that can be seen?",
    paper="Siarohin et al., Motion-supervised Co-Part Segmentation, ICPR 2020",
    role="taichi",
    n_keypoints=10,
    landmarks=OPENPOSE_18,
    settings=Settings(background="room", occluders=0.25),
    default=True,
    evaluator="people_taichi/siarohin",
    labels_only_if_visible=True,
)
