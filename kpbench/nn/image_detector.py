"""A detector as it is exported: from pictures as they are stored to keypoints and heatmaps."""

from __future__ import annotations

from torch import Tensor, nn

from kpbench.nn.images import normalised


class ImageDetector(nn.Module):
    """A fitted detector with the normalisation that belongs to it."""

    def __init__(self, detector: nn.Module) -> None:
        """Take the detector of an `api.ExportableMethod`."""
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Find keypoints.

        Args:
            images: (N, S, S, 3) uint8, RGB.

        Returns:
            Keypoints (N, K, 2), (x, y) in [0, 1]; and, if the detector has logits, heatmaps
            (N, K, n, n), each summing to 1.
        """
        found = self.detector(normalised(images))
        if found.logits is None:
            return (found.points,)
        heatmaps = found.logits.flatten(2).softmax(dim=-1).view_as(found.logits)
        return found.points, heatmaps
