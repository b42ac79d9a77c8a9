"""Random smooth warps of images, and where their points go: what equivariance losses need.

kornia 0.9 was tried first. Its affine warp agrees with its points to 1e-7 of the image, but its
thin-plate spline leaves points where they are (off by 0.05), and takes three times as long as this
one. So both kinds are one function here, by which images and points move together.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from kpbench.errors import InvalidInputError
from kpbench.nn.soft_argmax import pixel_centres

_NEWTON = 6
"""Steps in which a point is found whose place is known; they converge quadratically."""
_STEEPEST = 0.16
"""Largest `bend` as a share of the distance between control points: beyond, a warp may fold."""


@dataclass(frozen=True)
class WarpRange:
    """How strong a random warp is.

    Attributes:
        rotation: largest angle in degrees.
        scale: largest factor by which the image grows or shrinks, 1 or more.
        shift: largest translation along x and y, in [0, 1] of the image.
        bend: largest distance by which the control points of the thin-plate spline move along x
            and y, in [0, 1] of the image; 0: the warp is affine.
        controls: control points along a side.

    Raises:
        InvalidInputError: a value outside of its range, or a bend with which a warp may fold.
    """

    rotation: float = 15.0
    scale: float = 1.1
    shift: float = 0.05
    bend: float = 0.03
    controls: int = 5

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (self.scale >= 1 and self.shift >= 0 and self.bend >= 0 and self.controls >= 2):
            raise InvalidInputError(
                "a warp needs scale >= 1, shift >= 0, bend >= 0 and controls >= 2, got "
                f"{self.scale}, {self.shift}, {self.bend} and {self.controls}"
            )
        if self.bend * (self.controls - 1) > _STEEPEST:
            raise InvalidInputError(
                f"a bend of {self.bend} may fold the image: with {self.controls} control points a "
                f"side it is {_STEEPEST / (self.controls - 1):.3g} at most"
            )


class Warp:
    """A thin-plate-spline warp of each image of a batch.

    Points are (x, y) in [0, 1] of the image, pixel i of n has its centre at (i + 0.5) / n. The warp
    is defined by where each place of the warped image comes from (`source`), which is what sampling
    an image needs; `target` is its inverse. Images and points go through the same function, so that
    they agree to rounding, and both are differentiable.

    Bookstein (1989), Principal Warps; the kernel is r^2 log r^2 on a regular grid of control
    points, whose system of equations is solved once and shared by all images.
    """

    def __init__(self, moved: Tensor) -> None:
        """Take where the control points of the warped images come from.

        Args:
            moved: (B, C, C, 2), for the points of a regular grid over [0, 1], rows first.

        Raises:
            InvalidInputError: another shape, or fewer than 2 control points a side.
        """
        if moved.ndim != 4 or moved.shape[1] != moved.shape[2] or moved.shape[1] < 2:
            raise InvalidInputError(
                f"a warp takes (B, C, C, 2) control points with C >= 2, got {tuple(moved.shape)}"
            )
        self.controls = moved.shape[1]
        targets = moved.flatten(1, 2)
        solve = _system(self.controls, targets.dtype, targets.device)
        self.coefficients = solve @ targets
        """(B, C * C + 3, 2): weights of the kernel, then the affine part."""

    @classmethod
    def random(
        cls,
        batch: int,
        strength: WarpRange,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Warp:
        """Draw a warp for each of `batch` images; drawn on the CPU, whatever the device."""
        uniform = 2 * torch.rand(batch, 4, generator=generator) - 1
        angle = math.radians(strength.rotation) * uniform[:, 0]
        size = strength.scale ** uniform[:, 1]
        cosine, sine = angle.cos() / size, angle.sin() / size
        turn = torch.stack([cosine, -sine, sine, cosine], -1).view(batch, 2, 2)
        grid = _control_points(strength.controls, torch.float32, torch.device("cpu"))
        moved = (grid - 0.5) @ turn.mT + 0.5 + strength.shift * uniform[:, None, 2:]
        if strength.bend:
            moved = moved + strength.bend * (2 * torch.rand(moved.shape, generator=generator) - 1)
        side = strength.controls
        return cls(moved.view(batch, side, side, 2).to(device))

    def source(self, points: Tensor) -> Tensor:
        """Return where points (B, K, 2) of the warped images come from in the images."""
        comes: Tensor = _features(points, self.controls) @ self.coefficients.to(points.dtype)
        return comes

    def target(self, points: Tensor) -> Tensor:
        """Return where points (B, K, 2) of the images go in the warped images.

        Found by Newton's method; the last step carries the gradient, which is that of the inverse.
        """
        with torch.no_grad():
            known = points.double()
            affine = self.coefficients.double()[:, -3:]
            found = (known - affine[:, :1]) @ _inverted(affine[:, 1:])
            for _ in range(_NEWTON):
                found = found - self._correction(found, known)
            inverse = _inverted(self._slope(found)).to(points.dtype)
        step: Tensor = inverse @ (points - points.detach())[..., None]
        return found.to(points.dtype) + step[..., 0]

    def _correction(self, found: Tensor, known: Tensor) -> Tensor:
        correction: Tensor = _inverted(self._slope(found)) @ (self.source(found) - known)[..., None]
        return correction[..., 0]

    def _slope(self, points: Tensor) -> Tensor:
        """Return (B, K, 2, 2), the derivative of `source`: [..., i, j] = d source_i / d x_j."""
        slopes = _feature_slopes(points, self.controls)
        return torch.einsum("bkfj,bfi->bkij", slopes, self.coefficients.to(points.dtype))

    def images(self, images: Tensor, mode: str = "bilinear") -> Tensor:
        """Return the warped images; places outside of an image repeat its border.

        Args:
            images: (B, C, H, W).
            mode: of `torch.nn.functional.grid_sample`: "bilinear" or "nearest".
        """
        height, width = images.shape[-2:]
        places = self.source(_pixels(height, width, images.device).to(images.dtype))
        grid = (2 * places - 1).view(len(places), height, width, 2)
        return grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


class Warped(NamedTuple):
    """A warped copy of a batch.

    Attributes:
        images: (B, 3, H, W), warped, and jittered if asked for.
        warp: maps points: `warp.target(points)` says where points of the images went.
    """

    images: Tensor
    warp: Warp


@dataclass(frozen=True)
class ColourRange:
    """How strongly colours vary; each factor is drawn for each image.

    Attributes:
        brightness: factor from 1 - brightness to 1 + brightness.
        contrast: likewise, about the mean grey of the image.
        saturation: likewise, about the grey of each pixel.
        hue: largest turn of the colour circle, as a share of it, up to 0.5.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.05


