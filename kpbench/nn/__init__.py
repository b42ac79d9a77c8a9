"""Differentiable parts that methods share."""

from kpbench.nn.decoder import UNet
from kpbench.nn.detector import Detection, Detector, frozen_detector, initialise
from kpbench.nn.edge_map.edges import edge_map
from kpbench.nn.edge_map.reference import edge_ends, edge_map_reference
from kpbench.nn.masking import random_grid_mask
from kpbench.nn.perceptual import BACKBONES, PerceptualLoss
from kpbench.nn.soft_argmax import soft_argmax

__all__ = [
    "BACKBONES",
    "Detection",
    "Detector",
    "PerceptualLoss",
    "UNet",
    "edge_ends",
    "edge_map",
    "edge_map_reference",
    "frozen_detector",
    "initialise",
    "random_grid_mask",
    "soft_argmax",
]
