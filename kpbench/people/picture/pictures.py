"""Takes pictures: linear colour, depth and mask of dressed people in their rooms.

Every pixel is the mean of 3 x 3 samples; depth and mask are those of the middle sample, which lies
exactly at the pixel's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from kpbench.people.body.shape import BodyModel
from kpbench.people.picture.focus import circle_of_confusion, defocused
from kpbench.people.picture.lighting import Lights, ShadowMap, shade_body, shade_room, shadow_map
from kpbench.people.picture.raster import Fragments, rasterize
from kpbench.people.scene.camera import Camera
from kpbench.people.scene.clothes import Wardrobe, albedo
from kpbench.people.scene.places import marked, part
from kpbench.people.scene.room import Boxes, RoomSurface, look, paint, place_boxes
from kpbench.people.scene.sampler import (
    EMPTY_ROOM_ATTEMPT,
    PeopleSettings,
    Scene,
    Split,
    sample_room,
)

SUPERSAMPLE = 3
"""Samples along each side of a pixel; odd, so that one is at the pixel's centre."""
LEAST_VISIBLE = 0.5
"""Share of the person that furniture must leave visible; else the room is drawn again."""


@dataclass(frozen=True)
class Shots:
    """What is needed to take the pictures of B items at one moment; B rows each.

    Attributes:
        scenes: B of them.
        camera: B cameras.
        extent: (B, 3) see `stage.Stage`.
        boxes: the rooms as drawn first; None before a plain background.
        first: (B, V, 3) the dressed body at the first moment, which decides about the room; None if
            `surface` is of that moment.
        surface: (B, V, 3) the dressed body.
        normals: (B, V, 3) of the skin.
        middle: (B, 3) of the dressed body.
        rest: (B, V, 3) the body at rest.
        eye: (B, 3) left eye at rest.
        worn: what the people wear.
        lights: what lights them.
        plain: (B, 3) linear colour where there is no room.
        joints: (B, 32) samples in which the joints lie.
    """

    scenes: Sequence[Scene]
    camera: Camera
    extent: Tensor
    boxes: Boxes | None
    first: Tensor | None
    surface: Tensor
    normals: Tensor
    middle: Tensor
    rest: Tensor
    eye: Tensor
    worn: Wardrobe
    lights: Lights
    plain: Tensor
    joints: Tensor


@dataclass(frozen=True)
class Pictures:
    """B pictures.

    Attributes:
        colour: (B, 3, H, W) linear, 0 to 1.
        depth: (B, H, W) metres along the optical axis, 0 = no surface.
        mask: (B, H, W) bool, the person.
        joint_depth: (B, 32) depth of the first surface where the joints lie.
        room_depth: (B, 32) depth of the room there, furniture included; infinite without a room.
    """

    colour: Tensor
    depth: Tensor
    mask: Tensor
    joint_depth: Tensor
    room_depth: Tensor


