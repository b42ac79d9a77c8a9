"""The baked asset: one npz with the body model and the motion clips. Origin and licences: NOTICE.

Body: 12,935 vertices, 25,620 faces, 38 bones and 14 extra points whose rest positions are a mean
plus 10 principal components of shape. Axes: metres, z up, the person faces -y, their left is +x.
Motion: 1,810 frames of 20 clips, 43 numbers a frame (see `motion`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from kpbench.api import Array

ASSET = Path(__file__).with_name("body_mini.npz")


@dataclass(frozen=True)
class BodyData:
    """The body model as it is stored, decoded to float32 and int64.

    Rows of `mean` and `components` are the V surface vertices, then the P extra points, then the
    heads of the N bones; skin weights cover the first V + P rows.

    Attributes:
        mean: (V + P + N, 3) rest positions of the mean shape, metres.
        components: (10, V + P + N, 3) metres per standard deviation.
        coefficients: (600, 10) shapes of random adults, in standard deviations.
        faces: (F, 3) vertex indices, counter-clockwise when seen from outside.
        skin: (V + P, N) weights, rows sum to 1.
        parents: (N,) bone index of the parent, -1 for the root; parents come first.
        bones: names of the N bones.
        points: names of the P extra points.
        segment: (V,) body segment of a vertex, 0 to 12 (see `clothes`).
        segment_weights: (V, 13) smooth membership in the segments, 0 to 1.
    """

    mean: Array
    components: Array
    coefficients: Array
    faces: Array
    skin: Array
    parents: Array
    bones: tuple[str, ...]
    points: tuple[str, ...]
    segment: Array
    segment_weights: Array

    @property
    def n_vertices(self) -> int:
        """V, the number of surface vertices."""
        return len(self.segment)


@cache
def asset_sha256() -> str:
    """Return the sha256 of the asset file; part of every fingerprint."""
    return hashlib.sha256(ASSET.read_bytes()).hexdigest()


@cache
def load_body() -> BodyData:
    """Decode the body model."""
    with np.load(ASSET) as z:
        skin = np.zeros((len(z["skin_w"]), len(z["bones"])), np.float32)
        weights = z["skin_w"].astype(np.float32)
        np.add.at(skin, (np.arange(len(skin))[:, None], z["skin_idx"]), weights)
        scale = z["comp_scale"][:, None, None] / 127
        return BodyData(
            mean=z["mean"].astype(np.float32),
            components=z["comp"].astype(np.float32) * scale,
            coefficients=z["coef"].astype(np.float32),
            faces=z["faces"].astype(np.int64),
            skin=skin / skin.sum(axis=1, keepdims=True),
            parents=z["parents"].astype(np.int64),
            bones=tuple(str(name) for name in z["bones"]),
            points=tuple(str(name) for name in z["kp"]),
            segment=z["seg"].astype(np.int64),
            segment_weights=z["segw"].astype(np.float32) / 255,
        )


@cache
def load_clips() -> dict[str, Array]:
    """Return the motion clips by name, each (frames, 43) float64."""
    with np.load(ASSET) as z:
        ends = np.cumsum(z["clip_len"].astype(np.int64))[:-1]
        clips = np.split(z["frames"].astype(np.float64), ends)
        return {str(name): clip for name, clip in zip(z["clip_name"], clips, strict=True)}
