"""DeepFashion's role: standing people before a light background, COCO's 17 joints labelled."""

from __future__ import annotations

from kpbench import EvaluationProtocol, Framing, PeopleProtocol, PeopleSettings
from kpbench.people.body.skeleton import COCO_17

from . import DATASET

PLUGIN: EvaluationProtocol = PeopleProtocol(
    name="people_fashion",
    description="Standing people before a light background; where are the 17 COCO joints?",
    paper="He et al., AutoLink, NeurIPS 2022",
    role="deepfashion",
    dataset=DATASET,
    n_keypoints=16,
    landmarks=COCO_17,
    settings=PeopleSettings(
        "light", "fashion", Framing(fill=(0.93, 0.99), wander=(0.02, 0.01), facing=20.0)
    ),
    default=True,
    evaluator="people_fashion/autolink",
)
