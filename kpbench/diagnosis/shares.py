"""What a record keeps as `diagnostics`: shares that say how a score came about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kpbench.contracts.types import Keypoints, Labelled
from kpbench.diagnosis.camera_code import camera_code
from kpbench.diagnosis.coverage import joint_coverage
from kpbench.diagnosis.edges import edge_share
from kpbench.diagnosis.foreground import object_share


def shares(found: Keypoints, labelled: Labelled, extremities: Sequence[int]) -> dict[str, float]:
    """Return the shares by name, in [0, 1]; one that is undefined is left out.

    - `joint_coverage`: of joints with a keypoint near them (`coverage`);
    - `extremity_coverage`: the same of extremities alone;
    - `object_share`: of the image that the object fills, which random points hit (`foreground`);
    - `camera_code`, `camera_code_1`, `camera_code_3`: of the keypoints' variance that four clusters
      and one or three directions explain (`camera_code`);
    - `edge_share`: of keypoints that touch a strong edge (`edges`).

    Args:
        found: keypoints of the test images.
        labelled: these images.
        extremities: which landmarks are extremities, by their places.
    """
    points, visible = np.asarray(found.points), labelled.visible
    ends = np.asarray(extremities, int)
    named = {
        "joint_coverage": joint_coverage(points, labelled.landmarks, visible),
        "extremity_coverage": joint_coverage(points, labelled.landmarks[:, ends], visible[:, ends]),
        "object_share": object_share(labelled.images.mask),
        **camera_code(points),
        "edge_share": edge_share(found),
    }
    return {name: share for name, share in named.items() if share is not None}
