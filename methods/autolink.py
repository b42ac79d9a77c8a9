"""AutoLink: keypoints as the ends of the edges that best complete a masked image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, softplus

from kpbench import (
    Array,
    Batch,
    Decay,
    FitContext,
    Helper,
    ImageSet,
    Method,
    NetworkMethod,
    Optimiser,
    TorchMethod,
)
from kpbench.errors import TrainingError
from kpbench.nn import (
    Detection,
    Detector,
    PerceptualLoss,
    UNet,
    edge_ends,
    edge_map,
    initialise,
    random_grid_mask,
)

PAPER = {
    "human36m": {"thickness": 5e-5, "flip": False},
    "human36m_background": {"thickness": 5e-5, "flip": True},
    "deepfashion": {"thickness": 5e-5, "flip": False},
    "taichi": {"thickness": 5e-4, "flip": True},
    "celeba_wild": {"thickness": 2.5e-3, "flip": True},
    "cub": {"thickness": 5e-2, "flip": False},
}
"""What AutoLink was trained with, at the K of the protocols.

Mirroring is that of its loaders, which mirror Human3.6M with background and not without. Thickness
is that of its checkpoints of celeba_wild (K = 8), taichi (10) and CUB (4); for human36m and
deepfashion (16), of which there are none, that of Distill-DKP section 4.2. More keypoints want
thinner edges: at K = 16 and 32 celeba_wild has 1e-3 and 7.5e-4, at K = 32 human36m 7.5e-5. Aligned
CelebA and CUB, and any other role, have the defaults of its command line: it has no loader."""

QUICK = {
    "image_size": 64,
    "completed_size": 32,
    "detector_width": 16,
    "decoder_width": 8,
    "batch_size": 16,
    "steps": 1000,
    "learning_rate": 4e-3,
    "warm_up": 50,
    "decay": "cosine",
    "mask_ratio": 0.8,
    "mask_cells": 8,
    "thickness": 3e-3,
    "edge_start": -2.0,
    "edge_scale": 100.0,
    "backbone": "efficientnet_lite0",
}
"""Three minutes on a CPU core. The detector sees 64 pixels, so that its heatmaps have 16 x 16
cells; half of that is completed, where most of a step's cost lies. Edges start at softplus(-2) =
0.13, so that they matter from the first steps; the rate is forty times the paper's at first.

