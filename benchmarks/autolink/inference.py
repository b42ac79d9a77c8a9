"""Speed of the test loop: detect in all images to regress on and to test on, regress, score."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.autolink.agreement import Agreement
from benchmarks.autolink.training import Batch, float16
from benchmarks.autolink.weights import converted
from kpbench.api import Device, EvaluationProtocol, Method, Splits
from kpbench.contracts.types import Array
from kpbench.data.locate import variable_of
from kpbench.errors import InvalidInputError
from kpbench.registry import load_protocol
from kpbench.running.measure import detections, predict
from kpbench.scoring.evaluators import Detections, Evaluation, evaluate
from kpbench.scoring.named import get_evaluator

EVALUATOR = "human36m/autolink"
"""The official rule, faults and all."""


@dataclass(frozen=True)
class Ours:
    """kpbench's side: a method with the official weights, and a protocol on the same files."""

    method: Method
    protocol: EvaluationProtocol

    def from_disk(self) -> Evaluation:
        """Open the packed data set, detect, regress and score, with the confidence interval."""
        return self.on(self.protocol.splits("paper"))

    def in_memory(self) -> Splits:
        """Return the data in memory, uint8."""
        splits = self.protocol.splits("paper")

        def copied(part: Any) -> Any:
            images = replace(part.images, images=np.array(part.images.images), mask=None)
            return replace(part, images=images)

        return replace(splits, regression=copied(splits.regression), test=copied(splits.test))

    def on(self, splits: Splits) -> Evaluation:
        """Detect, regress and score, with the confidence interval."""
        k = self.protocol.n_keypoints
        train, test = (
            detections(predict(self.method, part, k), part)
            for part in (splits.regression, splits.test)
        )
        return evaluate(get_evaluator(EVALUATOR), train, test)


@contextmanager
def packed(tree: Path, cache: Path) -> Iterator[EvaluationProtocol]:
    """Yield the protocol on a Human3.6M folder; its packed images go to a cache of their own."""
    with patch.dict(os.environ, {variable_of("human36m"): str(tree), "KPBENCH_CACHE": str(cache)}):
        found: Any = load_protocol("human36m_background")
        # as the official loaders choose, by which WalkingDog is walking
        yield found.configured({"activities": "prefix"})


def same_weights(official: Any, method: Method, device: Device) -> Method:
    """Return kpbench's method with the official detector's and edges' weights, on the device."""
    learnt = converted(official.state_dict())
    state = {
        name.removeprefix("detector."): value.detach().cpu().numpy()
        for name, value in learnt.items()
        if name.startswith("detector.") and not name.endswith("num_batches_tracked")
    }
    scale = official.hparams.sklr
    edges = torch.nn.functional.softplus(learnt["edge_logits"] * scale)
    state["edge_weights"] = edges.detach().cpu().numpy()
    fitted: Any = method
    fitted.restore(state)
    fitted.to(device)
    return method


def official_loop(model: Any, loaders: Sequence[Iterable[Batch]], device: Device) -> float:
    """Run the official test loop as its trainer does, and return its score."""
    model.eval()
    with torch.no_grad(), float16(device):
        outputs = [
            [model.test_step(_moved(batch, device), i, which) for i, batch in enumerate(loader)]
            for which, loader in enumerate(loaders)
        ]
    model.test_epoch_end(outputs)
    return float(model.logged["test_loss"])


def _moved(batch: Batch, device: Device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def in_memory(loaders: Sequence[Iterable[Batch]]) -> list[list[Batch]]:
    """Return the official batches as its loaders make them."""
    return [list(loader) for loader in loaders]


def score_agreement(
    model: Any, loaders: Sequence[Iterable[Batch]], device: Device, splits: Splits
) -> Agreement:
    """Compare the official evaluation with kpbench's on the official keypoints, in float64.

    In float32, as it runs, the official regression inverts a matrix whose condition is squared.

    Raises:
        InvalidInputError: the official evaluation would not end.
    """
    model.eval()
    with torch.no_grad():
        outputs = [
            [model.test_step(_moved(batch, device), i) for i, batch in enumerate(loader)]
            for loader in loaders
        ]
    pair = []
    for part, labelled in zip(outputs, (splits.regression, splits.test), strict=True):
        points, landmarks = _points(part, "det_keypoints", 0.5, 0.5), _points(part, "keypoints")
        # in any order: the official files are in that of the folder
        if not np.allclose(np.sort(landmarks, None), np.sort(labelled.landmarks, None), atol=1e-6):
            raise InvalidInputError("the two sides read different landmarks from the same files")
        pair.append(Detections(points, landmarks, np.ones(landmarks.shape[:2], bool)))
    ours = evaluate(get_evaluator(EVALUATOR), *pair)
    if any("settled" in note for note in ours.notes):
        raise InvalidInputError("left and right do not settle: the official loop would not end")
    doubled = [[{k: v.double() for k, v in batch.items()} for batch in part] for part in outputs]
    score = float(model.test_func(doubled)["val_loss"])
    scale = get_evaluator(EVALUATOR).scale
    return Agreement("score of the test loop", abs(ours.value / scale - score) / score, 1e-6)


def _points(outputs: list[Batch], name: str, scale: float = 1.0, shift: float = 0.0) -> Array:
    """Return (N, P, 2) points (x, y) of (y, x), in float64."""
    points: Tensor = torch.cat([batch[name] for batch in outputs]).double() * scale + shift
    return points.flip(-1).numpy()
