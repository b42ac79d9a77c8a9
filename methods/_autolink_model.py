"""AutoLink's two networks and its learnt graph, as one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from kpbench.nn import (
    Detection,
    Detector,
    UNet,
    edge_ends,
    edge_map,
    edge_map_reference,
    initialise,
)
from kpbench.nn.fast import is_plain


class AutoLinkModel(nn.Module):
    """Detector, decoder, edge weights shared by all images, and the scale of the masked image.

    Attributes:
        edge_logits: (E,), before scaling and softplus; softplus(-4) = 0.018 on average at first.
            The scale makes the weights learn that many times faster than the rest under AdamW.
        alpha: (1,), by which the masked image is multiplied; 1 at first.
    """

    def __init__(
        self, n_keypoints: int, *, detector_width: int, decoder_width: int, edge_scale: float
    ) -> None:
        """Build the networks and draw their weights from the global generator."""
        super().__init__()
        self.detector = Detector(n_keypoints, detector_width)
        self.decoder = UNet(4, 3, decoder_width)
        initialise(self)
        n_edges = len(edge_ends(n_keypoints)[0])
        self.edge_scale = edge_scale
        self.edge_logits = nn.Parameter((torch.randn(n_edges) / 10 - 4) / edge_scale)
        self.alpha = nn.Parameter(torch.ones(1))

    def edge_weights(self) -> Tensor:
        """Return the (E,) positive weights."""
        return softplus(self.edge_logits * self.edge_scale)

    def masked(
        self, images: Tensor, visible: Tensor, detection: Detection, thickness: float
    ) -> Tensor:
        """Return what the decoder completes: the masked images and the edges between keypoints.

        Args:
            images: (B, 3, H, W) in [-1, 1].
            visible: (B, 1, H, W), 0 in the holes.
            detection: what the detector found in the whole images.
            thickness: of the edges.

        Returns:
            (B, 4, H, W).
        """
        drawn = edge_map_reference if is_plain() else edge_map
        height, width = images.shape[-2:]
        edges = drawn(detection.points, self.edge_weights(), (height, width), thickness)
        return torch.cat([self.alpha * images * visible, edges], dim=1)

    def reconstruct(
        self, images: Tensor, visible: Tensor, detection: Detection, thickness: float
    ) -> Tensor:
        """Complete the masked images along the edges between their keypoints, see `masked`.

        Returns:
            (B, 3, H, W), meant to lie in [-1, 1].
        """
        completed: Tensor = self.decoder(self.masked(images, visible, detection, thickness))
        return completed
