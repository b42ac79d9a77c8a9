"""Detections: what is refused, and that arrays of any size are read part by part."""

from __future__ import annotations

import numpy as np
import pytest

from kpbench.errors import InvalidInputError
from kpbench.evaluators import Detections


def test_detections_refuse_bad_arrays() -> None:
    keypoints, landmarks = np.full((4, 3, 2), 0.5), np.full((4, 5, 2), 0.5)
    visible = np.ones((4, 5), bool)
    nan = keypoints.copy()
    nan[[0, 2], 1] = np.nan
    for arrays, words in [
        ((keypoints[0], landmarks, visible), "keypoints must have shape"),
        ((keypoints[:0], landmarks, visible), "keypoints must have shape"),
        ((keypoints, landmarks[..., :1], visible), "landmarks must have shape"),
        ((keypoints[:3], landmarks, visible), "keypoints of 3 images but landmarks of 4"),
        ((nan, landmarks, visible), "keypoints are NaN or infinite in 2 of 4 images"),
        ((keypoints * 256, landmarks, visible), "divide pixels by the image size"),
        ((keypoints, landmarks * 256, visible), "landmarks must be .* divide pixels"),
        ((keypoints, landmarks, visible.astype(int)), "visible must be bool"),
        ((keypoints, landmarks, visible[:, :3]), "visible must be bool of shape"),
        ((keypoints.astype(object), landmarks, visible), "floats, got object"),
        ((keypoints.astype(str), landmarks, visible), "floats, got <U"),
    ]:
        with pytest.raises(InvalidInputError, match=words):
            Detections(*arrays)
    with pytest.raises(InvalidInputError, match="activities must have shape"):
        Detections(keypoints, landmarks, visible, np.array(["a"]))
