"""What frozen networks say of the training images: computed once where it fits, else each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kpbench.nn.images import Draw, sent, take

BUDGET = 2**30
"""Bytes that the outputs of one frozen network may take to be kept; a constant, so that no result
depends on how much memory a machine has."""

_CHUNK = 64


@dataclass(frozen=True)
class Helper:
    """A network that is not trained, and what it says of an image alone.

    Attributes:
        network: frozen; the loss finds it in `Batch.helpers`, on the device of the training.
        says: from float (B, 3, H, W) in [-1, 1] to (B, D), one row an image, each row a function
            of its image alone; the loss finds it by `Batch.said`. None: nothing.
        pixels: uint8 (N, H, W, 3), what it is asked about; the method's own pixels if None.
    """

    network: nn.Module
    says: Callable[[Tensor], Tensor] | None = None
    pixels: Tensor | None = None


class Outputs:
    """What a helper says of the images of a step.

    Where that takes no more than `BUDGET` and each is needed twice or more on average, all are
    computed before the first step, of every image and, if training mirrors, of its mirror image.
    """

    def __init__(
        self,
        says: Callable[[Tensor], Tensor],
        pixels: Tensor,
        device: str,
        *,
        flip: bool,
        draws: int,
    ) -> None:
        """Compute nothing yet.

        Args:
            says: see `Helper`.
            pixels: uint8 (N, H, W, 3), all images.
            device: of the training.
            flip: whether training mirrors.
            draws: how many images all steps take.
        """
        self.says, self.pixels, self.device = says, pixels, device
        self.entries = len(pixels) * (2 if flip else 1)
        self.worthwhile = draws >= 2 * self.entries
        self.known: Tensor | None = None
        self.each_step = says

    def __call__(self, drawn: Draw, images: Callable[[], Tensor]) -> Tensor:
        """Return the (B, D) outputs of the drawn images, without gradient.

        Args:
            drawn: which images.
            images: makes the (B, 3, H, W) batch; called where the outputs are not kept.
        """
        with torch.no_grad():
            if self.worthwhile and self.known is None:
                self._compute()
            if self.known is None:
                outputs: Tensor = self.each_step(images())
                return outputs
            rows = drawn.rows + len(self.pixels) * drawn.flips
            return self.known[sent(rows, self.device)]

    def _compute(self) -> None:
        first = self._output(0, 1)
        if self.entries * first.nbytes > BUDGET:
            self.worthwhile = False
            return
        self.known = first.new_empty(self.entries, first.shape[1])
        for at in range(0, self.entries, _CHUNK):
            stop = min(at + _CHUNK, self.entries)
            self.known[at:stop] = self._output(at, stop)

    def _output(self, start: int, stop: int) -> Tensor:
        """Return the outputs of some entries: all images in order, then their mirror images."""
        entry = torch.arange(start, stop)
        flips = entry >= len(self.pixels)
        drawn = Draw(entry % len(self.pixels), flips, torch.Generator())
        return self.says(take(self.pixels, drawn, self.device))
