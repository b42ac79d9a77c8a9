"""Clothes, skin and hair: what colour every point of the body's surface has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kpbench.api import Array
from kpbench.people.picture.raster import Fragments
from kpbench.people.picture.texels import look_up
from kpbench.people.scene.places import flat, of_image
from kpbench.people.scene.sampler import Identity

TORSO, HIP, SHIN, FOOT, UPPER_ARM, NECK, HEAD, EYE, FOREARM, HAND, THIGH, ANKLE, WAIST = range(13)
"""The segments of the body model."""

_EYE_COLOUR = (0.12, 0.10, 0.09)
_LIP_TINT = (0.8, 0.5, 0.5)
_SHOE_SHADE = 0.6
_SHOE_THICKNESS = 0.6
"""As a share of the trousers' thickness."""
_TEXTURE_REPEATS = 1.6
"""Repeats a metre at texture scale 1."""


@dataclass(frozen=True)
class Wardrobe:
    """The identities of a chunk, as tensors: B rows each (see `sampler.Identity`).

    Attributes:
        garments: (B, 4, 13) of each segment: texture, its repeats a metre across and along, and
            its shade, 0 where the skin is bare.
    """

    skin: Tensor
    hair: Tensor
    hair_length: Tensor
    sleeves: Tensor
    legs: Tensor
    dress: Tensor
    thickness: Tensor
    garments: Tensor


def wardrobe(people: Sequence[Identity], device: torch.device) -> Wardrobe:
    """Collect identities."""

    def stack(values: Sequence[Array | int | bool]) -> Tensor:
        array = np.stack([np.asarray(value) for value in values])
        kind = torch.float32 if array.dtype.kind == "f" else None
        return torch.as_tensor(array, dtype=kind, device=device)

    sleeves, legs = stack([p.sleeves for p in people]), stack([p.legs for p in people])
    dress = stack([p.dress for p in people])
    textures, scale = stack([p.textures for p in people]), stack([p.texture_scale for p in people])
    return Wardrobe(
        skin=stack([p.skin for p in people]),
        hair=stack([p.hair for p in people]),
        hair_length=stack([p.hair_length for p in people]),
        sleeves=sleeves,
        legs=legs,
        dress=dress,
        thickness=stack([p.thickness for p in people]),
        garments=_garments(_worn_on(sleeves, legs, dress), textures, scale),
    )


def _worn_on(sleeves: Tensor, legs: Tensor, dress: Tensor) -> Tensor:
    """Return (B, 13): 0 the top, 1 the trousers, 2 the shoes, -1 nothing on each segment."""
    always = torch.ones_like(dress)
    found = torch.full((len(dress), 13), -1, device=dress.device)
    for garment, parts, where in (
        (1, (HIP,), always),
        (1, (THIGH,), legs > 0),
        (1, (SHIN, ANKLE), legs > 1),
        (0, (HIP, THIGH), dress),
        (0, (TORSO, WAIST), always),
        (0, (UPPER_ARM,), sleeves > 0),
        (0, (FOREARM,), sleeves > 1),
        (2, (FOOT,), always),
    ):
        for part in parts:
            found[:, part] = torch.where(where, garment, found[:, part])
    return found


def _garments(worn_on: Tensor, textures: Tensor, scale: Tensor) -> Tensor:
    """Return `Wardrobe.garments` from textures (B, 3) and their scale (B, 2)."""
    repeats = scale * _TEXTURE_REPEATS
    leather = torch.ones_like(repeats[:, :1])
    kinds = (
        textures.float(),
        torch.cat([repeats, leather], 1),
        torch.cat([-repeats, leather], 1),  # cloth hangs from the top
        torch.cat([leather, leather, leather * _SHOE_SHADE], 1),
    )
    found = torch.stack([values.gather(1, worn_on.clamp(min=0)) for values in kinds], 1)
    return torch.where(worn_on[:, None] < 0, 0.0, found)


