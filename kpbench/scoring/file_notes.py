"""What a reader of a file's score has to know: copied images, test points that are (y, x)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kpbench.errors import KpbenchError
from kpbench.scoring.detections import Detections
from kpbench.scoring.evaluators import EvaluatorSpec, score_alone

POINTS = ("keypoints", "landmarks")
MUCH = 0.5
"""Share of the error that may be left: the noise of few images does not halve it."""
PERFECT = 1e-9


def order_notes(spec: EvaluatorSpec, train: Detections, test: Detections) -> list[str]:
    """Return a note where test points score far better once x and y are exchanged.

    A regression does not mind the order, as long as train and test have the same.

    Args:
        spec: the evaluator.
        train: what it is fitted on.
        test: what it scores.
    """
    train, test = train.thinned(), test.thinned()
    try:
        given = _error(spec, train, test)
    except KpbenchError:
        return []
    found = [(_exchanged_error(spec, name, train, test), name) for name in POINTS]
    return [
        f"the test {name} look like (y, x): with x and y exchanged, {100 * error / given:.0f} % of "
        "the error"
        for error, name in sorted(found)[:1]
        if error < MUCH * given - PERFECT
    ]


def _exchanged_error(spec: EvaluatorSpec, name: str, train: Detections, test: Detections) -> float:
    points = {name: getattr(test, name)[..., ::-1]}
    try:
        return _error(spec, train, replace(test, **points))
    except KpbenchError:
        return np.inf


def _error(spec: EvaluatorSpec, train: Detections, test: Detections) -> float:
    score = score_alone(spec, train, test)
    return spec.scale - score if spec.higher_is_better else score


def copied_rows(train: Detections, test: Detections) -> int:
    """Return how many test images have the keypoints and landmarks of a training image.

    Detections that are the same in all images tell none apart: they count for 0.
    """
    if _constant(train):
        return 0
    known = set(_rows(train))
    return sum(row in known for row in _rows(test))


def _constant(part: Detections) -> bool:
    first = np.asarray(part.keypoints[0], np.float64).ravel()
    return all((values == first).all() for values in part.column("keypoints"))


def _rows(part: Detections) -> Iterator[bytes]:
    """Yield what tells an image from any other, 16 bytes each."""
    for block in part.parts():
        n = len(block.keypoints)
        seen = block.visible.astype(np.float64)
        columns = [array.reshape(n, -1) for array in (block.keypoints, block.landmarks, seen)]
        for row in np.hstack(columns) + 0.0:  # -0.0 is 0.0
            yield hashlib.blake2b(row.tobytes(), digest_size=16).digest()
