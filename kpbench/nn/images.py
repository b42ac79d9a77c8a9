"""Images as tensors that stay on the device, and the draws of one training step."""

from __future__ import annotations

import functools
import mmap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kpbench.api import Array

_CHUNK = 256
_CPU_BATCH, _GPU_BATCH = 2**17, 2**23
"""Pixels that a detector looks at together: measured on a CPU, bounded by memory on a GPU."""

IN_MEMORY = 4 * 2**30
"""Bytes: packed images that take more stay in their file, and a step reads its rows alone."""
TWICE = 2**26
"""Bytes: images in memory that take more are not held twice."""


def resized(images: Array, size: int) -> Tensor:
    """Return uint8 images (N, H, W, 3) as a uint8 tensor (N, size, size, 3), never to be written.

    Other sizes are resampled bilinearly with antialiasing; an image that is not square is squashed,
    which points in [0, 1] do not notice. Many images of the right size are not copied, nor are
    those that would fill the memory.
    """
    if images.shape[1:3] == (size, size):
        if images.nbytes <= (IN_MEMORY if _is_mapped(images) else TWICE):
            return torch.from_numpy(np.array(images))
        with warnings.catch_warnings():
            # the tensor is never written to
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(images))
    made = torch.empty((len(images), size, size, 3), dtype=torch.uint8)
    for at in range(0, len(images), _CHUNK):
        x = torch.from_numpy(np.array(images[at : at + _CHUNK])).permute(0, 3, 1, 2).float()
        x = interpolate(x, size=(size, size), mode="bilinear", antialias=True)
        x = x.round().clamp(0, 255).to(torch.uint8)
        made[at : at + _CHUNK] = x.permute(0, 2, 3, 1)
    return made


def _is_mapped(images: Array) -> bool:
    """Return whether an array is a view of a file."""
    owner: object = images
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    return isinstance(owner, np.memmap | mmap.mmap)


def normalised(pixels: Tensor) -> Tensor:
    """Map uint8 (B, H, W, 3) to float (B, 3, H, W) in [-1, 1]; mid-grey is 0."""
    return pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def device_batches(images: Array, size: int, device: str) -> Iterator[Tensor]:
    """Yield float (B, 3, size, size) batches in [-1, 1] on `device`, in order.

    As many at a time as stay in a core's cache, or fill a GPU; they travel as uint8.
    """
    batch = max(1, (_CPU_BATCH if device == "cpu" else _GPU_BATCH) // size**2)
    for at in range(0, len(images), batch):
        yield normalised(sent(resized(images[at : at + batch], size), device))


@dataclass(frozen=True)
class Draw:
    """What is random in one step.

    Attributes:
        rows: (B,) indices of the images.
        flips: (B,) bool, which of them are mirrored.
        generator: for whatever else the step draws, on the CPU.
    """

    rows: Tensor
    flips: Tensor
    generator: torch.Generator


def draw(n_images: int, batch_size: int, *, flip: bool, seed: int, step: int) -> Draw:
    """Return the draws of one step, a function of `seed` and `step` alone.

    So a resumed training equals an uninterrupted one without any generator state on disk. Every
    epoch visits the images in a new order and drops the rest that does not fill a batch.
    """
    batch_size = min(batch_size, n_images)
    epoch, at = divmod(step, n_images // batch_size)
    generator = _generator(seed, 1, step)
    rows = _order(n_images, seed, epoch)[at * batch_size : (at + 1) * batch_size]
    flips = torch.rand(len(rows), generator=generator) < (0.5 if flip else 0.0)
    return Draw(rows, flips, generator)


@functools.lru_cache(maxsize=2)
def _order(n_images: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n_images, generator=_generator(seed, 0, epoch))


def _generator(*key: int) -> torch.Generator:
    state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def placed(pixels: Tensor, device: str) -> Tensor:
    """Return the images on the device, or as they are when they would fill it.

    "Fill" is more than half of what a GPU has free; `take` then brings single batches there.
    """
    if device == "cuda" and pixels.nbytes > torch.cuda.mem_get_info()[0] // 2:
        return pixels
    return pixels.to(device)


def sent(tensor: Tensor, device: str | torch.device) -> Tensor:
    """Return a CPU tensor on the device, without waiting for what a GPU is busy with."""
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def drawn_rows(of: Tensor, drawn: Draw, device: str | torch.device) -> Tensor:
    """Return the drawn rows of a tensor on the device, not yet mirrored."""
    if of.device.type == "cpu":
        return sent(of[drawn.rows], device)
    return of[sent(drawn.rows, of.device)]


def take(pixels: Tensor, drawn: Draw, device: str | torch.device) -> Tensor:
    """Return drawn images of a uint8 tensor (N, H, W, 3) as float (B, 3, H, W) in [-1, 1]."""
    batch = drawn_rows(pixels, drawn, device)
    mirrored = sent(drawn.flips, device)[:, None, None, None]
    return normalised(torch.where(mirrored, batch.flip(2), batch))
