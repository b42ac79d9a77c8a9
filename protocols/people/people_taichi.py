"""Taichi's role: people in all poses, OpenPose's 18 joints labelled where they can be seen."""

from __future__ import annotations

from kpbench import EvaluationProtocol, PeopleProtocol, PeopleSettings
from kpbench.people.body.skeleton import OPENPOSE_18

from . import DATASET

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_taichi",
    description="People in all poses in rooms; where are the 18 OpenPose joints that can be seen?",
    paper="Siarohin et al., Motion-supervised Co-Part Segmentation, ICPR 2020",
    role="taichi",
    dataset=DATASET,
    n_keypoints=10,
    landmarks=OPENPOSE_18,
    settings=PeopleSettings(background="room", occluders=0.25),
    default=True,
    evaluator="people_taichi/siarohin",
    labels_only_if_visible=True,
)
