"""The body model: shape by principal components, pose by linear blend skinning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kpbench.people.body.assets import load_body
from kpbench.people.body.skeleton import JOINTS

_BONE_OF = {
    "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "shoulder": "upperarm01",
    "elbow": "lowerarm01", "wrist": "wrist", "clavicle": "clavicle",
}  # fmt: skip
_CENTRAL_BONE = {"spine": "spine02", "thorax": "neck01", "spine_low": "spine04"}


@dataclass(frozen=True)
class RestBody:
    """Bodies in their rest pose.

    Coordinates lie plane by plane in memory (x of all vertices, then y, then z), here and in
    `PosedBody`: three times as fast to gather and to compute with.

    Attributes:
        surface: (B, V, 3) vertices, metres.
        points: (B, P, 3) extra points that move with the skin.
        heads: (B, N, 3) heads of the bones.
    """

    surface: Tensor
    points: Tensor
    heads: Tensor


@dataclass(frozen=True)
class PosedBody:
    """Bodies in a pose.

    Attributes:
        surface: (B, V, 3) vertices, metres; z up.
        joints: (B, 32, 3) in the order of `skeleton.JOINTS`.
    """

    surface: Tensor
    joints: Tensor


class BodyModel:
    """The baked body on one device.

    Args:
        device: where its tensors live.
    """

    def __init__(self, device: torch.device) -> None:
        """Decode the asset."""
        data = load_body()
        self.data = data
        # float64: exact enough that no matrix-product setting (TF32, thread count) shows in a pixel
        self._mean = torch.as_tensor(data.mean, dtype=torch.float64, device=device)
        flat = torch.as_tensor(data.components, dtype=torch.float64, device=device)
        self._components = flat.flatten(1)
        self._skin = torch.as_tensor(data.skin, dtype=torch.float64, device=device)
        self._corners = torch.as_tensor(data.faces, device=device).T.contiguous()
        self.faces = self._corners.T
        self.segment = torch.as_tensor(data.segment, device=device)
        self.segment_weights = torch.as_tensor(data.segment_weights, device=device)
        self._incident = _incident_faces(self.faces, data.n_vertices)
        self.bones = {name: i for i, name in enumerate(data.bones)}

    def shape(self, coefficients: Tensor) -> RestBody:
        """Return rest bodies for (B, 10) coefficients, in standard deviations."""
        offsets = (coefficients.double() @ self._components).view(-1, *self._mean.shape)
        rows = (self._mean + offsets).mT.contiguous().mT
        v, p = self.data.n_vertices, len(self.data.points)
        return RestBody(rows[:, :v], rows[:, v : v + p], rows[:, v + p :])

    def pose(self, rest: RestBody, rotations: Tensor) -> PosedBody:
        """Turn every bone and carry the skin along.

        Linear blend skinning: v = sum_b w_b (R_b (v_rest - h_b) + p_b), where h_b is the head of
        bone b at rest and p_b its head when posed.

        Args:
            rest: B bodies.
            rotations: (B, N, 3, 3) world rotation of each bone from its rest orientation.
        """
        rotations = rotations.double()
        heads = self._posed_heads(rest.heads, rotations)
        shift = heads - (rotations @ rest.heads[..., None])[..., 0]
        transform = torch.cat([rotations, shift[..., None]], dim=-1)
        blend = transform.flatten(2).mT.reshape(-1, len(self.bones)) @ self._skin.T
        blend = blend.float().view(len(heads), 3, 4, -1)
        v = self.data.n_vertices
        surface = _blended(blend[..., :v], rest.surface)
        points = _blended(blend[..., v:], rest.points)
        return PosedBody(surface, self._joints(heads.float(), points))

    def vertex_normals(self, surface: Tensor) -> Tensor:
        """Return unit normals (B, V, 3): face normals weighted by area, in a fixed order."""
        planes = surface.mT.flatten(0, 1)
        a, b, c = (planes.index_select(1, corner) for corner in self._corners)
        edges = ((end - a).view(len(surface), 3, -1) for end in (b, c))
        normals = torch.linalg.cross(*edges, dim=1).flatten(0, 1)
        normals = torch.nn.functional.pad(normals, (0, 1))
        total = normals.index_select(1, self._incident[0])
        for column in self._incident[1:]:
            total += normals.index_select(1, column)
        total = total.view(len(surface), 3, -1)
        length = (total * total).sum(1, keepdim=True).sqrt_().clamp_(min=1e-12)
        return total.div_(length).mT

    def _posed_heads(self, heads: Tensor, rotations: Tensor) -> Tensor:
        posed = [torch.zeros_like(heads[:, 0])]
        for bone, parent in enumerate(self.data.parents[1:].tolist(), start=1):
            offset = (heads[:, bone] - heads[:, parent])[..., None]
            posed.append(posed[parent] + (rotations[:, parent] @ offset)[..., 0])
        return torch.stack(posed, dim=1)

    def _joints(self, heads: Tensor, points: Tensor) -> Tensor:
        return torch.stack([self._joint(name, heads, points) for name in JOINTS], dim=1)

    def _joint(self, name: str, heads: Tensor, points: Tensor) -> Tensor:
        if name == "pelvis":
            hips = [heads[:, self.bones[f"upperleg01.{side}"]] for side in "LR"]
            return (hips[0] + hips[1]) / 2
        if name in _CENTRAL_BONE:
            return heads[:, self.bones[_CENTRAL_BONE[name]]]
        side, _, part = name.partition("_")
        if part in _BONE_OF and side in ("l", "r"):
            return heads[:, self.bones[f"{_BONE_OF[part]}.{side.upper()}"]]
        word = {"l": "left_", "r": "right_"}
        point = word[side] + part if side in word else name
        return points[:, self.data.points.index(point)]


def _blended(blend: Tensor, rest: Tensor) -> Tensor:
    """Return (B, M, 3) points moved by (B, 3, 4, M) transforms from (B, M, 3)."""
    x, y, z = rest.float().mT[:, None].unbind(2)
    moved = blend[:, :, 0] * x
    moved += blend[:, :, 1] * y
    moved += blend[:, :, 2] * z
    return moved.add_(blend[:, :, 3]).mT


def _incident_faces(faces: Tensor, n_vertices: int) -> Tensor:
    """Return (most faces at a vertex, V) face indices; the index one past the last face pads."""
    vertex = faces.flatten()
    order = torch.argsort(vertex, stable=True)
    count = torch.bincount(vertex, minlength=n_vertices)
    first = count.cumsum(0) - count
    rank = torch.arange(len(vertex), device=faces.device) - first[vertex[order]]
    table = torch.full((int(count.max()), n_vertices), len(faces), device=faces.device)
    table[rank, vertex[order]] = order // 3
    return table
