"""The rendered people ask what the real data sets ask: figures of their labels within 15 %.

The real figures were computed by the library's evaluators from the label files that are public:
Tai-Chi-HD's of Siarohin et al. 2020 (Motion-supervised Co-Part Segmentation) and DeepFashion's of
Lorenz et al. 2019, images split at random into training and test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import pytest
import torch

from kpbench.api import Array
from kpbench.people.body.shape import BodyModel
from kpbench.people.dataset import FIELDS
from kpbench.people.picture.render import CHUNK, Renderer
from kpbench.people.protocol import PeopleProtocol, read_rows
from kpbench.people.scene.sampler import Split, sample_scene
from kpbench.people.scene.stage import set_stage
from kpbench.registry import load_protocol
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import evaluate

CPU = torch.device("cpu")
WITHIN = 0.15
TRAIN, TEST, RENDERED = 1500, 300, 304
"""Images: as many as `quick` has; of the last, a whole number of chunks, joints are looked for."""


@dataclass(frozen=True)
class Figures:
    """What a data set's labels say.

    Attributes:
        mean_shape: score of a keypoint that never moves, so that the mean shape is predicted.
        centre: score of one keypoint in the middle of each image's joints.
        deviation: standard deviation of the joints about the mean shape, % of the image.
        height: of the box around the joints, mean, % of the image.
        seen: joints that have a label, %.
    """

    mean_shape: float
    centre: float
    deviation: float
    height: float
    seen: float


REAL: Mapping[str, Figures] = {
    "people_taichi": Figures(683, 450, 10.4, 73, 93),  # px at 256, summed
    "people_fashion": Figures(28, 48, 4.7, 81, 100),  # % within 6 px at 256
}
NAMES = [(protocol, name) for protocol in REAL for name in Figures.__annotations__]


def labels(protocol: PeopleProtocol, split: Split, n: int) -> Array:
    model, found = BodyModel(CPU), []
    for start in range(0, n, CHUNK):
        items = range(start, min(start + CHUNK, n))
        scenes = [sample_scene(protocol.settings, split, i) for i in items]
        stage = set_stage(scenes, model, CPU)
        found.append(stage.camera.project(stage.moments[0].joints)[..., :2].numpy())
    return read_rows(np.concatenate(found), protocol.landmarks)


def share_seen(protocol: PeopleProtocol) -> float:
    """Return the share of joints that the protocol labels on test images, in %."""
    if protocol.labels == "all":
        return 100.0
    renderer = Renderer(protocol.settings, "test", 24, CPU)
    chunks = renderer.chunks(range(RENDERED // CHUNK))
    arrays = {name: np.concatenate([getattr(c, name) for c in chunks]) for name in FIELDS}
    with patch("kpbench.people.protocol.load", lambda *_: arrays):
        labelled = protocol.splits("quick").test
    assert len(labelled.visible) == RENDERED
    return 100 * float(labelled.visible.mean())


def figures(name: str) -> Figures:
    protocol = load_protocol(name)
    assert isinstance(protocol, PeopleProtocol)
    [spec] = [spec for spec in protocol.evaluators if spec.name == protocol.evaluator]
    train, test = labels(protocol, "train", TRAIN), labels(protocol, "test", TEST)

    def score(*keypoints: Array) -> float:
        sets = [
            Detections(points, some, np.ones(some.shape[:2], bool))
            for points, some in zip(keypoints, (train, test), strict=True)
        ]
        return evaluate(spec, *sets).value

    return Figures(
        mean_shape=score(*(np.full((len(some), 1, 2), 0.5) for some in (train, test))),
        centre=score(*(some.mean(1, keepdims=True) for some in (train, test))),
        deviation=100 * float(np.sqrt(test.var(0).mean())),
        height=100 * float(np.ptp(test[..., 1], axis=1).mean()),
        seen=share_seen(protocol),
    )


@pytest.fixture(scope="module")
def found() -> Mapping[str, Figures]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    result = {name: figures(name) for name in REAL}
    torch.set_num_threads(before)
    return result


@pytest.mark.parametrize(("protocol", "name"), NAMES)
def test_labels_are_as_hard_as_the_real_ones(
    protocol: str, name: str, found: Mapping[str, Figures]
) -> None:
    ours, real = (getattr(some[protocol], name) for some in (found, REAL))
    assert ours == pytest.approx(real, rel=WITHIN)
