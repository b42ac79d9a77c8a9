"""Depth maps estimated from RGB, for data sets that have none: models, inference, files.

Only what makes, keeps or loads such maps may enter.
"""

from kpbench.data.depth.models import MODELS, DepthModel
from kpbench.data.depth.store import compute_depth, depth_fingerprint, load_depth

__all__ = ["MODELS", "DepthModel", "compute_depth", "depth_fingerprint", "load_depth"]
