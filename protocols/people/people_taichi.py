"""Taichi's role: slow forms somewhere in a room, OpenPose's 18 joints labelled where found."""

from __future__ import annotations

from kpbench import EvaluationProtocol, Framing, PeopleProtocol, PeopleSettings
from kpbench.people.body.skeleton import OPENPOSE_18

from . import DATASET

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_taichi",
    description="Slow forms in rooms; where are the 18 OpenPose joints that can be found?",
    paper="Siarohin et al., Motion-supervised Co-Part Segmentation, ICPR 2020",
    role="taichi",
    dataset=DATASET,
    n_keypoints=10,
    landmarks=OPENPOSE_18,
    settings=PeopleSettings(
        "rooms",
        "tai_chi",
        Framing(fill=(0.78, 0.97), wander=(0.085, 0.04), facing=60.0),
        occluders=0.1,
        aperture=(0.0, 0.03),
    ),
    default=False,
    evaluator="people_taichi/siarohin",
    labels="found",
)