Chosen on validation images, seed 0, default evaluators. A rate of 2e-3 does the same on
`people_background` (4.65 % after 800 steps, 4.63 with this rate after 1,000) and does not begin on
`people_taichi` (695 px and edge weights below 0.1; with this rate 545). A decoder half as wide
takes 0.85 of the time and has 5.21 % on `people_background` after 800 steps."""

_LARGER = {"image_size": 96, "completed_size": 48, "mask_cells": 12, "thickness": 1.5e-3}
STANDARD = {**QUICK, **_LARGER, "steps": 2000}
"""Ten minutes on a CPU core: heatmaps of 24 x 24 cells, edges half as thick. Chosen on validation
images of `people_background`, seed 0, default evaluator: 3.97 % after 1,650 steps (513 s); with the
pictures of `quick` 4.35 after 3,700 steps (609 s), and 4.39 after 1,850 steps with networks half as
wide again (545 s)."""

SMOKE = {
    "image_size": 32,
    "detector_width": 4,
    "decoder_width": 4,
    "batch_size": 4,
    "steps": 3,
    "learning_rate": 1e-3,
    "thickness": 5e-3,
    "backbone": "random",
}
"""A few steps of a tiny net, to exercise the code."""

RECIPES = {"quick": QUICK, "standard": STANDARD, "smoke": SMOKE}


class AutoLinkNetwork(nn.Module):
    """Detector, decoder, edge weights shared by all images, and the scale of the masked image.

    Attributes:
        edge_logits: (E,), before scaling and softplus. The scale makes the weights learn that many
            times faster than the rest under AdamW.
        alpha: (1,), by which the masked image is multiplied; 1 at first.
    """

    def __init__(
        self,
        n_keypoints: int,
        *,
        detector_width: int,
        decoder_width: int,
        edge_start: float,
        edge_scale: float,
    ) -> None:
        """Build the networks and draw their weights."""
        super().__init__()
        self.detector = Detector(n_keypoints, detector_width)
        self.decoder = UNet(4, 3, decoder_width)
        initialise(self)
        n_edges = len(edge_ends(n_keypoints)[0])
        self.edge_scale = edge_scale
        self.edge_logits = nn.Parameter((torch.randn(n_edges) / 10 + edge_start) / edge_scale)
        self.alpha = nn.Parameter(torch.ones(1))

    def edge_weights(self) -> Tensor:
        """Return the (E,) positive weights, in the order of `edge_ends`."""
        return softplus(self.edge_logits * self.edge_scale)

    def complete(
        self, images: Tensor, visible: Tensor, found: Detection, thickness: float
    ) -> Tensor:
        """Complete masked images along the edges between their keypoints.

        Args:
            images: (B, 3, H, W) in [-1, 1].
            visible: (B, 1, H, W), 0 in the holes.
            found: what the detector found in the whole images.
            thickness: of the edges.

        Returns:
            (B, 3, H, W), meant to lie in [-1, 1].
        """
        edges = edge_map(found.points, self.edge_weights(), _size(images), thickness)
        completed: Tensor = self.decoder(torch.cat([self.alpha * images * visible, edges], dim=1))
        return completed


def check_sizes(method: NetworkMethod, n_keypoints: int) -> None:
    """Reject what the networks cannot be built with.

    Raises:
        TrainingError: says which parameter, and what it must be.
    """
    if n_keypoints < 2:
        raise TrainingError(f"{method.name} needs K of 2 or more, got {n_keypoints}")
    rules: dict[str, tuple[str, Callable[[float], bool]]] = {
        "image_size": ("a positive multiple of 16", lambda v: v > 0 and v % 16 == 0),
        "completed_size": ("0 or a multiple of 16", lambda v: v >= 0 and v % 16 == 0),
        "detector_width": ("at least 1", lambda v: v >= 1),
        "decoder_width": ("at least 1", lambda v: v >= 1),
        "thickness": ("positive", lambda v: v > 0),
        "edge_scale": ("positive", lambda v: v > 0),
        "mask_ratio": ("in [0, 1]", lambda v: 0 <= v <= 1),
        "mask_cells": ("at least 1", lambda v: v >= 1),
    }
    for name, value in method.params().items():
        wanted, holds = rules.get(name, ("", lambda _: True))
        if not holds(value):
            raise TrainingError(f"{method.name}: {name} must be {wanted}, got {value}")


@dataclass
class AutoLink(TorchMethod):
    """AutoLink on RGB (He, Wandt, Rhodin, NeurIPS 2022).

    A detector places K keypoints in the whole image; the complete graph on them, with edge weights
    that all images share, is drawn as one edge map; a U-Net completes the image of which 80 % is
    hidden, given that map; the perceptual loss of the completion trains everything. Whatever
    helps to complete the object ends up under a keypoint or an edge.

    Attributes:
        detector_width: channels after the first block of the detector.
        decoder_width: channels after the first convolution of the U-Net.
        completed_size: side in pixels of the image that is completed; 0: `image_size`.
        warm_up: steps in which the learning rate grows to its highest.
        decay: of the learning rate after that: `constant`, or `cosine` to 0.
        thickness: of the edges, in the papers' units (see `kpbench.nn.edge_map`).
        mask_ratio: share of hidden cells.
        mask_cells: cells along a side.
        edge_start: mean of the edge weights before softplus at first; softplus(-4) = 0.018.
        edge_scale: by how much faster the edge weights learn.
        backbone: of the perceptual loss (see `kpbench.nn.PerceptualLoss`).
    """

    name = "autolink"
    paper = "He et al. 2022, AutoLink, NeurIPS"
    roles = PAPER
    recipes = RECIPES
    told_by = "head.bias"

    detector_width: int = 64
    decoder_width: int = 64
    batch_size: int = 64
    steps: int = 20_001
    learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    completed_size: int = 0
    warm_up: int = 0
    decay: str = "constant"
    thickness: float = 1e-3
    mask_ratio: float = 0.8
    mask_cells: int = 16
    edge_start: float = -4.0
    edge_scale: float = 512.0
    backbone: str = "vgg16"

    def check(self, n_keypoints: int) -> None:
        """Reject parameters with which the networks cannot be built; see `check_sizes`."""
        check_sizes(self, n_keypoints)

    def network(self, n_keypoints: int) -> AutoLinkNetwork:
        """Return the untrained networks and their graph."""
        return AutoLinkNetwork(
            n_keypoints,
            detector_width=self.detector_width,
            decoder_width=self.decoder_width,
            edge_start=self.edge_start,
            edge_scale=self.edge_scale,
        )

    def optimiser(self) -> Optimiser:
        """Return AdamW, as AutoLink's code has it."""
        decay = Decay(self.decay, warm_up=self.warm_up)  # type: ignore[arg-type]  # checked there
        return Optimiser("adamw", self.learning_rate, self.weight_decay, decay=decay)

    def helpers(
        self, images: ImageSet, *, n_keypoints: int, context: FitContext
    ) -> Mapping[str, Helper]:
        """Return the perceptual loss; what it wants of a whole image is asked once."""
        perceptual = PerceptualLoss(self.backbone)

        def wanted(pictures: Tensor) -> Tensor:
            return perceptual.wanted(self.to_complete(pictures))

        return {"perceptual": Helper(perceptual, says=wanted)}

    def loss(self, network: AutoLinkNetwork, batch: Batch) -> Tensor:
        """Return the perceptual loss of the completed images."""
        return self.completion(network, batch, network.detector(batch.images))

    def completion(self, network: AutoLinkNetwork, batch: Batch, found: Detection) -> Tensor:
        """Return the perceptual loss of images completed between the keypoints that were found."""
        images = self.to_complete(batch.images)
        visible = random_grid_mask(
            len(batch),
            _size(images),
            cells=self.mask_cells,
            ratio=self.mask_ratio,
            generator=batch.generator,
            device=batch.images.device,
        )
        completed = network.complete(images, visible, found, self.thickness)
        distance: Tensor = batch.helpers["perceptual"](completed, batch.said("perceptual"))
        return distance

    def to_complete(self, images: Tensor) -> Tensor:
        """Return images (B, 3, S, S) at the size at which they are completed."""
        size = self.completed_size or self.image_size
        return images if size == self.image_size else adaptive_avg_pool2d(images, size)

    def predictor(self, network: AutoLinkNetwork) -> Detector:
        """Return the detector, which keeps the edge weights as a buffer."""
        detector = network.detector
        detector.register_buffer("edge_weights", network.edge_weights().detach())
        return detector

    def keypoints(self, network: Detector, images: Tensor) -> Detection:
        """Detect keypoints in the whole, unmasked images."""
        found: Detection = network(images)
        return found

    def graph(self, network: Detector) -> Array:
        """Return the edge weights as a matrix."""
        weights = network.get_buffer("edge_weights").cpu().numpy()
        k = network.head.out_channels
        graph = np.zeros((k, k))
        graph[np.triu_indices(k, 1)] = weights
        return graph + graph.T


def _size(images: Tensor) -> tuple[int, int]:
    height, width = images.shape[-2:]
    return height, width


PLUGIN: Method = AutoLink()
