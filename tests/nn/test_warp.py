"""Warps: images and points move alike, splines are SciPy's, colours torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from kpbench.errors import InvalidInputError
from kpbench.nn.warp import ColourRange, Warp, WarpRange, _control_points, _pixels, jittered

STRONG = WarpRange(rotation=40, scale=1.4, shift=0.2, bend=0.04)
AFFINE = WarpRange(bend=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grid(controls: int) -> Tensor:
    side = torch.linspace(0, 1, controls)
    return torch.stack(torch.meshgrid(side, side, indexing="xy"), -1)[None]


def coordinates(height: int, width: int) -> Tensor:
    """Return the (1, 2, H, W) image whose value is the place of each pixel's centre."""
    return _pixels(height, width, torch.device("cpu")).view(1, height, width, 2).permute(0, 3, 1, 2)


def test_control_points_that_stay_move_nothing() -> None:
    warp, points = Warp(grid(4)), torch.rand(1, 9, 2, generator=generator())
    torch.testing.assert_close(warp.source(points), points, rtol=0, atol=1e-5)
    images = torch.rand(1, 3, 8, 12, generator=generator())
    torch.testing.assert_close(warp.images(images), images, rtol=0, atol=1e-4)


def test_x_is_x_and_y_is_y() -> None:
    """What comes from the right appears further to the left."""
    moved = grid(3) + torch.tensor([0.25, 0.0])
    warp = Warp(moved)
    images = torch.zeros(1, 1, 4, 8)
    images[0, 0, 1, 4] = 1
    shown = torch.zeros(1, 1, 4, 8)
    shown[0, 0, 1, 2] = 1  # 0.25 of 8 pixels
    torch.testing.assert_close(warp.images(images), shown, rtol=0, atol=1e-4)
    centre = torch.tensor([[[4.5 / 8, 1.5 / 4]]])
    wanted = torch.tensor([[[2.5 / 8, 1.5 / 4]]])
    torch.testing.assert_close(warp.target(centre), wanted, rtol=0, atol=1e-5)


@given(st.integers(0, 10**6), st.sampled_from([STRONG, AFFINE, WarpRange(), WarpRange(controls=2)]))
@settings(max_examples=25, deadline=None)
def test_images_and_points_agree_and_target_inverts_source(seed: int, strength: WarpRange) -> None:
    height, width = 24, 32
    warp = Warp.random(2, strength, generator(seed))
    seen = warp.images(coordinates(height, width).expand(2, -1, -1, -1)).flatten(2).mT
    pixels = _pixels(height, width, torch.device("cpu")).expand(2, -1, -1)
    came = warp.source(pixels)
    half = torch.tensor([0.5 / width, 0.5 / height])
    inside = ((came > half) & (came < 1 - half)).all(-1)  # elsewhere the border repeats
    assert inside.float().mean() > 0.2
    torch.testing.assert_close(seen[inside], came[inside], rtol=0, atol=1e-4)
    torch.testing.assert_close(warp.target(came)[inside], pixels[inside], rtol=0, atol=1e-4)


def test_a_spline_is_scipys() -> None:
    moved = grid(5).double() + 0.05 * torch.randn(2, 5, 5, 2, generator=generator()).double()
    warp, points = Warp(moved), torch.rand(2, 50, 2, generator=generator(1)).double()
    at = _control_points(5, torch.float64, torch.device("cpu")).numpy()
    for image in range(2):
        spline = RBFInterpolator(
            at, moved[image].reshape(-1, 2).numpy(), kernel="thin_plate_spline"
        )
        wanted = spline(points[image].numpy())
        np.testing.assert_allclose(warp.source(points)[image].numpy(), wanted, atol=1e-8)