@dataclass(frozen=True)
class Photographer:
    """Takes the pictures of one split.

    Attributes:
        settings: of the data set.
        split: train, test or validation.
        model: the body.
        texels: the texture bank, packed.
        samples: along each side of an image, `SUPERSAMPLE` times its pixels.
    """

    settings: PeopleSettings
    split: Split
    model: BodyModel
    texels: Tensor
    samples: int

    def take(self, shots: Shots) -> Pictures:
        """Return the pictures; those of one item do not depend on the others."""
        batch, size = len(shots.scenes), self.samples**2
        body = self._seen(shots.camera, shots.surface)
        room = self._room(shots, body)
        depth = torch.zeros(batch * size, device=self.texels.device)
        room_depth = torch.full_like(shots.joints, torch.inf, dtype=torch.float32)
        if room is not None:
            room_depth = room.depth.gather(1, shots.joints)
            depth = room.depth.flatten()
            body = body.where(body.depth < depth.index_select(0, body.place))
        shadow = shadow_map(shots.surface, shots.middle, self.model.faces, shots.lights)
        colour = self._background(shots, room, shadow)
        for plane, values in zip(colour, self._shaded(shots, body, shadow), strict=True):
            plane.scatter_(0, body.place, values)
        depth.scatter_(0, body.place, body.depth)
        mask = torch.zeros(batch * size, dtype=torch.bool, device=depth.device)
        mask.index_fill_(0, body.place, True)
        square = colour.clamp_(0, 1).view(3, batch, self.samples, self.samples)
        return Pictures(
            colour=torch.nn.functional.avg_pool2d(square, SUPERSAMPLE).movedim(0, 1),
            depth=self._centres(depth),
            mask=self._centres(mask),
            joint_depth=depth.view(batch, size).gather(1, shots.joints),
            room_depth=room_depth,
        )

    def _seen(self, camera: Camera, surface: Tensor) -> Fragments:
        screen = camera.project(surface)
        screen[..., :2] *= self.samples
        return rasterize(screen, self.model.faces, self.samples)

    def _room(self, shots: Shots, body: Fragments) -> RoomSurface | None:
        """Draw again the rooms that hide too much of the first moment."""
        boxes = shots.boxes
        if boxes is None:
            return None
        found = look(boxes, shots.camera, self.samples)
        if shots.first is not None:
            body = self._seen(shots.camera, shots.first)
        for attempt in range(1, EMPTY_ROOM_ATTEMPT + 1):
            hiding = _visible_share(body, found.depth) < LEAST_VISIBLE
            again = [i for i, hides in enumerate(hiding.tolist()) if hides]
            if not again:
                break
            scenes, camera = [shots.scenes[i] for i in again], part(shots.camera, again)
            rooms = [sample_room(self.settings, self.split, s.index, attempt) for s in scenes]
            others = place_boxes(rooms, camera, shots.extent[again])
            for field in fields(boxes):
                getattr(boxes, field.name)[again] = getattr(others, field.name)
            other = look(others, camera, self.samples)
            found.depth[again], found.box[again] = other.depth, other.box
        return paint(boxes, shots.camera, found, self.texels)

    def _background(self, shots: Shots, room: RoomSurface | None, shadow: ShadowMap) -> Tensor:
        """Return linear colours (3, B * samples)."""
        if room is None:
            return shots.plain.T[..., None].repeat(1, 1, self.samples**2).flatten(1)
        lit = shadow.lit(None, room.point)
        shaded = shade_room(room.colour, room.normal, room.face, lit, shots.lights)
        square = shaded.view(3, -1, self.samples, self.samples)
        return defocused(square, self._discs(shots, room)).flatten(1)

    def _discs(self, shots: Shots, room: RoomSurface) -> Tensor:
        """Return the diameters (B, S, S), in samples, of the discs that blur the rooms."""
        away = shots.camera.to_camera(shots.middle[:, None])[:, 0, 2]
        apertures = [scene.view.aperture for scene in shots.scenes]
        aperture = torch.as_tensor(apertures, dtype=away.dtype, device=away.device)
        disc = circle_of_confusion(room.depth, shots.camera.focal, away, aperture)
        return disc.view(-1, self.samples, self.samples) * self.samples

    def _shaded(self, shots: Shots, body: Fragments, shadow: ShadowMap) -> Tensor:
        """Return linear colours (3, n) of the body."""
        rest = body.interpolate(shots.rest)
        paint = albedo(shots.worn, body, self.model.segment, rest, shots.eye, self.texels)
        # rows in memory: the norm of planes rounds otherwise and takes ten times as long
        normal = body.interpolate(shots.normals).T.contiguous()
        normal = torch.nn.functional.normalize(normal, dim=-1).T
        lit = shadow.lit(body.image, body.interpolate(shots.surface))
        forward = shots.camera.rotation[:, 2]
        return shade_body(paint, normal, forward, lit, body.image, shots.lights)

    def _centres(self, samples: Tensor) -> Tensor:
        """Return the middle sample of every pixel: (B * samples) -> (B, H, W)."""
        middle = SUPERSAMPLE // 2
        square = samples.view(-1, self.samples, self.samples)
        return square[:, middle::SUPERSAMPLE, middle::SUPERSAMPLE].contiguous()


def _visible_share(body: Fragments, depth: Tensor) -> Tensor:
    """Return (B,) the share of each person's samples that is before room and furniture (B, P)."""
    before = body.depth < depth.flatten().index_select(0, body.place)
    seen = body.image.index_select(0, marked(before))
    counts = [torch.bincount(image, minlength=len(depth)) for image in (seen, body.image)]
    return counts[0] / counts[1].clamp(min=1)
