"""Renders a chunk of items: colour, depth, mask, joints and visibility.

Items are always rendered in whole chunks, so that neither the number of items asked for nor the
order of rendering changes a byte. Every pixel is the mean of 3 x 3 samples; depth and mask are
those of the middle sample, which lies exactly at the pixel's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kpbench.api import Array
from kpbench.people.body import BodyModel
from kpbench.people.camera import Camera
from kpbench.people.clothes import Wardrobe, albedo, inflation, wardrobe
from kpbench.people.lighting import Lights, ShadowMap, shade_body, shade_room, shadow_map
from kpbench.people.raster import Fragments, rasterize
from kpbench.people.room import RoomSurface, cast, place_boxes
from kpbench.people.sampler import (
    EMPTY_ROOM_ATTEMPT,
    Scene,
    Settings,
    Split,
    sample_room,
    sample_scene,
    scene_texels,
)
from kpbench.people.stage import Stage, set_stage
from kpbench.people.texels import packed_texels

CHUNK = 16
"""Items rendered together."""
SUPERSAMPLE = 3
"""Samples along each side of a pixel; odd, so that one is at the pixel's centre."""
LEAST_VISIBLE = 0.5
"""Share of the person that furniture must leave visible; else the room is drawn again."""
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
        groups: (N,) int64 identity.
    """

    images: Array
    depth: Array
    mask: Array
    landmarks: Array
    joints: Array
    visible: Array
    groups: Array


class Renderer:
    """Renders the items of one split.

    Args:
        settings: of the data set.
        split: train, test or validation.
        pixels: width and height of an image.
        device: where to render.
    """

    def __init__(self, settings: Settings, split: Split, pixels: int, device: torch.device) -> None:
        """Load the body model and draw the textures."""
        self.settings, self.split, self.pixels, self.device = settings, split, pixels, device
        self._samples = pixels * SUPERSAMPLE
        self._model = BodyModel(device)
        self._texels = packed_texels(scene_texels(settings, split), device)

    @torch.no_grad()
    def chunk(self, number: int, moment: int = 0) -> Chunk:
        """Render items number * CHUNK and following, at the first or second moment."""
        indices = range(number * CHUNK, (number + 1) * CHUNK)
        scenes = [sample_scene(self.settings, self.split, index) for index in indices]
        stage = set_stage(scenes, self._model, self.device)
        worn = wardrobe([scene.identity for scene in scenes], self.device)
        surface, normals = self._dressed(stage, worn, 0)
        body = self._seen(stage.camera, surface)
        room = self._room(scenes, stage, body)
        if moment:
            surface, normals = self._dressed(stage, worn, moment)
            body = self._seen(stage.camera, surface)
        if room is not None:
            body = body.where(body.depth < room.depth[body.image, body.sample])
        colour = self._colour(scenes, stage, worn, surface, normals, body, room)
        return self._chunk(scenes, stage, moment, colour, body, room)

    def _dressed(self, stage: Stage, worn: Wardrobe, moment: int) -> tuple[Tensor, Tensor]:
        skin = stage.moments[moment].surface
        normals = self._model.vertex_normals(skin)
        thickness = inflation(worn, self._model.segment_weights)
        return skin + normals * thickness[..., None], normals

    def _seen(self, camera: Camera, surface: Tensor) -> Fragments:
        screen = camera.project(surface)
        screen[..., :2] *= self._samples
        return rasterize(screen, self._model.faces, self._samples)

    def _room(self, scenes: Sequence[Scene], stage: Stage, body: Fragments) -> RoomSurface | None:
        """Draw rooms until each leaves enough of the first moment visible."""
        if self.settings.background != "room":
            return None
        attempts = [0] * len(scenes)
        while True:
            rooms = [
                sample_room(self.settings, self.split, scene.index, attempt)
                for scene, attempt in zip(scenes, attempts, strict=True)
            ]
            boxes = place_boxes(rooms, stage.camera, stage.extent)
            found = cast(boxes, stage.camera, self._samples, self._texels)
            hidden = _visible_share(body, found, len(scenes)) < LEAST_VISIBLE
            again = [a + h for a, h in zip(attempts, hidden.tolist(), strict=True)]
            if again == attempts or max(again) > EMPTY_ROOM_ATTEMPT:
                return found
            attempts = again

    def _colour(
        self,
        scenes: Sequence[Scene],
        stage: Stage,
        worn: Wardrobe,
        surface: Tensor,
        normals: Tensor,
        body: Fragments,
        room: RoomSurface | None,
    ) -> Tensor:
        """Return the picture (B, H, W, 3) uint8."""
        lights = self._lights(scenes)
        shadow = shadow_map(surface, self._model.faces, lights)
        colour = self._background(scenes, room, shadow, lights)
        rest = body.interpolate(stage.rest.surface.float())
        eye = stage.rest.heads[:, self._model.bones["eye.L"]].float()
        paint = albedo(worn, body, self._model.segment, rest, eye, self._texels)
        normal = torch.nn.functional.normalize(body.interpolate(normals), dim=-1).T
        lit = shadow.lit(body.image, body.interpolate(surface).T)
        forward = stage.camera.rotation[:, 2]
        shaded = shade_body(paint, normal, forward, lit, body.image, lights)
        colour[:, body.image, body.sample] = shaded
        return self._pixels(colour)

    def _lights(self, scenes: Sequence[Scene]) -> Lights:
        def stack(values: list[Array]) -> Tensor:
            return torch.as_tensor(np.stack(values), dtype=torch.float32, device=self.device)

        return Lights(
            direction=stack([scene.light.direction for scene in scenes]),
            sun=stack([scene.light.sun for scene in scenes]),
            ambient=stack([scene.light.ambient for scene in scenes]),
        )

    def _background(
        self,
        scenes: Sequence[Scene],
        room: RoomSurface | None,
        shadow: ShadowMap,
        lights: Lights,
    ) -> Tensor:
        """Return linear colours (3, B, samples)."""
        if room is None:
            tint = torch.as_tensor(np.stack([scene.plain for scene in scenes]), device=self.device)
            linear = tint.float().T[..., None] ** GAMMA
            return linear.repeat(1, 1, self._samples**2)
        image = torch.arange(len(scenes), device=self.device)[:, None]
        return shade_room(room.colour, room.normal, shadow.lit(image, room.point), lights)

    def _pixels(self, colour: Tensor) -> Tensor:
        square = colour.clamp(0, 1).view(3, -1, self._samples, self._samples)
        mean = torch.nn.functional.avg_pool2d(square, SUPERSAMPLE)
        levels: Tensor = mean ** (1 / GAMMA) * 255 + 0.5
        return levels.to(torch.uint8).permute(1, 2, 3, 0)

    def _centres(self, samples: Tensor) -> Tensor:
        """Return the middle sample of every pixel: (B, samples) -> (B, H, W)."""
        middle = SUPERSAMPLE // 2
        square = samples.view(-1, self._samples, self._samples)
        return square[:, middle::SUPERSAMPLE, middle::SUPERSAMPLE]

    def _chunk(
        self,
        scenes: Sequence[Scene],
        stage: Stage,
        moment: int,
        images: Tensor,
        body: Fragments,
        room: RoomSurface | None,
    ) -> Chunk:
        joints = stage.moments[moment].joints
        shape = (len(scenes), self._samples**2)
        depth = torch.zeros(shape, device=self.device) if room is None else room.depth.clone()
        depth[body.image, body.sample] = body.depth
        mask = torch.zeros(shape, dtype=torch.bool, device=self.device)
        mask[body.image, body.sample] = True
        millimetres = (self._centres(depth) * 1000).round().clamp(max=65535).int()
        projected = stage.camera.project(joints)
        visible = _joints_visible(projected, stage, depth, self._samples)
        return Chunk(
            images=images.contiguous().cpu().numpy(),
            depth=millimetres.cpu().numpy().astype(np.uint16),
            mask=self._centres(mask).cpu().numpy(),
            landmarks=projected[..., :2].cpu().numpy(),
            joints=stage.camera.to_camera(joints).cpu().numpy(),
            visible=visible.cpu().numpy(),
            groups=np.array([scene.identity_id for scene in scenes]),
        )


def _visible_share(body: Fragments, room: RoomSurface, batch: int) -> Tensor:
    """Return (B,) the share of each person's samples that is before the room and its furniture."""
    seen = body.image[body.depth < room.depth[body.image, body.sample]]
    counts = [torch.bincount(image, minlength=batch) for image in (seen, body.image)]
    return counts[0] / counts[1].clamp(min=1)


def _joints_visible(projected: Tensor, stage: Stage, depth: Tensor, samples: int) -> Tensor:
    xy = projected[..., :2]
    inside = ((xy >= 0) & (xy < 1)).all(-1)
    column, row = (xy * samples).long().clamp(0, samples - 1).unbind(-1)
    first = torch.gather(depth, 1, row * samples + column)
    first = torch.where(first > 0, first, torch.inf)
    along_ray = stage.camera.rays(xy).norm(dim=-1)
    before = (projected[..., 2] - first) * along_ray
    within = depth.new_tensor(VISIBLE_WITHIN) * (stage.stature[:, None] / 1.7)
    visible: Tensor = inside & (before < within)
    return visible
