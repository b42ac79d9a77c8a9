"""Rooms and furniture by analytic ray casting: a box seen from inside, and boxes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kpbench.api import Array
from kpbench.people.picture.raster import depth_key, key_depth, key_index, rectangle_samples
from kpbench.people.picture.texels import look_up
from kpbench.people.scene.camera import Camera
from kpbench.people.scene.places import flat, marked
from kpbench.people.scene.sampler import Room

MARGIN = 0.3
"""Metres by which a room is larger than whatever must be in it: the camera and the person."""
HANGING = 0.05
"""Metres: what is thinner hangs on a wall, and never stands before a person."""
_NEAR = 0.05
_BOX_REPEATS = 1.1
_CORRIDOR = 0.75
"""Half width, metres, of the space before the person that furniture leaves free."""
_SIDE = [1, 1, 2, 2, 0, 3]
"""Column of `Boxes.texture` and `Boxes.scale` for the faces -x, +x, -y, +y, -z and +z."""
_OUTWARD = np.kron(np.eye(3), [-1, 1])
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


def _rows(values: Tensor, number: Tensor) -> Tensor:
    """Return (C, ...) values of the numbered boxes from (B, M, C); planes are fast to gather."""
    planes = values.flatten(0, 1).T.contiguous()
    return planes.index_select(1, number.flatten()).view(len(planes), *number.shape)


def _to_local(turn: Tensor, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, y, z of vectors (3, ...) in axes turned by (2, ...) cosine and sine."""
    cos, sin = turn
    x, y, z = vector
    return (cos * x).add_(sin * y), (cos * y).sub_(sin * x), z


@dataclass(frozen=True)
class RoomSurface:
    """What the camera sees of the rooms; P = size * size samples.

    Attributes:
        depth: (B, P) along the optical axis, metres.
        point: (3, B, P) world position.
        face: (B, P) which face it is: place in the (B, F) faces of all rooms, flattened.
        normal: (3, B, F) of the faces.
        colour: (3, B, P) before lighting.
    """

    depth: Tensor
    point: Tensor
    face: Tensor
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
    hanging = half.amin(-1) < HANGING  # whose wall may have been moved away
    unwanted = ~occluding[:, None] | hanging
    hidden = _before_the_person(centre, half, camera.position) & unwanted
    middle, inner = _walls(
        floats([r.size for r in rooms]),
        floats([r.middle for r in rooms]),
        yaw[:, 0],
        camera.position,
        extent,
    )
    textures = [np.stack([r.textures, *np.tile(r.box_textures, (4, 1)).T]) for r in rooms]
    scales = [np.stack([r.texture_scale, *np.full((len(r.yaws), 4), _BOX_REPEATS)]) for r in rooms]
    return Boxes(
        centre=torch.cat([middle[:, None], centre], 1),
        half=torch.cat([inner[:, None], half], 1),
        turn=torch.stack([torch.cos(yaw), torch.sin(yaw)], -1),
        texture=torch.as_tensor(np.stack(textures), device=device),
        scale=floats(scales),
        present=torch.cat([torch.ones_like(hidden[:, :1]), ~hidden], 1),
    )


def _before_the_person(centre: Tensor, half: Tensor, camera: Tensor) -> Tensor:
    """Tell which boxes stand in the corridor between camera and person."""
    towards = camera[:, None, :2]
    along = (centre[..., :2] * towards).sum(-1) / (towards**2).sum(-1)
    across = (centre[..., :2] - along[..., None] * towards).norm(dim=-1)
    blocking: Tensor = (along > 0.12) & (across < half.amax(-1) + _CORRIDOR)
    return blocking


