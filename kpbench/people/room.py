"""Rooms and furniture by analytic ray casting: a box seen from inside, and boxes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kpbench.api import Array
from kpbench.people.camera import Camera
from kpbench.people.raster import depth_key, key_index, rectangle_samples
from kpbench.people.sampler import Room
from kpbench.people.texels import look_up

MARGIN = 0.3
"""Metres by which a room is larger than whatever must be in it: the camera and the person."""
_NEAR = 0.05
_BOX_REPEATS = 1.1
_CORRIDOR = 0.75
"""Half width, metres, of the space before the person that furniture leaves free."""
_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])


@dataclass(frozen=True)
class Boxes:
    """Box 0 is the room itself, seen from inside; the others are furniture.

    Attributes:
        centre: (B, M, 3) metres.
        half: (B, M, 3) half sizes.
        turn: (B, M, 2) cosine and sine of the yaw.
        texture: (B, M, 4) of the lower side, the x sides, the y sides and the upper side.
        scale: (B, M, 4) texture repeats a metre.
        present: (B, M) bool.
    """

    centre: Tensor
    half: Tensor
    turn: Tensor
    texture: Tensor
    scale: Tensor
    present: Tensor

    def number(self, image: Tensor, box: Tensor) -> Tensor:
        """Return the place of each image's box in a list of all boxes of all images."""
        return image * self.present.shape[1] + box


def _rows(values: Tensor, number: Tensor) -> Tensor:
    """Return (C, ...) values of the numbered boxes from (B, M, C); planes are fast to gather."""
    planes = values.flatten(0, 1).T.contiguous()
    return planes.index_select(1, number.flatten()).view(len(planes), *number.shape)


