"""Sun with a shadow map, sky, and a weak light at the camera."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kpbench.people.camera import axes_looking_along, rotate
from kpbench.people.raster import rasterize

SHADOW_SIZE = 192
_BIAS = 0.03
"""Metres by which a surface may lie behind the shadow map and still be lit."""
_DISTANCE = 10.0
"""Metres from the person to the sun's image plane. So far away that interpolating 1 / depth, as
for a pinhole, equals orthographic depth to a few micrometres on triangles of centimetres."""


@dataclass(frozen=True)
class Lights:
    """B rows each: direction to the sun (unit), colour of the sun, colour of the sky."""

    direction: Tensor
    sun: Tensor
    ambient: Tensor


@dataclass(frozen=True)
class ShadowMap:
    """Depth of the people as the sun sees them.

    Attributes:
        depth: (B, SHADOW_SIZE, SHADOW_SIZE), infinite where nobody is.
        centre: (B, 3) world point in the middle of the map.
        axes: (B, 3, 3) rows: right, down, away from the sun.
        scale: (B,) samples a metre.
    """

    depth: Tensor
    centre: Tensor
    axes: Tensor
    scale: Tensor

    def lit(self, image: Tensor, point: Tensor) -> Tensor:
        """Return the lit share (n,) of points (3, n) of the given images, 0 to 1.

        Bilinear mean over the four nearest samples of the map.
        """
        share = torch.ones_like(point[0])
        x, y, z = self._position(image, point)
        near = (x > -1) & (x < SHADOW_SIZE) & (y > -1) & (y < SHADOW_SIZE)
        inside = near.nonzero(as_tuple=True)
        image, x, y, z = image.expand_as(near)[inside], x[inside], y[inside], z[inside]
        left, top = x.floor(), y.floor()
        total = torch.zeros_like(x)
        padded = torch.nn.functional.pad(self.depth, (1, 1, 1, 1), value=torch.inf)
        for down in (0, 1):
            for right in (0, 1):
                column, row = left.long() + right + 1, top.long() + down + 1
                lit = padded[image, row, column] > z - _BIAS
                weight = (1 - (left + right - x).abs()) * (1 - (top + down - y).abs())
                total = total + lit * weight
        share[inside] = total
        return share

    def _position(self, image: Tensor, point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        away = point - self.centre[image].movedim(-1, 0)
        axes = self.axes[image].movedim(-1, 0).movedim(-1, 0)  # (row, column, ...)
        x, y, z = ((axis * away).sum(0) for axis in axes)
        scale = self.scale[image]
        middle = SHADOW_SIZE / 2 - 0.5
        return x * scale + middle, y * scale + middle, z + _DISTANCE


def shadow_map(surface: Tensor, faces: Tensor, lights: Lights) -> ShadowMap:
    """Rasterise bodies (B, V, 3) from the sun."""
    batch, size = len(surface), SHADOW_SIZE
    axes = axes_looking_along(-lights.direction, torch.zeros_like(lights.direction[:, 0]))
    centre = surface.mean(1)
    seen = rotate(axes, surface - centre[:, None])
    scale = (size / 2) / (seen[..., :2].abs().amax((1, 2)) * 1.05)
    screen = torch.cat(
        [seen[..., :2] * scale[:, None, None] + size / 2, seen[..., 2:] + _DISTANCE], dim=-1
    )
    found = rasterize(screen, faces, size)
    depth = torch.full((batch, size * size), torch.inf, device=surface.device)
    depth[found.image, found.sample] = found.depth
    return ShadowMap(depth.view(batch, size, size), centre, axes, scale)


def shade_room(colour: Tensor, normal: Tensor, lit: Tensor, lights: Lights) -> Tensor:
    """Return lit colours (3, B, P) of the room from albedo, normals and lit share (B, P)."""
    facing = sum(normal[k] * lights.direction[:, k, None] for k in range(3))
    assert isinstance(facing, Tensor)
    sky = (0.75 + 0.25 * normal[2]) * 1.35
    sun = (0.9 * facing.clamp(min=0) + 0.1) * (0.25 + 0.75 * lit)
    ambient, direct = lights.ambient.T[..., None], lights.sun.T[..., None]
    return colour * (ambient * sky + direct * sun)


def shade_body(
    colour: Tensor, normal: Tensor, view: Tensor, lit: Tensor, image: Tensor, lights: Lights
) -> Tensor:
    """Return lit colours (3, n) of the body.

    Args:
        colour: (3, n) albedo.
        normal: (3, n) unit normals.
        view: (B, 3) direction in which each camera looks.
        lit: (n,) lit share.
        image: (n,) index in the batch.
        lights: B of them.
    """
    facing = (normal * lights.direction[image].T).sum(0).clamp(min=0)
    headlight = -(normal * view[image].T).sum(0).clamp(max=0)
    sun = facing * (0.3 + 0.7 * lit) + 0.22 * headlight
    sky = 0.75 + 0.25 * normal[2]
    return colour * (lights.ambient[image].T * sky + lights.sun[image].T * sun)
