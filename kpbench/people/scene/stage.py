"""Puts posed people on the floor and a camera before them: both moments of every item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kpbench.people.body.motion import ACTOR_HEIGHT
from kpbench.people.body.pose import bone_rotations
from kpbench.people.body.shape import BodyModel, PosedBody, RestBody
from kpbench.people.scene.camera import Camera, framing_camera
from kpbench.people.scene.sampler import Scene


@dataclass(frozen=True)
class Stage:
    """B people at two moments under one camera each.

    Attributes:
        rest: their bodies.
        moments: the two poses; the first stands on the floor at the origin.
        camera: frames both moments.
        extent: (B, 3) largest |x|, |y| and z over both moments, metres.
        stature: (B,) height of the rest bodies, metres.
    """

    rest: RestBody
    moments: tuple[PosedBody, PosedBody]
    camera: Camera
    extent: Tensor
    stature: Tensor


def set_stage(scenes: Sequence[Scene], model: BodyModel, device: torch.device) -> Stage:
    """Pose, place and frame the people of `scenes`."""
    shapes = np.stack([scene.identity.shape for scene in scenes])
    rest = model.shape(torch.as_tensor(shapes, device=device))
    stature = (rest.surface[..., 2].amax(1) - rest.surface[..., 2].amin(1)).float()
    first, second = _posed(scenes, model, rest)
    path = np.stack([scene.poses.position[1] - scene.poses.position[0] for scene in scenes])
    walked = torch.as_tensor(path, dtype=torch.float32, device=device)
    floor = first.surface[..., 2].amin(1)
    middle = (first.surface[..., :2].amin(1) + first.surface[..., :2].amax(1)) / 2
    moments = (
        _moved(first, torch.cat([-middle, -floor[:, None]], 1)),
        _moved(second, _second_shift(middle, walked * (stature / ACTOR_HEIGHT)[:, None], second)),
    )
    points = torch.cat([moment.surface.mT for moment in moments], 2).mT
    extent = torch.cat([points[..., :2].abs().amax(1), points[..., 2:].amax(1)], -1)
    return Stage(rest, moments, _camera(scenes, points), extent, stature)


def _posed(scenes: Sequence[Scene], model: BodyModel, rest: RestBody) -> list[PosedBody]:
    """Return the bodies at both moments."""
    joints = scenes[0].poses.local
    local = {name: np.stack([s.poses.local[name] for s in scenes], 1) for name in joints}
    rotations = bone_rotations(
        {name: turns.reshape(-1, 3, 3) for name, turns in local.items()},
        np.tile(rest.heads.cpu().numpy(), (2, 1, 1)),
        np.tile(np.stack([scene.twist for scene in scenes]), (2, 1)),
        bones=model.data.bones,
        parents=model.data.parents.tolist(),
    )
    halves = torch.as_tensor(rotations, device=rest.heads.device).chunk(2)
    return [model.pose(rest, half) for half in halves]


def _moved(body: PosedBody, shift: Tensor) -> PosedBody:
    return PosedBody(body.surface + shift[:, None], body.joints + shift[:, None])


def _second_shift(middle: Tensor, walked: Tensor, second: PosedBody) -> Tensor:
    """Return the shift that follows the root's path over the floor; feet stay on the floor."""
    floor = second.surface[..., 2].amin(1)
    return torch.cat([walked[:, :2] - middle, -floor[:, None]], 1)


def _camera(scenes: Sequence[Scene], points: Tensor) -> Camera:
    def gather(name: str) -> Tensor:
        values = np.stack([np.asarray(getattr(scene.view, name)) for scene in scenes])
        return torch.as_tensor(values, dtype=torch.float32, device=points.device)

    return framing_camera(
        points,
        azimuth=gather("azimuth"),
        elevation=gather("elevation"),
        roll=gather("roll"),
        field_of_view=gather("field_of_view"),
        fill=gather("fill"),
        offset=gather("wander"),
        position=None if scenes[0].view.position is None else gather("position"),
    )
