"""Sun with a shadow map, sky, and a weak light at the camera."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kpbench.people.picture.raster import depth_map
from kpbench.people.scene.camera import axes_looking_along, rotate
from kpbench.people.scene.places import flat, marked, of_image

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

    def lit(self, image: Tensor | None, point: Tensor) -> Tensor:
        """Return the lit share (n,) of points (3, n) of the given images, 0 to 1.

        Bilinear mean over the four nearest samples of the map. Without images, the points are
        (3, B, P), P of each of the B images, and so is the share (B, P).
        """
        share = torch.ones_like(point[0])
        x, y, z = self._position(image, point)
        inside = (torch.minimum(x, y) > -1) & (torch.maximum(x, y) < SHADOW_SIZE)
        near = marked(inside.flatten())
        x, y, z = (values.flatten().index_select(0, near) for values in (x, y, z))
        if image is None:
            image = torch.div(near, point.shape[-1], rounding_mode="floor")
        else:
            image = image.index_select(0, near)
        left, top = x.floor(), y.floor()
        padded = torch.nn.functional.pad(self.depth, (1, 1, 1, 1), value=torch.inf)
        side = SHADOW_SIZE + 2
        corner = (top.long() + 1).mul_(side).add_(left.long()).add_(1)
        corner = flat(image, len(padded), corner, side * side)
        across = [1 - (left + right - x).abs_() for right in (0, 1)]
        behind, total = z - _BIAS, torch.zeros_like(x)
        for down in (0, 1):
            along = 1 - (top + down - y).abs_()
            for right in (0, 1):
                seen = padded.flatten().index_select(0, corner + (down * side + right))
                total += across[right] * along * (seen > behind)
        share.view(-1).index_copy_(0, near, total)
        return share

    def _position(self, image: Tensor | None, point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        away = point - of_image(self.centre, image)
        axes = of_image(self.axes, image)  # (row, column, n)
        x, y, z = (axis[0] * away[0] + axis[1] * away[1] + axis[2] * away[2] for axis in axes)
        scale = of_image(self.scale, image)
        middle = SHADOW_SIZE / 2 - 0.5
        return x * scale + middle, y * scale + middle, z + _DISTANCE


def shadow_map(surface: Tensor, centre: Tensor, faces: Tensor, lights: Lights) -> ShadowMap:
    """Rasterise bodies (B, V, 3) around (B, 3) centres from the sun."""
    size = SHADOW_SIZE
    axes = axes_looking_along(-lights.direction, torch.zeros_like(lights.direction[:, 0]))
    seen = rotate(axes, surface - centre[:, None]).mT
    scale = (size / 2) / (seen[:, :2].abs().amax((1, 2)) * 1.05)
    screen = torch.cat(
        [seen[:, :2] * scale[:, None, None] + size / 2, seen[:, 2:] + _DISTANCE], dim=1
    )
    depth = depth_map(screen.mT, faces, size)
    return ShadowMap(depth.view(-1, size, size), centre, axes, scale)


def shade_room(colour: Tensor, normal: Tensor, face: Tensor, lit: Tensor, lights: Lights) -> Tensor:
    """Return lit colours (3, B, P) of rooms.

    Args:
        colour: (3, B, P) albedo.
        normal: (3, B, F) unit normals of the flat faces of B rooms.
        face: (B, P) which face it is, counted over all rooms.
        lit: (B, P) lit share.
        lights: B of them.
    """
    facing = sum(normal[k] * lights.direction[:, k, None] for k in range(3))
    assert isinstance(facing, Tensor)
    sky = of_image(lights.ambient, None) * ((0.75 + 0.25 * normal[2]) * 1.35)
    straight = 0.9 * facing.clamp(min=0) + 0.1
    place = face.flatten()
    sun = straight.flatten().index_select(0, place).view(face.shape)
    sun *= 0.25 + 0.75 * lit
    shaded = of_image(lights.sun, None) * sun
    return shaded.add_(sky.flatten(1).index_select(1, place).view(colour.shape)).mul_(colour)


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
    facing = (normal * of_image(lights.direction, image)).sum(0).clamp(min=0)
    headlight = -(normal * of_image(view, image)).sum(0).clamp(max=0)
    sun = facing * (0.3 + 0.7 * lit) + 0.22 * headlight
    sky = 0.75 + 0.25 * normal[2]
    ambient, direct = of_image(lights.ambient, image), of_image(lights.sun, image)
    return colour * (ambient * sky + direct * sun)
