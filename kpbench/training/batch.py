"""What a loss sees in one step: a batch of images, its signals, and what frozen networks say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from kpbench.api import Array, ImageSet
from kpbench.errors import InvalidInputError
from kpbench.nn.images import Draw, draw, drawn_rows, placed, resized, sent, take
from kpbench.nn.warp import ColourRange, Warp, Warped, WarpRange, jittered
from kpbench.training.frozen import Helper, Outputs


class Batch:
    """The images of one step, on the device, all mirrored alike; the rest is made when asked for.

    Attributes:
        generator: what the loss draws from: a function of seed and step, on the CPU.
        helpers: the frozen networks of `TorchMethod.helpers`, by name.
    """

    def __init__(self, data: Data, drawn: Draw) -> None:
        """Take what to draw from, and what was drawn."""
        self._data, self._drawn = data, drawn
        self.generator = drawn.generator
        self.helpers: Mapping[str, nn.Module] = {
            name: helper.network for name, helper in data.helpers.items()
        }

    def __len__(self) -> int:
        """Number of images."""
        return len(self._drawn.rows)

    @cached_property
    def images(self) -> Tensor:
        """(B, 3, S, S) float in [-1, 1], what `TorchMethod.pixels` returned."""
        return take(self._data.pixels, self._drawn, self._data.device)

    @cached_property
    def frames(self) -> Tensor:
        """(B, 3, S, S) float in [-1, 1], the other moment of each pair."""
        return take(self._data.signal("frames"), self._drawn, self._data.device)

    @cached_property
    def depth(self) -> Tensor:
        """(B, 1, S, S) float, metres along the optical axis, 0 = no surface."""
        return self._map("depth")

    @cached_property
    def mask(self) -> Tensor:
        """(B, 1, S, S) float, 1 on the object, else 0."""
        return self._map("mask")

    def said(self, helper: str) -> Tensor:
        """Return what a helper says of these images: (B, D), without gradient.

        It is asked once an image, before the first step, where memory allows.
        """
        outputs = self._data.outputs[helper]
        return outputs(self._drawn, lambda: self._seen_by(outputs.pixels))

    def warped(
        self,
        images: Tensor | None = None,
        *,
        warp: WarpRange | None = None,
        colours: ColourRange | None = None,
    ) -> Warped:
        """Return copies under a random warp each, with other colours if asked for.

        Args:
            images: (B, C, S, S); the batch's own if not given.
            warp: how strong; the defaults of `WarpRange` if not given.
            colours: how strongly colours vary; not at all if not given.
        """
        images = self.images if images is None else images
        moved = Warp.random(len(images), warp or WarpRange(), self.generator, images.device)
        copies = moved.images(images)
        if colours is not None:
            copies = jittered(copies, colours, self.generator)
        return Warped(copies, moved)

    def _map(self, name: str) -> Tensor:
        maps = drawn_rows(self._data.signal(name), self._drawn, self._data.device)
        mirrored = sent(self._drawn.flips, self._data.device)[:, None, None]
        return torch.where(mirrored, maps.flip(2), maps)[:, None]

    def _seen_by(self, pixels: Tensor) -> Tensor:
        if pixels is self._data.pixels:
            return self.images
        return take(pixels, self._drawn, self._data.device)


@dataclass
class Data:
    """What batches are drawn from: images on the device, signals, frozen networks.

    Attributes:
        images: all that the method may see.
        pixels: uint8 (N, S, S, 3), what its network looks at.
        helpers: by name, on the device.
        device: of the training.
        batch_size: images a step; all where there are fewer.
        flip: mirror each image with probability one half.
        seed: of everything that is drawn.
        steps: of the training.
    """

    images: ImageSet
    pixels: Tensor
    helpers: Mapping[str, Helper]
    device: str
    batch_size: int
    flip: bool
    seed: int
    steps: int

    def __post_init__(self) -> None:
        """Bring the images to the device."""
        self.pixels = placed(self.pixels, self.device)
        self._signals: dict[str, Tensor] = {}
        draws = self.steps * min(self.batch_size, len(self.images))
        self.outputs = {
            name: Outputs(
                helper.says, self._pixels_of(helper), self.device, flip=self.flip, draws=draws
            )
            for name, helper in self.helpers.items()
            if helper.says is not None
        }

    def __deepcopy__(self, memo: object) -> Data:
        """Return itself: averaging weights copies all that trains, and images need no copy."""
        return self

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0; a function of seed and step alone."""
        drawn = draw(len(self.images), self.batch_size, flip=self.flip, seed=self.seed, step=step)
        return Batch(self, drawn)

    def signal(self, name: str) -> Tensor:
        """Return a signal of all images at the size of the network: uint8 frames, float maps.

        Raises:
            InvalidInputError: the method did not name the signal in `needs`.
        """
        if name not in self._signals:
            found = getattr(self.images, name)
            if found is None:
                raise InvalidInputError(f"the batch has no {name}: name it in the method's `needs`")
            size = self.pixels.shape[1]
            makers: dict[str, Callable[[], Tensor]] = {
                "frames": lambda: resized(found, size),
                "depth": lambda: _nearest(found.astype(np.float32) / 1000, size),
                "mask": lambda: _nearest(found.astype(np.float32), size),
            }
            self._signals[name] = placed(makers[name](), self.device)
        return self._signals[name]

    def _pixels_of(self, helper: Helper) -> Tensor:
        return self.pixels if helper.pixels is None else placed(helper.pixels, self.device)


def _nearest(maps: Array, size: int) -> Tensor:
    """Return (N, size, size) of (N, H, W): depth and masks have no values between theirs."""
    maps_ = torch.from_numpy(maps)
    if maps_.shape[1:] == (size, size):
        return maps_
    return interpolate(maps_[:, None], size=(size, size), mode="nearest-exact")[:, 0]
