"""Benchmark and evaluate unsupervised keypoint methods."""

from kpbench.api import (
    EvaluationProtocol,
    FitContext,
    ImageSet,
    Keypoints,
    Labelled,
    Method,
    MethodBase,
    Splits,
)

__version__ = "0.1.0"
__all__ = [
    "EvaluationProtocol",
    "FitContext",
    "ImageSet",
    "Keypoints",
    "Labelled",
    "Method",
    "MethodBase",
    "Splits",
]
