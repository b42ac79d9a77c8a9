"""Clothes, skin and hair: what colour every point of the body's surface has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kpbench.api import Array
from kpbench.people.raster import Fragments
from kpbench.people.sampler import Identity
from kpbench.people.texels import look_up

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
    """The identities of a chunk, as tensors: B rows each (see `sampler.Identity`)."""

    skin: Tensor
    hair: Tensor
    hair_length: Tensor
    textures: Tensor
    texture_scale: Tensor
    sleeves: Tensor
    legs: Tensor
    dress: Tensor
    thickness: Tensor


def wardrobe(people: Sequence[Identity], device: torch.device) -> Wardrobe:
    """Collect identities."""

    def stack(values: Sequence[Array | int | bool]) -> Tensor:
        array = np.stack([np.asarray(value) for value in values])
        kind = torch.float32 if array.dtype.kind == "f" else None
        return torch.as_tensor(array, dtype=kind, device=device)

    return Wardrobe(
        skin=stack([p.skin for p in people]),
        hair=stack([p.hair for p in people]),
        hair_length=stack([p.hair_length for p in people]),
        textures=stack([p.textures for p in people]),
        texture_scale=stack([p.texture_scale for p in people]),
        sleeves=stack([p.sleeves for p in people]),
        legs=stack([p.legs for p in people]),
        dress=stack([p.dress for p in people]),
        thickness=stack([p.thickness for p in people]),
    )


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
        rest: (n, 3) rest position of each fragment, metres.
        eye: (B, 3) left eye at rest; places hair, lips and brows.
        texels: the texture bank, packed.
    """
    image = fragments.image
    heaviest = fragments.weights.argmax(1, keepdim=True)
    part = segment[fragments.corners.gather(1, heaviest)[:, 0]]
    colour = worn.skin[image].T.contiguous()
    _paint_head(colour, worn, image, part, rest, eye)
    _paint_clothes(colour, worn, image, part, rest, texels)
    return colour


def _paint_head(
    colour: Tensor, worn: Wardrobe, image: Tensor, part: Tensor, rest: Tensor, eye: Tensor
) -> None:
    x = rest[:, 0]
    back = rest[:, 1] - eye[image, 1]  # behind the eyes
    up = rest[:, 2] - eye[image, 2]  # above the eyes
    length = worn.hair_length[image]
    head = part == HEAD
    crown = up - 0.055 - 0.9 * back.clamp(min=0) > 0
    nape = (back > 0.11) & (up > -0.09 - 0.12 * (length == 2))
    hairy = head & (length > 0) & (crown | nape | ((back > 0.07) & (up > 0)))
    hairy = hairy | ((part == NECK) & (length == 2) & (back > 0.10))
    strands = 0.85 + 0.09 * torch.sin(400 * x + 300 * rest[:, 1])
    hair = worn.hair[image].T
    lips = head & (up < -0.062) & (up > -0.08) & (x.abs() < 0.024) & (back < 0.02)
    brows = head & (up > 0.016) & (up < 0.026) & (x.abs() > 0.012) & (x.abs() < 0.05)
    brows = brows & (back < 0.04)
    colour[:, hairy] = (hair * strands)[:, hairy]
    colour[:, part == EYE] = colour.new_tensor(_EYE_COLOUR)[:, None]
    colour[:, lips] *= colour.new_tensor(_LIP_TINT)[:, None]
    colour[:, brows] = hair[:, brows] * 0.8


def _paint_clothes(
    colour: Tensor, worn: Wardrobe, image: Tensor, part: Tensor, rest: Tensor, texels: Tensor
) -> None:
    def among(*parts: int) -> Tensor:
        return torch.isin(part, part.new_tensor(parts))

    sleeves, legs, dress = worn.sleeves[image], worn.legs[image], worn.dress[image]
    top = among(TORSO, WAIST) | (dress & among(HIP, THIGH))
    top = top | ((part == UPPER_ARM) & (sleeves > 0)) | ((part == FOREARM) & (sleeves > 1))
    bottom = (part == HIP) | ((part == THIGH) & (legs > 0)) | (among(SHIN, ANKLE) & (legs > 1))
    u, v = rest[:, 0] + 0.6 * rest[:, 1], rest[:, 2]
    for garment, covered in enumerate((top, bottom & ~top)):
        repeats = worn.texture_scale[image[covered], garment] * _TEXTURE_REPEATS
        cloth = worn.textures[image[covered], garment]
        colour[:, covered] = look_up(texels, cloth, u[covered] * repeats, -v[covered] * repeats)
    shoes = part == FOOT
    leather = look_up(texels, worn.textures[image[shoes], 2], u[shoes], v[shoes])
    colour[:, shoes] = leather * _SHOE_SHADE
