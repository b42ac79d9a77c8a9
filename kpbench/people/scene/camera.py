"""Pinhole cameras that frame a person as a bounding-box crop does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LOWEST_CAMERA = 0.1
"""Metres above the floor."""


@dataclass(frozen=True)
class Camera:
    """B pinhole cameras; image coordinates are (x, y) in [0, 1], y down.

    Attributes:
        position: (B, 3) metres.
        rotation: (B, 3, 3), rows: right, down, forward.
        focal: (B,) focal length in image widths.
        centre: (B, 2) principal point in [0, 1] (the framing may put it outside).
    """

    position: Tensor
    rotation: Tensor
    focal: Tensor
    centre: Tensor

    def to_camera(self, points: Tensor) -> Tensor:
        """Return (B, M, 3) world points in camera axes: right, down, forward; metres."""
        return rotate(self.rotation, points - self.position[:, None])

    def project(self, points: Tensor) -> Tensor:
        """Return (B, M, 3): x and y in [0, 1] of the image, and depth along the optical axis."""
        seen = self.to_camera(points).mT
        xy = seen[:, :2] / seen[:, 2:] * self.focal[:, None, None] + self.centre[..., None]
        return torch.cat([xy, seen[:, 2:]], dim=1).mT

    def rays(self, xy: Tensor) -> Tensor:
        """Return (B, M, 3) rays in camera axes with forward component 1, through (B, M, 2)."""
        plane = (xy - self.centre[:, None]) / self.focal[:, None, None]
        return torch.cat([plane, torch.ones_like(plane[..., :1])], dim=-1)


def rotate(matrix: Tensor, points: Tensor) -> Tensor:
    """Return matrix @ point for (B, 3, 3) and (B, M, 3), without a reduced-precision product."""
    x, y, z = points.mT[:, None].unbind(2)  # planes, wherever the points lie in memory
    rotated = x * matrix[:, :, 0, None]
    rotated += y * matrix[:, :, 1, None]
    rotated += z * matrix[:, :, 2, None]
    return rotated.mT


def axes_looking_along(forward: Tensor, roll: Tensor) -> Tensor:
    """Return (B, 3, 3) rows right, down, forward for unit directions (B, 3) and rolls (radians)."""
    up = torch.zeros_like(forward)
    up[:, 2] = 1
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    cos, sin = torch.cos(roll)[:, None], torch.sin(roll)[:, None]
    return torch.stack([right * cos + down * sin, down * cos - right * sin, forward], dim=1)


def framing_camera(
    points: Tensor,
    *,
    azimuth: Tensor,
    elevation: Tensor,
    roll: Tensor,
    field_of_view: Tensor,
    fill: Tensor,
    offset: Tensor,
    position: Tensor | None = None,
) -> Camera:
    """Place cameras around people and frame them, as a crop around the person does.

    The distance follows from the field of view where no position is given; focal length and
    principal point are then set so that the longer side of the projected bounding box takes `fill`
    of the image, and the box lies in it.

    Args:
        points: (B, M, 3) everything to be framed (all moments of a sequence); the first moment
            stands on the floor at the origin.
        azimuth: (B,) direction of the camera from the person, radians.
        elevation: (B,) angle of the camera above the horizon, radians.
        roll: (B,) about the optical axis, radians.
        field_of_view: (B,) radians.
        fill: (B,) share of the image.
        offset: (B, 2) of the box's centre from the image's centre, in image sizes; as much of it
            as leaves the box in the image.
        position: (B, 3) of cameras that stand somewhere, metres.
    """
    level = torch.cos(elevation)
    forward = -torch.stack(
        [torch.cos(azimuth) * level, torch.sin(azimuth) * level, torch.sin(elevation)], dim=-1
    )
    if position is None:
        position = _from_afar(points, forward, field_of_view, fill)
    rotation = axes_looking_along(forward, roll)
    seen = rotate(rotation, points - position[:, None]).mT
    plane = seen[:, :2] / seen[:, 2:]
    low, high = plane.amin(2), plane.amax(2)
    focal = fill / (high - low).amax(-1)
    slack = (1 - (high - low) * focal[:, None]) / 2
    shift = torch.maximum(torch.minimum(offset, slack), -slack)
    centre = 0.5 + shift - (low + high) / 2 * focal[:, None]
    return Camera(position, rotation, focal, centre)


def _from_afar(points: Tensor, forward: Tensor, field_of_view: Tensor, fill: Tensor) -> Tensor:
    """Return (B, 3) positions from which the points, seen along `forward`, take `fill`."""
    middle = torch.zeros_like(points[:, 0])
    middle[:, 2] = points[..., 2].amax(1) / 2
    away = torch.empty_like(points, memory_format=torch.contiguous_format)
    # rows in memory: the norm of planes rounds otherwise and takes ten times as long
    radius = torch.sub(points, middle[:, None], out=away).norm(dim=-1).amax(1)
    distance = radius / (fill * torch.tan(field_of_view / 2)) + 0.2 * radius
    position: Tensor = middle - forward * distance[:, None]
    position[:, 2].clamp_(min=LOWEST_CAMERA)
    return position