def _walls(
    size: Tensor, middle: Tensor, yaw: Tensor, camera: Tensor, extent: Tensor
) -> tuple[Tensor, Tensor]:
    """Return middle and half sizes (B, 3) of rooms whose walls were moved out where they must be.

    Args:
        size: (B, 3) half length, half width and height.
        middle: (B, 2).
        yaw: (B,) of the walls.
        camera: (B, 3), which must be inside.
        extent: (B, 3) largest |x|, |y| and z of the person, who must be inside.
    """
    cos, sin = torch.cos(yaw), torch.sin(yaw)

    def along_walls(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([cos * x + sin * y, cos * y - sin * x], -1)

    here, seen_from = along_walls(*middle.T), along_walls(camera[:, 0], camera[:, 1])
    reach = extent[:, :2].norm(dim=-1, keepdim=True)  # the walls are turned
    low = torch.minimum(here - size[:, :2], torch.minimum(seen_from, -reach) - MARGIN)
    high = torch.maximum(here + size[:, :2], torch.maximum(seen_from, reach) + MARGIN)
    height = torch.maximum(size[:, 2], torch.maximum(camera[:, 2], extent[:, 2]) + MARGIN)
    x, y = ((low + high) / 2).T
    centre = torch.stack([cos * x - sin * y, sin * x + cos * y, height / 2], -1)
    return centre, torch.cat([(high - low) / 2, height[:, None] / 2], -1)


@dataclass(frozen=True)
class RoomView:
    """Where the rays through P = size * size samples meet the rooms.

    Attributes:
        ray: (3, B, P) world direction, of forward component 1.
        depth: (B, P) along the optical axis, metres.
        box: (B, P) which box it is.
    """

    ray: Tensor
    depth: Tensor
    box: Tensor


def look(boxes: Boxes, camera: Camera, size: int) -> RoomView:
    """Return where the cameras' rays meet the rooms, at size x size samples."""
    ray = _rays(camera, size)
    batch, device = len(camera.position), ray.device
    number = torch.arange(batch, device=device) * boxes.present.shape[1]
    _, leave = _slabs(boxes, camera, number[:, None], ray)
    key = depth_key(leave.flatten(), torch.zeros((), dtype=torch.int64, device=device))
    image, box, low, high = _rectangles(boxes, camera, size)
    owner, column, row = rectangle_samples(low, high)
    sample = row.mul_(size).add_(column).long()
    number = (image * boxes.present.shape[1] + box).index_select(0, owner)
    place = flat(image.index_select(0, owner), batch, sample, size * size)
    enter, leave = _slabs(boxes, camera, number, ray.flatten(1).index_select(1, place))
    hit = marked((enter < leave) & (enter > _NEAR))
    found = depth_key(enter.index_select(0, hit), box.index_select(0, owner.index_select(0, hit)))
    key.scatter_reduce_(0, place.index_select(0, hit), found, "amin")
    return RoomView(ray, key_depth(key).view(batch, -1), key_index(key).view(batch, -1))


def _rays(camera: Camera, size: int) -> Tensor:
    axis = (torch.arange(size, device=camera.focal.device, dtype=torch.float32) + 0.5) / size
    x, y = ((axis - camera.centre[:, k, None]) / camera.focal[:, None] for k in range(2))
    rotation = camera.rotation.movedim(-1, 0)[..., None]  # (world axis, B, camera axis, 1)
    across = (x * rotation[:, :, 0])[:, :, None]
    down = (y * rotation[:, :, 1])[..., None]
    return (across + down).flatten(2).add_(rotation[:, :, 2])


def _slabs(boxes: Boxes, camera: Camera, number: Tensor, ray: Tensor) -> tuple[Tensor, Tensor]:
    """Return the depths at which rays (3, ...) enter and leave their boxes, numbered (...)."""
    turn, half = _rows(boxes.turn, number), _rows(boxes.half, number)
    origin = _to_local(turn, _rows(camera.position[:, None] - boxes.centre, number))
    enter = leave = None
    for o, d, e in zip(origin, _to_local(turn, ray), half, strict=True):
        inverse = 1 / d.masked_fill(d.abs() < 1e-6, 1e-6)
        near, wide = -o * inverse, inverse.mul_(e).abs_()
        first, last = near - wide, near.add_(wide)
        enter = first if enter is None else torch.maximum(enter, first, out=enter)
        leave = last if leave is None else torch.minimum(leave, last, out=leave)
    assert enter is not None and leave is not None
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
    return image, box + 1, low[image, box].T, high[image, box].T


def paint(boxes: Boxes, camera: Camera, seen: RoomView, texels: Tensor) -> RoomSurface:
    """Return position, face and colour of what is seen of the rooms."""
    batch, m = boxes.present.shape
    point = camera.position.T[..., None] + seen.ray * seen.depth
    image = torch.arange(batch, device=texels.device)[:, None]
    number = flat(image, batch, seen.box, m)
    parts = (boxes.centre, boxes.half, boxes.turn)
    centre, half, turn = (_rows(values, number) for values in parts)
    local = _to_local(turn, point - centre)
    share = [(p / e).abs_() for p, e in zip(local, half, strict=True)]
    on_z = share[2] >= torch.maximum(share[0], share[1])
    on_x = (share[0] >= share[1]).logical_and_(~on_z)
    across = torch.where(on_z, local[2], torch.where(on_x, local[0], local[1]))
    # the faces of a box: -x, +x, -y, +y, -z, +z
    on_y = ~(on_x | on_z)
    face = on_z.byte() * 4 + on_y.byte() * 2 + (across > 0).byte()
    face = number * 6 + face
    scale = _rows(boxes.scale[..., _SIDE].flatten(1)[..., None], face)[0]
    u = torch.where(on_x, local[1], local[0]).mul_(scale)
    v = torch.where(on_z, local[1], -local[2]).mul_(scale)
    texture = _rows(boxes.texture[..., _SIDE].flatten(1)[..., None], face)[0]
    colour = look_up(texels, texture, u, v)
    return RoomSurface(seen.depth, point, face, _normals(boxes), colour)


def _normals(boxes: Boxes) -> Tensor:
    """Return (3, B, 6 M) normals of all faces, into the room."""
    cos, sin = (boxes.turn[..., k, None] for k in range(2))
    x, y, z = torch.as_tensor(_OUTWARD, dtype=torch.float32, device=cos.device)
    normal = torch.stack([cos * x - sin * y, sin * x + cos * y, z.expand(*cos.shape[:2], 6)])
    normal[:, :, 0].neg_()
    return normal.flatten(2)