def inflation(worn: Wardrobe, segment_weights: Tensor) -> Tensor:
    """Return (B, V) metres by which clothes stand off the skin."""
    w = segment_weights.T
    sleeves, legs = worn.sleeves[:, None], worn.legs[:, None]
    top = w[TORSO] + w[WAIST] + w[UPPER_ARM] * (sleeves > 0) + w[FOREARM] * (sleeves > 1)
    thigh = w[THIGH] * ((legs > 0) | worn.dress[:, None])
    shin = (w[SHIN] + w[ANKLE]) * (legs > 1)
    bottom = w[HIP] + thigh + shin + w[FOOT] * _SHOE_THICKNESS
    return top * worn.thickness[:, :1] + bottom * worn.thickness[:, 1:]


def albedo(
    worn: Wardrobe,
    fragments: Fragments,
    segment: Tensor,
    rest: Tensor,
    eye: Tensor,
    texels: Tensor,
) -> Tensor:
    """Return the colour (3, n) of every fragment before lighting.

    Args:
        worn: what the B people wear.
        fragments: the n covered samples.
        segment: (V,) segment of each vertex.
        rest: (3, n) rest position of each fragment, metres.
        eye: (B, 3) left eye at rest; places hair, lips and brows.
        texels: the texture bank, packed.
    """
    image = fragments.image
    part = segment.index_select(0, _heaviest(fragments))
    colour = of_image(worn.skin, image).expand(3, len(image))
    colour = _painted_head(colour, worn, image, part, rest, of_image(eye, image))
    return _clothed(colour, worn, image, part, rest, texels)


def _heaviest(fragments: Fragments) -> Tensor:
    """Return (n,) the corner of largest weight, the first of equal ones."""
    (first, second, third), weights = fragments.corners, fragments.weights
    heavier = torch.where(weights[1] > weights[0], second, first)
    return torch.where(weights[2] > torch.maximum(weights[0], weights[1]), third, heavier)


def _painted_head(
    colour: Tensor, worn: Wardrobe, image: Tensor, part: Tensor, rest: Tensor, eye: Tensor
) -> Tensor:
    x = rest[0]
    back = rest[1] - eye[1]  # behind the eyes
    up = rest[2] - eye[2]  # above the eyes
    length = of_image(worn.hair_length, image)
    head = part == HEAD
    crown = up - 0.055 - 0.9 * back.clamp(min=0) > 0
    nape = (back > 0.11) & (up > -0.09 - 0.12 * (length == 2))
    hairy = head & (length > 0) & (crown | nape | ((back > 0.07) & (up > 0)))
    hairy = hairy | ((part == NECK) & (length == 2) & (back > 0.10))
    strands = 0.85 + 0.09 * torch.sin(400 * x + 300 * rest[1])
    hair = of_image(worn.hair, image)
    aside = x.abs()
    lips = head & (up < -0.062) & (up > -0.08) & (aside < 0.024) & (back < 0.02)
    brows = head & (up > 0.016) & (up < 0.026) & (aside > 0.012) & (aside < 0.05)
    brows = brows & (back < 0.04)
    eyes, tint = (colour.new_tensor(value)[:, None] for value in (_EYE_COLOUR, _LIP_TINT))
    colour = torch.where(hairy, hair * strands, colour)
    colour = torch.where(part == EYE, eyes, colour)
    colour = torch.where(lips, colour * tint, colour)
    return torch.where(brows, hair * 0.8, colour)


def _clothed(
    colour: Tensor, worn: Wardrobe, image: Tensor, part: Tensor, rest: Tensor, texels: Tensor
) -> Tensor:
    garments = worn.garments.transpose(0, 1).flatten(1)
    place = flat(image, len(worn.skin), part, worn.garments.shape[2])
    texture, across, along, shade = garments.index_select(1, place)
    u, v = rest[0] + 0.6 * rest[1], rest[2]
    cloth = look_up(texels, texture, u * across, v * along).mul_(shade)
    return torch.where(shade > 0, cloth, colour)
