"""Differentiable parts that methods share, and what makes networks fast.

Only what several methods use may enter; what one method is made of lies in its own file.
"""

from kpbench.nn.decoder import UNet
from kpbench.nn.detector import Detection, Detector, initialise
from kpbench.nn.edge_map.edges import edge_map
from kpbench.nn.edge_map.segments import edge_ends
from kpbench.nn.fast import for_prediction
from kpbench.nn.features import feature_maps
from kpbench.nn.masking import random_grid_mask
from kpbench.nn.perceptual import BACKBONES, PerceptualLoss
from kpbench.nn.soft_argmax import centres_of_mass, soft_argmax

__all__ = [
    "BACKBONES",
    "Detection",
    "Detector",
    "PerceptualLoss",
    "UNet",
    "centres_of_mass",
    "edge_ends",
    "edge_map",
    "feature_maps",
    "for_prediction",
    "initialise",
    "random_grid_mask",
    "soft_argmax",
]