def _to_local(turn: Tensor, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, y, z of vectors (3, ...) in axes turned by (2, ...) cosine and sine."""
    cos, sin = turn
    x, y, z = vector
    return cos * x + sin * y, cos * y - sin * x, z


@dataclass(frozen=True)
class RoomSurface:
    """What the camera sees of the rooms; P = size * size samples.

    Attributes:
        depth: (B, P) along the optical axis, metres.
        point: (3, B, P) world position.
        normal: (3, B, P).
        colour: (3, B, P) before lighting.
    """

    depth: Tensor
    point: Tensor
    normal: Tensor
    colour: Tensor


def place_boxes(rooms: Sequence[Room], camera: Camera, extent: Tensor) -> Boxes:
    """Collect rooms, grown until camera and person are inside, without what would hide the person.

    Args:
        rooms: B of them.
        camera: B cameras.
        extent: (B, 3) largest |x|, |y| and z of the person over all moments, metres.
    """
    device = extent.device

    def floats(values: Sequence[Array]) -> Tensor:
        return torch.as_tensor(np.stack(values), dtype=torch.float32, device=device)

    centre, half = floats([r.centres for r in rooms]), floats([r.halves for r in rooms])
    yaw = floats([np.array([r.yaw, *r.yaws]) for r in rooms])
    occluding = torch.tensor([r.occluding for r in rooms], device=device)
    hidden = _before_the_person(centre, half, camera.position) & ~occluding[:, None]
    inner = _room_size(floats([r.size for r in rooms]), yaw[:, 0], camera.position, extent)
    height = inner[:, None, 2:] / 2
    textures = [np.stack([r.textures, *np.tile(r.box_textures, (4, 1)).T]) for r in rooms]
    scales = [np.stack([r.texture_scale, *np.full((len(r.yaws), 4), _BOX_REPEATS)]) for r in rooms]
    return Boxes(
        centre=torch.cat([torch.zeros_like(height).expand(-1, -1, 3) + _up(height), centre], 1),
        half=torch.cat([torch.cat([inner[:, None, :2], height], -1), half], 1),
        turn=torch.stack([torch.cos(yaw), torch.sin(yaw)], -1),
        texture=torch.as_tensor(np.stack(textures), device=device),
        scale=floats(scales),
        present=torch.cat([torch.ones_like(hidden[:, :1]), ~hidden], 1),
    )


def _up(height: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(height), torch.zeros_like(height), height], -1)


def _before_the_person(centre: Tensor, half: Tensor, camera: Tensor) -> Tensor:
    """Tell which boxes stand in the corridor between camera and person."""
    towards = camera[:, None, :2]
    along = (centre[..., :2] * towards).sum(-1) / (towards**2).sum(-1)
    across = (centre[..., :2] - along[..., None] * towards).norm(dim=-1)
    blocking: Tensor = (along > 0.12) & (across < half.amax(-1) + _CORRIDOR)
    return blocking


def _room_size(size: Tensor, yaw: Tensor, camera: Tensor, extent: Tensor) -> Tensor:
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    x = (cos * camera[:, 0] + sin * camera[:, 1]).abs()
    y = (cos * camera[:, 1] - sin * camera[:, 0]).abs()
    reach = extent[:, :2].norm(dim=-1)  # the walls are turned
    needed = torch.stack(
        [
            torch.maximum(x, reach),
            torch.maximum(y, reach),
            torch.maximum(camera[:, 2], extent[:, 2]),
        ],
        dim=-1,
    )
    return torch.maximum(size, needed + MARGIN)


def cast(boxes: Boxes, camera: Camera, size: int, texels: Tensor) -> RoomSurface:
    """Return what the cameras see of the rooms at size x size samples."""
    axis = (torch.arange(size, device=texels.device, dtype=torch.float32) + 0.5) / size
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, -1, 2)
    plane = (grid - camera.centre[:, None]) / camera.focal[:, None, None]
    x, y = plane[..., 0], plane[..., 1]  # (B, P)
    r = camera.rotation[..., None]
    ray = torch.stack([x * r[:, 0, k] + y * r[:, 1, k] + r[:, 2, k] for k in range(3)])
    depth, box = _nearest(boxes, camera, ray, size)
    point = camera.position.T[..., None] + ray * depth
    return _surface(boxes, point, depth, box, texels)


def _nearest(boxes: Boxes, camera: Camera, ray: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return depth and box index (B, P) of the first surface on every ray."""
    images = torch.arange(len(camera.position), device=ray.device)[:, None]
    room = torch.zeros_like(images)
    _, leave = _slabs(boxes, camera, images, room, ray)
    key = depth_key(leave, torch.zeros((), dtype=torch.int64, device=ray.device))
    image, box, low, high = _rectangles(boxes, camera, size)
    owner, column, row = rectangle_samples(low, high)
    image, box, sample = image[owner], box[owner], row * size + column
    enter, leave = _slabs(boxes, camera, image, box, ray[:, image, sample])
    hit = (enter < leave) & (enter > _NEAR)
    place = image[hit] * size * size + sample[hit]
    key = key.flatten().scatter_reduce(0, place, depth_key(enter[hit], box[hit]), "amin")
    depth = (key >> 32).int().view(torch.float32)
    return depth.view(ray.shape[1:]), key_index(key).view(ray.shape[1:])


def _slabs(
    boxes: Boxes, camera: Camera, image: Tensor, box: Tensor, ray: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the depths at which rays (3, ...) enter and leave their boxes."""
    number = boxes.number(image, box)
    turn, half = _rows(boxes.turn, number), _rows(boxes.half, number)
    origin = _to_local(turn, _rows(camera.position[:, None] - boxes.centre, number))
    enters, leaves = [], []
    for o, d, e in zip(origin, _to_local(turn, ray), half, strict=True):
        inverse = 1 / torch.where(d.abs() < 1e-6, 1e-6, d)
        near, wide = -o * inverse, (e * inverse).abs()
        enters.append(near - wide)
        leaves.append(near + wide)
    enter = torch.maximum(torch.maximum(enters[0], enters[1]), enters[2])
    leave = torch.minimum(torch.minimum(leaves[0], leaves[1]), leaves[2])
    return enter, leave


def _rectangles(boxes: Boxes, camera: Camera, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return image, box and bounding rectangle in samples of the furniture in view."""
    signs = torch.as_tensor(_SIGNS, dtype=torch.float32, device=boxes.half.device)
    local = boxes.half[:, 1:, None] * signs  # (B, M - 1, 8, 3)
    cos, sin = (boxes.turn[:, 1:, None, i] for i in range(2))
    turned = [cos * local[..., 0] - sin * local[..., 1], sin * local[..., 0] + cos * local[..., 1]]
    world = torch.stack([*turned, local[..., 2]], -1) + boxes.centre[:, 1:, None]
    seen = camera.project(world.flatten(1, 2)).view(world.shape)
    before = seen[..., 2] > _NEAR
    whole = before.all(-1)[..., None]
    low = torch.where(whole, (seen[..., :2].amin(2) * size - 1).floor(), 0.0).clamp(min=0)
    high = torch.where(whole, (seen[..., :2].amax(2) * size + 1).ceil(), size).clamp(max=size - 1)
    wanted = boxes.present[:, 1:] & before.any(-1) & (high >= low).all(-1)
    image, box = wanted.nonzero(as_tuple=True)
    return image, box + 1, low[image, box].long(), high[image, box].long()


def _surface(
    boxes: Boxes, point: Tensor, depth: Tensor, box: Tensor, texels: Tensor
) -> RoomSurface:
    image = torch.arange(len(box), device=box.device)[:, None].expand_as(box)
    number = boxes.number(image, box)
    turn, half = _rows(boxes.turn, number), _rows(boxes.half, number)
    local = _to_local(turn, point - _rows(boxes.centre, number))
    share = [(p / e).abs() for p, e in zip(local, half, strict=True)]
    on_z = (share[2] >= share[0]) & (share[2] >= share[1])
    on_x = ~on_z & (share[0] >= share[1])
    outward = torch.where(box == 0, -1.0, 1.0)
    side = [torch.sign(p) * outward for p in local]
    cos, sin = turn
    flat_x = torch.where(on_x, side[0], 0.0)
    flat_y = torch.where(on_x | on_z, 0.0, side[1])
    normal = [
        cos * flat_x - sin * flat_y,
        sin * flat_x + cos * flat_y,
        torch.where(on_z, side[2], 0.0),
    ]
    face = torch.where(on_z, torch.where(local[2] > 0, 3, 0), torch.where(on_x, 1, 2))
    side_number = number * 4 + face
    scale = boxes.scale.flatten()[side_number]
    u = torch.where(on_x, local[1], local[0]) * scale
    v = torch.where(on_z, local[1], -local[2]) * scale
    colour = look_up(texels, boxes.texture.flatten()[side_number], u, v)
    return RoomSurface(depth, point, torch.stack(normal), colour)
