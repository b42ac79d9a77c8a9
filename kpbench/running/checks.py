"""What is checked of the data of task image->2D, and toy images to check methods on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kpbench.contracts.protocol import EvaluationProtocol
from kpbench.contracts.types import Array, ImageSet, Keypoints, Labelled, Signal, Splits
from kpbench.errors import InvalidInputError
from kpbench.running.measure import detections, extremities
from kpbench.scoring.evaluators import evaluate
from kpbench.scoring.flips import permutation
from kpbench.scoring.spec import EvaluatorSpec


def toy_labelled(n: int = 12, size: int = 32, seed: int = 0) -> Labelled:
    """Return small images of a bright disc before noise, with every signal and 4 landmarks."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.35, 0.65, (n, 2))
    grid = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(grid, grid)
    distance = np.hypot(x - centre[:, :1, None], y - centre[:, 1:, None])
    mask = distance < 0.25
    images = rng.integers(0, 120, (n, size, size, 3), dtype=np.uint8)
    images[mask] = images[mask] // 2 + 150
    depth = np.where(mask, 2000, 4000).astype(np.uint16)
    offsets = np.array([[0, -0.2], [0.2, 0], [0, 0.2], [-0.2, 0]])
    return Labelled(
        ImageSet(images, depth=depth, mask=mask, frames=images[:, :, ::-1]),
        centre[:, None] + offsets,
        np.ones((n, 4), dtype=bool),
    )


def check_data(protocol: EvaluationProtocol, splits: Splits, signals: Sequence[Signal]) -> None:
    """Check sizes, names, leaks between training and test, and evaluators; see `Task.check_data`.

    Under every evaluator the oracle must be perfect and a constant predictor no better than the
    mean shape; test images and identities must not be in training (identities may, where the
    protocol says in `shared_identities` that the published split has them).

    Raises:
        AssertionError: a promise is broken; the message names protocol and promise.
    """
    _check_sizes(protocol, splits, signals)
    shared = getattr(protocol, "shared_identities", "")
    _check_leaks(protocol.name, splits, identities=not shared)
    for spec in protocol.evaluators:
        _check_evaluator(protocol.name, spec, splits)


def _check_sizes(protocol: EvaluationProtocol, splits: Splits, signals: Sequence[Signal]) -> None:
    who, sizes = protocol.name, protocol.sizes("smoke")
    try:
        extremities(protocol)
    except InvalidInputError as error:
        raise AssertionError(str(error)) from error
    for name in ("discovery", "regression", "test"):
        found = len(getattr(splits, name))
        assert found == sizes[name], f"{who}: {name} has {found} images, announced {sizes[name]}"
    sides = {s.images.shape[1] for s in (splits.discovery, splits.regression.images)}
    sides |= {splits.test.images.images.shape[1]}
    assert sides == {sizes["pixels"]}, f"{who}: images of {sides} px, announced {sizes['pixels']}"
    for labelled in (splits.regression, splits.test):
        n = labelled.landmarks.shape[1]
        assert n == len(protocol.landmarks), (
            f"{who}: {n} landmarks, {len(protocol.landmarks)} names"
        )
        seen = labelled.landmarks[labelled.visible]
        # a crop may cut a labelled landmark off; pixels or swapped sizes lie further out
        assert (np.abs(seen - 0.5) <= 1).all(), f"{who}: visible landmarks far outside of the image"
        hidden = labelled.landmarks[~labelled.visible]
        assert (hidden == 0).all(), f"{who}: landmarks that are not visible must be 0"
        lacking = [name for name in signals if name not in labelled.images.signals]
        assert not lacking, f"{who}: announces the signals {lacking}, which are not there"


def _check_leaks(who: str, splits: Splits, *, identities: bool) -> None:
    train = {image.tobytes() for image in splits.discovery.images}
    train |= {image.tobytes() for image in splits.regression.images.images}
    leaked = sum(image.tobytes() in train for image in splits.test.images.images)
    assert leaked == 0, f"{who}: {leaked} test images are training images"
    if not identities:
        return
    if splits.test.groups is not None and splits.regression.groups is not None:
        shared = np.intersect1d(splits.test.groups, splits.regression.groups)
        assert shared.size == 0, f"{who}: test shares {shared.size} identities with training"


def _check_evaluator(who: str, spec: EvaluatorSpec, splits: Splits) -> None:
    name, train, test = spec.name, splits.regression, splits.test

    def value(train_points: Array, test_points: Array) -> float:
        found = evaluate(
            spec,
            detections(Keypoints(train_points), train),
            detections(Keypoints(test_points), test),
        )
        return found.value

    swap = permutation(spec.pairs, train.landmarks.shape[1])
    if not spec.known_fault:
        assert (swap[swap] == np.arange(len(swap))).all(), (
            f"{who}: {name} swaps not twice to itself"
        )
    sign = -1 if spec.higher_is_better else 1
    perfect = 100.0 if spec.higher_is_better else 0.0
    # BKinD exchanges left and right of some people for the fit alone; a class of thirty birds has
    # fewer rows than the oracle has coordinates
    enough = train.visible.sum(0).min() > 2 * train.landmarks.shape[1] + 1
    if spec.train_flip != "back_facing" and enough:
        oracle = value(train.landmarks, test.landmarks)
        assert abs(oracle - perfect) < 1e-6, f"{who}: the oracle gets {oracle} under {name}"
    if spec.frame != "image":
        return  # a constant still tells the object's box or the distance of the eyes
    ring = np.array([[0.3, 0.4], [0.6, 0.7], [0.5, 0.2]])
    floor = value(*(np.tile(ring, (len(s), 1, 1)) for s in (train, test)))
    corner = value(*(np.full((len(s), 3, 2), 0.9) for s in (train, test)))
    assert sign * corner >= sign * floor - 1e-6, (
        f"{who}: a constant gets {corner}, better than the mean shape's {floor}, under {name}"
    )
