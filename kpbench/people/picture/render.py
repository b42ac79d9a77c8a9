"""Renders a chunk of items: colour, depth, mask, joints and visibility.

Items are always rendered in whole chunks, so that neither the number of items asked for nor the
order of rendering changes a byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kpbench.api import Array
from kpbench.people.body.shape import BodyModel
from kpbench.people.picture.lighting import Lights
from kpbench.people.picture.pictures import SUPERSAMPLE, Photographer, Pictures, Shots
from kpbench.people.picture.texels import packed_texels
from kpbench.people.scene.clothes import inflation, wardrobe
from kpbench.people.scene.places import joined, part
from kpbench.people.scene.room import place_boxes
from kpbench.people.scene.sampler import (
    PeopleSettings,
    Scene,
    Split,
    sample_room,
    sample_scene,
    scene_texels,
)
from kpbench.people.scene.stage import Stage, set_stage

CHUNK = 16
"""Items rendered together."""
SAMPLES_AT_ONCE = {"cpu": 200_000, "cuda": 2**23}
"""Samples worked on together: few enough for a CPU's cache, enough to fill a GPU (each takes about
400 bytes)."""
GAMMA = 1.15

VISIBLE_WITHIN = (
    0.22, 0.20, 0.12, 0.11, 0.20, 0.12, 0.11, 0.20, 0.17, 0.05, 0.06, 0.15, 0.11, 0.09, 0.15, 0.11,
    0.09, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.06, 0.06, 0.05, 0.05, 0.12, 0.12, 0.05, 0.05, 0.22,
)  # fmt: skip
"""Metres, for a body of 1.7 m: a joint is visible when the first surface on the ray to it is at
most this far before it."""


@dataclass(frozen=True)
class Chunk:
    """CHUNK rendered items; N = CHUNK, H = W.

    Attributes:
        images: (N, H, W, 3) uint8.
        depth: (N, H, W) uint16 millimetres along the optical axis, 0 = no surface.
        mask: (N, H, W) bool, the person.
        landmarks: (N, 32, 2) float32, (x, y) in [0, 1].
        joints: (N, 32, 3) float32, camera axes (right, down, forward), metres.
        visible: (N, 32) bool.
        occluded: (N, 32) bool, whether furniture stands before the joint.
        groups: (N,) int64 identity.
    """

    images: Array
    depth: Array
    mask: Array
    landmarks: Array
    joints: Array
    visible: Array
    occluded: Array
    groups: Array


class Renderer:
    """Renders the items of one split.

    Args:
        settings: of the data set.
        split: train, test or validation.
        pixels: width and height of an image.
        device: where to render.
    """

    def __init__(
        self, settings: PeopleSettings, split: Split, pixels: int, device: torch.device
    ) -> None:
        """Load the body model and draw the textures."""
        self.settings, self.split, self.pixels, self.device = settings, split, pixels, device
        self._samples = pixels * SUPERSAMPLE
        self._model = BodyModel(device)
        texels = packed_texels(scene_texels(settings, split), device)
        self._photographer = Photographer(settings, split, self._model, texels, self._samples)

    @property
    def images_at_once(self) -> int:
        """How many images are worked on together; changes no byte."""
        return max(1, SAMPLES_AT_ONCE[self.device.type] // self._samples**2)

    def chunk(self, number: int, moment: int = 0) -> Chunk:
        """Render items number * CHUNK and following, at the first or second moment."""
        return self.chunks([number], moment)[0]

    @torch.no_grad()
    def chunks(self, numbers: Sequence[int], moment: int = 0) -> list[Chunk]:
        """Render several chunks together; each has the bytes that `chunk` gives it."""
        scenes = [self._scenes(number) for number in numbers]
        stages = [set_stage(some, self._model, self.device) for some in scenes]
        shots = joined([self._shots(*pair, moment) for pair in zip(scenes, stages, strict=True)])
        step = self.images_at_once
        taken = [
            self._photographer.take(part(shots, slice(start, start + step)))
            for start in range(0, len(shots.scenes), step)
        ]
        found = joined(taken)
        return [
            self._chunk(some, stage, moment, part(found, slice(i * CHUNK, (i + 1) * CHUNK)))
            for i, (some, stage) in enumerate(zip(scenes, stages, strict=True))
        ]

    def _scenes(self, number: int) -> list[Scene]:
        indices = range(number * CHUNK, (number + 1) * CHUNK)
        return [sample_scene(self.settings, self.split, index) for index in indices]

    def _shots(self, scenes: Sequence[Scene], stage: Stage, moment: int) -> Shots:
        worn = wardrobe([scene.identity for scene in scenes], self.device)
        thickness = inflation(worn, self._model.segment_weights)[..., None]
        needed = [moment]
        boxes = None
        if self.settings.background in ("laboratory", "rooms"):
            needed = [0, moment] if moment else [0]
            rooms = [sample_room(self.settings, self.split, scene.index) for scene in scenes]
            boxes = place_boxes(rooms, stage.camera, stage.extent)
        skins = [stage.moments[i].surface for i in needed]
        normals = [self._model.vertex_normals(skin) for skin in skins]
        dressed = [s + n * thickness for s, n in zip(skins, normals, strict=True)]
        xy = stage.camera.project(stage.moments[moment].joints)[..., :2]
        column, row = (xy * self._samples).long().clamp(0, self._samples - 1).unbind(-1)
        tint = torch.as_tensor(np.stack([scene.plain for scene in scenes]), device=self.device)
        return Shots(
            scenes=scenes,
            camera=stage.camera,
            extent=stage.extent,
            boxes=boxes,
            first=dressed[0] if len(dressed) > 1 else None,
            surface=dressed[-1],
            normals=normals[-1],
            # the sum's rounding depends on the order in memory: vertex by vertex
            middle=dressed[-1].transpose(0, 1).contiguous().mean(0),
            rest=stage.rest.surface.float(),
            eye=stage.rest.heads[:, self._model.bones["eye.L"]].float(),
            worn=worn,
            lights=self._lights(scenes),
            plain=(tint.float().T[..., None] ** GAMMA)[..., 0].T,
            joints=row * self._samples + column,
        )

    def _lights(self, scenes: Sequence[Scene]) -> Lights:
        def stack(values: list[Array]) -> Tensor:
            return torch.as_tensor(np.stack(values), dtype=torch.float32, device=self.device)

        return Lights(
            direction=stack([scene.light.direction for scene in scenes]),
            sun=stack([scene.light.sun for scene in scenes]),
            ambient=stack([scene.light.ambient for scene in scenes]),
        )

    def _chunk(self, scenes: Sequence[Scene], stage: Stage, moment: int, found: Pictures) -> Chunk:
        joints = stage.moments[moment].joints
        projected = stage.camera.project(joints)
        visible = _joints_visible(projected, stage, found.joint_depth)
        levels = found.colour.movedim(1, 0).contiguous() ** (1 / GAMMA) * 255 + 0.5
        images = levels.to(torch.uint8).permute(1, 2, 3, 0)
        millimetres = (found.depth * 1000).round().clamp(max=65535).int()
        return Chunk(
            images=images.contiguous().cpu().numpy(),
            depth=millimetres.cpu().numpy().astype(np.uint16),
            mask=found.mask.cpu().numpy(),
            landmarks=projected[..., :2].contiguous().cpu().numpy(),
            joints=stage.camera.to_camera(joints).contiguous().cpu().numpy(),
            visible=visible.cpu().numpy(),
            occluded=(found.room_depth < projected[..., 2]).cpu().numpy(),
            groups=np.array([scene.identity_id for scene in scenes]),
        )


def _joints_visible(projected: Tensor, stage: Stage, first: Tensor) -> Tensor:
    """Tell which joints (B, 32) are visible; `first` (B, 32): depth of the surface before them."""
    xy = projected[..., :2]
    inside = ((xy >= 0) & (xy < 1)).all(-1)
    first = torch.where(first > 0, first, torch.inf)
    along_ray = stage.camera.rays(xy).norm(dim=-1)
    before = (projected[..., 2] - first) * along_ray
    within = first.new_tensor(VISIBLE_WITHIN) * (stage.stature[:, None] / 1.7)
    visible: Tensor = inside & (before < within)
    return visible