def jittered(images: Tensor, strength: ColourRange, generator: torch.Generator) -> Tensor:
    """Return images with other colours: brightness, contrast, saturation and hue, in this order.

    The first three are torchvision's operations with a factor for each image; hue turns chroma in
    the YIQ plane, a linear map, where torchvision goes by way of HSV.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        strength: how strongly.
        generator: on the CPU.

    Returns:
        The same shape, clipped to [-1, 1].
    """
    ranges = (strength.brightness, strength.contrast, strength.saturation, strength.hue)
    drawn = 2 * torch.rand(4, len(images), generator=generator) - 1
    factors = (drawn * torch.tensor(ranges)[:, None]).to(images.device, images.dtype)
    brightness, contrast, saturation, hue = factors[..., None, None, None]
    grey = images.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    x = ((images / 2 + 0.5) * (1 + brightness)).clamp(0, 1)
    mean = (x * grey).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    x = (mean + (1 + contrast) * (x - mean)).clamp(0, 1)
    luma = (x * grey).sum(1, keepdim=True)
    x = (luma + (1 + saturation) * (x - luma)).clamp(0, 1)
    turned = torch.einsum("bij,bjhw->bihw", _hue(2 * math.pi * hue.flatten()), x)
    return 2 * turned.clamp(0, 1) - 1


def _hue(angle: Tensor) -> Tensor:
    """Return (B, 3, 3) matrices that turn the chroma of RGB by angles (B,)."""
    to_yiq = angle.new_tensor(
        [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
    )
    turn = torch.zeros(len(angle), 3, 3, dtype=angle.dtype, device=angle.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    matrices: Tensor = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return matrices


def _inverted(matrices: Tensor) -> Tensor:
    """Return the inverses of (..., 2, 2) matrices; `torch.linalg` takes ten times as long."""
    a, b, c, d = matrices.flatten(-2).unbind(-1)
    adjugate = torch.stack([d, -b, -c, a], -1).view_as(matrices)
    inverses: Tensor = adjugate / (a * d - b * c)[..., None, None]
    return inverses


def _pixels(height: int, width: int, device: torch.device) -> Tensor:
    """Return the (1, H * W, 2) centres of pixels."""
    like = torch.zeros((), device=device)
    y, x = (pixel_centres(n, like) for n in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(1, -1, 2)


def _control_points(controls: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    side = torch.linspace(0, 1, controls, dtype=dtype, device=device)
    return torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).view(-1, 2)


def _features(points: Tensor, controls: int) -> Tensor:
    """Return (B, K, C * C + 3): the kernel at each control point, then 1, x and y."""
    at = _control_points(controls, points.dtype, points.device)
    squared = (points[..., None, :] - at).square().sum(-1)
    kernel = squared * torch.where(squared > 0, squared, 1).log()
    return torch.cat([kernel, torch.ones_like(points[..., :1]), points], -1)


def _feature_slopes(points: Tensor, controls: int) -> Tensor:
    """Return (B, K, C * C + 3, 2), the derivatives of `_features` by x and y."""
    apart = points[..., None, :] - _control_points(controls, points.dtype, points.device)
    squared = apart.square().sum(-1, keepdim=True)
    log = torch.where(squared > 0, squared, 1).log()
    kernel = torch.where(squared > 0, 2 * apart * (log + 1), 0)
    affine = points.new_tensor([[0, 0], [1, 0], [0, 1]]).expand(*points.shape[:-1], 3, 2)
    return torch.cat([kernel, affine], -2)


@functools.lru_cache(maxsize=8)
def _system(controls: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (C * C + 3, C * C) matrix from places of the control points to coefficients."""
    at = _control_points(controls, torch.float64, torch.device("cpu"))
    n = len(at)
    left = torch.zeros(n + 3, n + 3, dtype=torch.float64)
    left[:n] = _features(at[None], controls)[0]
    left[n:, :n] = left[:n, n:].T
    system: Tensor = torch.linalg.inv(left)
    return system[:, :n].to(device, dtype)
