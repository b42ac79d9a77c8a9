"""A z-buffer in plain torch: deterministic on CPU and CUDA, for many small triangles.

A sample (pixel) i of n has its centre at (i + 0.5) / n. Depth is compared as float32 bits joined
with the face index, and the smallest wins by an integer minimum, so that no order of execution
changes the result. Everything is kept as planes (one tensor a coordinate): a CPU gathers them by
`index_select` several times as fast as rows or by advanced indexing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from kpbench.people.scene.places import flat, marked

NEAREST = 1e-3
"""Triangles nearer to the camera than this, in metres, are dropped."""
_EMPTY = torch.iinfo(torch.int64).max
_FACE_BITS = 0xFFFFFFFF


@dataclass(frozen=True)
class Fragments:
    """The n samples covered by a surface, in no particular order.

    Attributes:
        image: (n,) index in the batch.
        sample: (n,) row * size + column.
        place: (n,) image * size * size + sample.
        face: (n,) the nearest face.
        corners: (3, n) its vertex indices.
        weights: (3, n) perspective-correct barycentric weights.
        depth: (n,) along the optical axis, metres.
    """

    image: Tensor
    sample: Tensor
    place: Tensor
    face: Tensor
    corners: Tensor
    weights: Tensor
    depth: Tensor

    def interpolate(self, values: Tensor) -> Tensor:
        """Return (C, n) values at the surface from (B, V, C) values at the vertices."""
        batch, vertices, channels = values.shape
        planes = values.movedim(-1, 0).reshape(channels, -1)
        found = None
        for corner, weight in zip(self.corners, self.weights, strict=True):
            place = corner if batch == 1 else self.image * vertices + corner
            term = planes.index_select(1, place).mul_(weight)
            found = term if found is None else found.add_(term)
        assert found is not None
        return found

    def where(self, keep: Tensor) -> Fragments:
        """Return the fragments where the (n,) bool `keep` is set."""
        place = marked(keep)
        taken = (getattr(self, field.name).index_select(-1, place) for field in fields(self))
        return Fragments(*taken)


def depth_key(depth: Tensor, index: Tensor) -> Tensor:
    """Return int64 keys that sort by positive float32 depth, then by index."""
    return (depth.contiguous().view(torch.int32).long() << 32) | index


def key_index(key: Tensor) -> Tensor:
    """Return the index inside keys of `depth_key`."""
    return key & _FACE_BITS


def key_depth(key: Tensor) -> Tensor:
    """Return the depth inside keys of `depth_key`."""
    return (key >> 32).int().view(torch.float32)


def rectangle_samples(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """List the samples of M rectangles in images of at most 4096 x 4096 samples.

    Args:
        low: (2, M) float32 first column and row of each.
        high: (2, M) float32 last column and row, inclusive, at least `low`.

    Returns:
        For each sample: the index of its rectangle, and its column and row as float32.
    """
    # float32 throughout: below 2^24 its division and floor are those of the integers, and faster
    width = high[0] - low[0] + 1
    area = (width * (high[1] - low[1] + 1)).long()
    owner = torch.repeat_interleave(area)
    first = area.cumsum(0) - area
    place = torch.arange(len(owner), device=low.device)
    within = place.sub_(first.index_select(0, owner)).float()
    across = width.index_select(0, owner)
    down = (within / across).floor_()
    column = within.sub_(across.mul_(down)).add_(low[0].index_select(0, owner))
    return owner, column, down.add_(low[1].index_select(0, owner))


@dataclass(frozen=True)
class _Hits:
    """The n samples inside of triangles, several a sample: as `Fragments`, and where they lie."""

    image: Tensor
    sample: Tensor
    place: Tensor
    face: Tensor
    weights: Tensor
    depth: Tensor


@dataclass(frozen=True)
class _Triangles:
    """The M front faces that can cover a sample.

    Attributes:
        image: (M,) index in the batch.
        face: (M,).
        start: (2, M) first corner, in samples.
        sides: (4, M) x and y of the second corner from the first, then of the third.
        area: (M,) twice the area, negative.
        depth: (3, M) of the corners, metres.
        low: (2, M) first column and row that it can cover.
        high: (2, M) last column and row.
    """

    image: Tensor
    face: Tensor
    start: Tensor
    sides: Tensor
    area: Tensor
    depth: Tensor
    low: Tensor
    high: Tensor


def _triangles(screen: Tensor, faces: Tensor, size: int) -> _Triangles:
    planes = screen.mT.flatten(0, 1).index_select(1, faces.T.flatten())
    x, y, z = planes.view(len(screen), 3, 3, -1).permute(1, 2, 0, 3)  # each (3, B, F)
    ax, ay, bx, by = x[1] - x[0], y[1] - y[0], x[2] - x[0], y[2] - y[0]
    area = ax * by - ay * bx
    left, right = (_lowest(x) - 0.5).ceil_(), (_highest(x) - 0.5).floor_()
    top, bottom = (_lowest(y) - 0.5).ceil_(), (_highest(y) - 0.5).floor_()
    left, top = left.clamp_(min=0), top.clamp_(min=0)
    right, bottom = right.clamp_(max=size - 1), bottom.clamp_(max=size - 1)
    # minima: one comparison of the least of several numbers is faster than several comparisons
    front = torch.minimum(-area, _lowest(z) - NEAREST) > 0
    front &= torch.minimum(right - left, bottom - top) >= 0
    found = marked(front.flatten())

    def pick(*values: Tensor) -> Tensor:
        return torch.stack([value.flatten().index_select(0, found) for value in values])

    image = torch.div(found, len(faces), rounding_mode="floor")
    return _Triangles(
        image=image,
        face=found - image * len(faces),
        start=pick(x[0], y[0]),
        sides=pick(ax, ay, bx, by),
        area=pick(area)[0],
        depth=pick(*z),
        low=pick(left, top),
        high=pick(right, bottom),
    )


def _lowest(corners: Tensor) -> Tensor:
    return torch.minimum(torch.minimum(corners[0], corners[1]), corners[2])


def _highest(corners: Tensor) -> Tensor:
    return torch.maximum(torch.maximum(corners[0], corners[1]), corners[2])


def _hits(screen: Tensor, faces: Tensor, size: int) -> _Hits:
    """Return every sample that lies inside of a triangle, with its weights and depth."""
    seen = _triangles(screen, faces, size)
    owner, column, row = rectangle_samples(seen.low, seen.high)
    start, sides = (values.index_select(1, owner) for values in (seen.start, seen.sides))
    dx, dy = column + 0.5 - start[0], row + 0.5 - start[1]
    (ax, ay, bx, by), area = sides, seen.area.index_select(0, owner)
    second = (dx * by - dy * bx).div_(area)
    third = (ax * dy - ay * dx).div_(area)
    first = 1 - second - third
    inside = marked(torch.minimum(torch.minimum(first, second), third) >= 0)
    owner = owner.index_select(0, inside)
    corner = seen.depth.index_select(1, owner)
    weights = torch.stack([plane.index_select(0, inside) for plane in (first, second, third)])
    weights /= corner
    depth = 1 / (weights[0] + weights[1] + weights[2])
    sample = row.mul_(size).add_(column).index_select(0, inside).long()
    image = seen.image.index_select(0, owner)
    return _Hits(
        image=image,
        sample=sample,
        place=flat(image, len(screen), sample, size * size),
        face=seen.face.index_select(0, owner),
        weights=weights.mul_(depth),
        depth=depth,
    )


def rasterize(screen: Tensor, faces: Tensor, size: int) -> Fragments:
    """Find the nearest front face at every sample.

    Args:
        screen: (B, V, 3) x and y in samples (0 to size), and depth > 0 in metres.
        faces: (F, 3) vertex indices; a front face has negative area in x right, y down.
        size: samples along each side.
    """
    found = _hits(screen, faces, size)
    key = depth_key(found.depth, found.face)
    buffer = torch.full((len(screen) * size * size,), _EMPTY, device=screen.device)
    buffer.scatter_reduce_(0, found.place, key, "amin")
    nearest = marked(buffer.index_select(0, found.place) == key)
    face = found.face.index_select(0, nearest)
    return Fragments(
        image=found.image.index_select(0, nearest),
        sample=found.sample.index_select(0, nearest),
        place=found.place.index_select(0, nearest),
        face=face,
        corners=torch.stack([corner.index_select(0, face) for corner in faces.T]),
        weights=found.weights.index_select(1, nearest),
        depth=found.depth.index_select(0, nearest),
    )


def depth_map(screen: Tensor, faces: Tensor, size: int) -> Tensor:
    """Return (B, size * size) depth of the nearest front face, infinite where there is none."""
    found = _hits(screen, faces, size)
    depth = torch.full((len(screen) * size * size,), torch.inf, device=screen.device)
    return depth.scatter_reduce_(0, found.place, found.depth, "amin").view(len(screen), -1)
