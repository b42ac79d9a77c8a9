"""Damaged depth: each corruption against statistics, scipy, or what its definition demands."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from kpbench.api import Array
from kpbench.data.corruption import CORRUPTIONS, corrupt
from kpbench.data.depth.scale import FAR, NEAR, pseudo_distance
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.registry import load_method

AMOUNTS = {"noise": 0.2, "blur": 0.05, "levels": 5, "uniform": 1}


def teacher_view(depth: Array) -> Array:
    """What the depth teacher makes of depth, through the registry: (N, H, W) uint8."""
    from kpbench.api import ImageSet

    method: Any = load_method("depth_teacher")
    images = ImageSet(np.zeros((*depth.shape, 3), np.uint8), depth)
    return cast(Array, method.pixels(images)[..., 0])


def relief(pixels: int = 64, n: int = 2) -> Array:
    """Smooth metric depth with a hole, (N, P, P) uint16 millimetres."""
    y, x = np.mgrid[:pixels, :pixels] / pixels
    depth = 3000 + 1500 * np.sin(5 * x + 1) * np.cos(4 * y) + 500 * np.arange(n)[:, None, None]
    depth[:, :8, :10] = 0
    found: Array = np.rint(depth).astype(np.uint16)
    return found


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_no_amount_changes_nothing(kind: str) -> None:
    depth = relief()
    assert corrupt(depth, kind, 0, 0) is depth


@pytest.mark.parametrize("amount", [0.02, 0.1, 0.5])
def test_noise_is_gaussian_with_the_asked_spread(amount: float) -> None:
    x = np.arange(200) / 200 + np.zeros((200, 1))
    inverse = 1e-4 + 4e-4 * x
    depth = np.rint(1 / inverse).astype(np.uint16)[None]
    exact = 1 / depth[0].astype(np.float64)
    found = 1 / corrupt(depth, "noise", amount, 7)[0].astype(np.float64)
    # the result is affine in clean + noise: the shift and scale that make columns' means fit
    slope, shift = np.polyfit(exact[0], found.mean(0), 1)
    noise = (found - shift) / slope - exact
    spread = np.subtract(*np.percentile(exact, [99, 1]))
    assert noise.std() / spread == pytest.approx(amount, rel=0.03)
    z = (noise - noise.mean()) / noise.std()
    assert abs((z**3).mean()) < 0.05 and (z**4).mean() == pytest.approx(3, abs=0.1)
    neighbours = np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.03  # white
    assert abs(np.corrcoef(z.ravel(), exact.ravel())[0, 1]) < 0.03  # even in inverse depth
    assert abs(np.corrcoef(np.abs(z).ravel(), exact.ravel())[0, 1]) < 0.03


def test_noise_belongs_to_seed_and_index_whatever_comes_with_it() -> None:
    depth = relief(32, 6)
    whole = corrupt(depth, "noise", 0.1, 3)
    pieces = [corrupt(depth[i : i + 2], "noise", 0.1, 3, first=i) for i in (4, 0, 2)]
    assert np.array_equal(whole, np.concatenate([pieces[1], pieces[2], pieces[0]]))
    assert np.array_equal(whole, corrupt(depth, "noise", 0.1, 3))
    assert not np.array_equal(whole, corrupt(depth, "noise", 0.1, 4))
    same = np.repeat(depth[:1], 2, 0)
    first, second = corrupt(same, "noise", 0.1, 3)
    assert not np.array_equal(first, second)  # two images never share their noise
    by_seed, by_index = corrupt(same, "noise", 0.1, 1)[0], corrupt(same, "noise", 0.1, 0)[1]
    assert not np.array_equal(by_seed, by_index)  # seed and index are not simply added


def test_blur_is_scipys_on_inverse_depth() -> None:
    depth = relief()
    depth[depth == 0] = 2500
    found = corrupt(depth, "blur", 0.04, 0)
    for i in range(len(depth)):
        wanted = gaussian_filter(1 / depth[i].astype(np.float64), 0.04 * 64, mode="nearest")
        got = 1 / found[i].astype(np.float64)
        share = (got - got.min()) / (got.max() - got.min())
        expected = (wanted - wanted.min()) / (wanted.max() - wanted.min())
        assert np.abs(share - expected).max() < 1 / NEAR


def test_blur_of_an_edge_is_the_error_function() -> None:
    from scipy.special import erf

    depth = np.full((1, 9, 200), 4000, np.uint16)
    depth[..., 100:] = 1000
    found = 1 / corrupt(depth, "blur", 0.05, 0)[0, 4].astype(np.float64)  # sigma: 10 pixels
    share = (found - found.min()) / (found.max() - found.min())
    x = np.arange(200) + 0.5 - 100
    assert np.abs(share - (1 + erf(x / (10 * np.sqrt(2)))) / 2).max() < 2e-3


def test_blur_lets_no_emptiness_in() -> None:
    depth = np.full((1, 32, 32), 2000, np.uint16)
    depth[:, :, 16:] = 0
    found = corrupt(depth, "blur", 0.1, 0)
    assert len(np.unique(found[depth > 0])) == 1  # a plane beside a hole stays a plane
    assert (found[depth == 0] == 0).all()


@pytest.mark.parametrize("levels", [2, 3, 16, 255])
def test_levels_are_as_many_as_asked_and_evenly_spaced(levels: int) -> None:
    inverse = np.linspace(1e-4, 1e-3, 100 * 100).reshape(1, 100, 100)
    depth = np.rint(1 / inverse).astype(np.uint16)
    found = 1 / np.unique(corrupt(depth, "levels", levels, 0)).astype(np.float64)
    assert len(found) == levels
    steps = np.diff(found)
    assert steps == pytest.approx(steps.mean(), rel=0.02)
    got, clean = 1 / corrupt(depth, "levels", levels, 0).astype(np.float64), 1 / depth.astype(float)
    error = (got - got.min()) / np.ptp(got) - (clean - clean.min()) / np.ptp(clean)
    assert np.abs(error).max() < 0.505 / (levels - 1) + 1 / NEAR  # rounded, not cut


def test_uniform_depth_keeps_the_outline_and_nothing_else() -> None:
    depth = relief()
    found = corrupt(depth, "uniform", 1, 0)
    assert np.array_equal(found > 0, depth > 0)
    assert len(np.unique(found[depth > 0])) == 1
    seen = teacher_view(found)
    assert len(np.unique(seen[depth > 0])) == 1 and (seen[depth == 0] == 0).all()


def test_the_teacher_sees_weak_corruption_as_nearly_the_clean_map() -> None:
    depth = relief()
    clean = teacher_view(depth).astype(int)
    for kind, amount in (("noise", 1e-6), ("blur", 1e-4), ("levels", 4096)):
        seen = teacher_view(corrupt(depth, kind, amount, 0)).astype(int)
        assert np.abs(seen - clean).max() <= 1, kind
    noisy = teacher_view(corrupt(depth, "noise", 0.3, 0)).astype(int)
    assert np.abs(noisy - clean)[depth > 0].mean() > 10


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_an_image_without_surface_stays_empty(kind: str) -> None:
    depth = relief()
    depth[0] = 0
    found = corrupt(depth, kind, AMOUNTS[kind], 0)
    assert not found[0].any() and found[1].any()


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint16, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))),
    st.sampled_from(sorted(CORRUPTIONS)),
    st.integers(0, 2**40),
)
def test_surface_stays_surface_whatever_the_depth(depth: Array, kind: str, seed: int) -> None:
    before = depth.copy()
    found = corrupt(depth, kind, AMOUNTS[kind], seed)
    assert found.shape == depth.shape and found.dtype == np.uint16
    assert np.array_equal(found > 0, depth > 0)
    assert np.array_equal(depth, before)
    values = found[found > 0]
    assert not len(values) or (values.min() >= NEAR and values.max() <= FAR)


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        ("noise", -0.1),
        ("noise", float("nan")),
        ("noise", float("inf")),
        ("blur", 0.6),
        ("levels", 1),
        ("levels", 2.5),
        ("levels", 5000),
        ("uniform", 0.5),
        ("uniform", 2),
    ],
)
def test_amounts_out_of_range_are_named(kind: str, amount: float) -> None:
    with pytest.raises(InvalidInputError, match=f"depth corruption {kind} = "):
        corrupt(relief(), kind, amount, 0)


def test_unusable_input_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean noise"):
        corrupt(relief(), "nois", 0.1, 0)
    with pytest.raises(InvalidInputError, match="must not be negative"):
        corrupt(relief(), "noise", 0.1, -1)
    with pytest.raises(InvalidInputError, match="uint16"):
        corrupt(relief().astype(np.float32), "noise", 0.1, 0)
    with pytest.raises(InvalidInputError, match="uint16"):
        corrupt(relief()[0], "noise", 0.1, 0)


def test_no_other_near_end_would_be_finer() -> None:
    def worst(near: int) -> float:
        d = np.arange(near, FAR)
        steps = (1 / d - 1 / (d + 1)) / (1 / near - 1 / FAR)
        return float(steps.max())

    chosen = worst(NEAR)
    assert all(worst(near) >= chosen for near in (1, 100, 16384, 30000, 32700, 32900, 40000, 60000))
    assert chosen / 2 == pytest.approx(1 / NEAR, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (2, 4, 5), elements=st.floats(-1e4, 1e4, width=32)),
    st.floats(0.1, 1e3),
    st.floats(-100, 100),
)
def test_pseudo_distance_is_affine_in_its_inverse(maps: Array, scale: float, shift: float) -> None:
    found = pseudo_distance(maps)
    for image, out in zip(maps.astype(np.float64), found, strict=True):
        if image.max() - image.min() < 1e-2:
            continue  # with scale and shift as below, near the rounding of floats
        inverse = 1 / out.astype(np.float64)
        share = (inverse - 1 / FAR) / (1 / NEAR - 1 / FAR)
        wanted = (image - image.min()) / (image.max() - image.min())
        assert np.abs(share - wanted).max() <= 1 / NEAR
        moved = pseudo_distance(scale * image[None] + shift)[0].astype(int)
        assert np.abs(moved - out).max() <= 1  # scale and shift are not in it


@pytest.mark.parametrize("ripple", [0.0, 1e-7])
def test_a_flat_map_is_flat_and_rounding_is_no_relief(ripple: float) -> None:
    flat = 0.25 * (1 + ripple * np.random.default_rng(0).random((1, 9, 9)))
    assert np.unique(pseudo_distance(flat)).tolist() == [FAR]
