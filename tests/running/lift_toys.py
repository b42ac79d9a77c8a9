"""A task that kpbench does not have, as a third party would bring it: 2D keypoints to 3D."""

TASK = '''
"""2D->3D: add a depth to each of K points."""
import io
import time
from dataclasses import dataclass

import numpy as np

from kpbench.api import Measured
from kpbench.errors import ContractError, InvalidInputError
from kpbench.records.evaluated import as_score
from kpbench.scoring.evaluators import Evaluation
from kpbench.scoring.per_image import save_scores


@dataclass(frozen=True)
class Poses:
    """Points (N, K, 2) and their depths (N, K)."""

    points: np.ndarray
    depths: np.ndarray

    def __len__(self):
        return len(self.points)

    def __getitem__(self, rows):
        return Poses(self.points[rows], self.depths[rows])


@dataclass(frozen=True)
class Lifts:
    """Discovery is of points without depths."""

    discovery: np.ndarray
    test: Poses


def poses(n, seed):
    points = np.random.default_rng(seed).random((n, 4, 2))
    return Poses(points, points.sum(-1) / 2)


class Lift:
    name = "2D->3D"
    signals = ()

    def accepts(self, method):
        return method.task == self.name

    def supervision(self, method):
        return "keypoints"

    def discovery(self, splits, method, who):
        if len(splits.discovery) < 2:
            raise InvalidInputError(f"{who} has too few poses")
        return splits.discovery

    def predict(self, method, part, n_keypoints):
        found = method.predict(part.points)
        if found.shape != (len(part), n_keypoints):
            raise ContractError(f"{method.name}: depths of shape {found.shape}")
        return found

    def measure(self, method, protocol, splits, n_keypoints):
        clock = time.perf_counter()
        found = self.predict(method, splits.test, n_keypoints)
        errors = abs(found - splits.test.depths)
        [spec] = protocol.evaluators
        evaluation = Evaluation(
            evaluator=spec.name, metric=spec.metric, unit=spec.unit,
            higher_is_better=spec.higher_is_better, oracle_used=False, value=float(errors.mean()),
            ci95=(float(errors.min()), float(errors.max())), n_images=len(errors), errors=errors,
            valid=np.ones_like(errors, bool), aggregation="pooled_mean", groups=None,
            group_values={}, landmark_values=errors.mean(0), predicted=found, rank=0, n_features=0,
            notes=(),
        )
        kept = io.BytesIO()
        np.savez(kept, test_depths=found)
        return Measured(
            scores={spec.name: as_score(evaluation, spec)},
            unscored={},
            files={"predictions": kept.getvalue(), "scores": save_scores([evaluation])},
            seconds={"predict": round(time.perf_counter() - clock, 3)},
        )

    def toys(self):
        part = poses(8, 0)
        return Lifts(part.points, part)

    def numbers(self, prediction):
        return prediction

    def check_data(self, protocol, splits, signals):
        who, sizes = protocol.name, protocol.sizes("smoke")
        assert len(splits.test) == sizes["test"], f"{who}: {len(splits.test)} test poses"


LIFT = Lift()
'''

PROTOCOL = '''
"""Depth is the mean of x and y."""
from kpbench.api import no_progress
from kpbench.scoring.evaluators import EvaluatorSpec

from ._lift import LIFT, Lifts, poses


class ToyLift:
    name = "toy_lift"
    task = LIFT
    version = 1
    description = "four points whose depth is the mean of x and y"
    paper = "none"
    role = "human36m"
    n_keypoints = 4
    landmarks = ("a", "b", "c", "d")
    evaluator = "toy_lift/strict"
    evaluators = (
        EvaluatorSpec(
            name="toy_lift/strict", paper="none", formula="mean |z|", metric="depth error",
            unit="m", scale=1.0, bias=False,
        ),
    )
    default = False
    signals = ()

    def sizes(self, recipe):
        return {"discovery": 30, "regression": 0, "test": 20, "pixels": 0}

    def fingerprint(self, recipe):
        return f"lifts-{recipe}"

    def splits(self, recipe, *, device="cpu", signals=(), progress=no_progress):
        return Lifts(poses(30, 1).points, poses(20, 2))


PLUGIN = ToyLift()
'''

METHOD = '''
"""Depth from a weight of x and y that is learnt from nothing."""
from dataclasses import dataclass

import numpy as np

from kpbench import MethodBase


@dataclass
class Method(MethodBase):
    name = "{name}"
    reference = "{reference}"
    task = "2D->3D"

    def fit(self, images, *, n_keypoints, seed, context):
        pass

    def predict(self, images):
        return {depth}


PLUGIN = Method()
'''


def lifting(name: str, depth: str, reference: str = "") -> str:
    """Return the source of a method that finds these depths in points (N, K, 2), `images`."""
    return METHOD.format(name=name, depth=depth, reference=reference)