def test_an_affine_warp_turns_grows_and_shifts_within_its_range() -> None:
    strength = WarpRange(rotation=30, scale=1.5, shift=0.1, bend=0)
    warp = Warp.random(200, strength, generator())
    corner = torch.tensor([[[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]]]).expand(200, -1, -1)
    centre, x, y = warp.source(corner).unbind(1)
    assert (centre - 0.5).abs().max() <= 0.1 + 1e-4
    right, down = x - centre, y - centre
    sizes, angles = right.norm(dim=-1), torch.atan2(right[:, 1], right[:, 0]).rad2deg()
    assert 1 / 1.5 - 1e-3 < sizes.min() < 0.75 and 1.35 < sizes.max() < 1.5 + 1e-3
    assert -30.1 < angles.min() < -25 and 25 < angles.max() < 30.1
    torch.testing.assert_close(sizes, down.norm(dim=-1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close((right * down).sum(-1), torch.zeros(200), rtol=0, atol=2e-3)


def test_source_and_its_inverse_are_differentiable() -> None:
    moved = grid(4).double() + 0.04 * torch.randn(2, 4, 4, 2, generator=generator()).double()
    points = (0.2 + 0.6 * torch.rand(2, 3, 2, generator=generator(1)).double()).requires_grad_()
    warp = Warp(moved)
    assert torch.autograd.gradcheck(warp.source, (points,))
    assert torch.autograd.gradcheck(warp.target, (points,))
    images = torch.rand(2, 1, 5, 5, generator=generator()).double().requires_grad_()
    assert torch.autograd.gradcheck(warp.images, (images,))


def test_a_point_on_a_control_point_has_a_finite_gradient() -> None:
    points = grid(4).flatten(1, 2).clone().requires_grad_()
    moved = Warp.random(1, WarpRange(controls=4), generator()).source(points)
    [gradient] = torch.autograd.grad(moved.square().sum(), points)
    assert torch.isfinite(gradient).all()


def test_equal_generators_draw_equal_warps() -> None:
    points = torch.rand(3, 4, 2, generator=generator())
    one, again = (Warp.random(3, WarpRange(), generator(5)).source(points) for _ in range(2))
    assert torch.equal(one, again)
    assert not torch.equal(one, Warp.random(3, WarpRange(), generator(6)).source(points))
    assert not torch.allclose(one[0] - points[0], one[1] - points[1], atol=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"scale": 0.9}, {"shift": -0.1}, {"bend": -0.1}, {"controls": 1}, {"bend": 0.05}]
)
def test_unusable_warps_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        WarpRange(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="C, C, 2"):
        Warp(torch.zeros(2, 3, 4, 2))


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_colours_are_torchvisions(kind: str) -> None:
    images = torch.rand(6, 3, 8, 8, generator=generator())
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    found = jittered(2 * images - 1, ColourRange(**{**none, kind: 0.5}), generator(3)) / 2 + 0.5
    drawn = 2 * torch.rand(4, 6, generator=generator(3)) - 1
    factors = 1 + 0.5 * drawn[list(none).index(kind)]
    assert factors.std() > 0.1
    for image, factor, wanted in zip(found, factors, images, strict=True):
        adjust = getattr(tv, f"adjust_{kind}")
        torch.testing.assert_close(image, adjust(wanted, float(factor)), rtol=0, atol=1e-3)


def test_hue_turns_chroma_and_leaves_grey_alone() -> None:
    only = ColourRange(0, 0, 0, hue=0.5)
    grey = torch.linspace(-1, 1, 16).view(1, 1, 4, 4).repeat(8, 3, 1, 1)
    torch.testing.assert_close(jittered(grey, only, generator()), grey, rtol=0, atol=2e-2)
    soft = 0.2 * torch.rand(8, 3, 4, 4, generator=generator()) - 0.1  # nothing is clipped
    turned = jittered(soft, only, generator(1))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    torch.testing.assert_close(
        (turned * weights).sum(1), (soft * weights).sum(1), rtol=0, atol=1e-2
    )
    assert (turned - soft).abs().amax((1, 2, 3)).max() > 0.05


def test_jitter_stays_in_range_and_repeats() -> None:
    images = 2 * torch.rand(4, 3, 6, 6, generator=generator()) - 1
    strong = ColourRange(0.9, 0.9, 0.9, 0.5)
    one, again = (jittered(images, strong, generator(2)) for _ in range(2))
    assert torch.equal(one, again)
    assert one.abs().max() <= 1
