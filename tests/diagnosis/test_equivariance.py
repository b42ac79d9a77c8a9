"""Warps against theory and each other; a detector that follows, one that does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kpbench.api import Array, ImageSet
from kpbench.diagnosis.equivariance import (
    KINDS,
    MIRROR,
    Warp,
    affine,
    draw_warp,
    equivariance,
    thin_plate_spline,
    warp_images,
)

SIZE = 64
GRID = (np.arange(SIZE) + 0.5) / SIZE


def dots(centres: Array, width: float = 1.5) -> ImageSet:
    """Return black images, each with one white dot, its depth and its mask."""
    x, y = np.meshgrid(GRID, GRID)
    distance = np.hypot(x - centres[:, 0, None, None], y - centres[:, 1, None, None]) * SIZE
    grey = np.rint(255 * np.exp(-((distance / width) ** 2) / 2)).astype(np.uint8)
    depth = np.where(distance < 3, 2000, 0).astype(np.uint16)
    return ImageSet(np.repeat(grey[..., None], 3, axis=-1), depth=depth, mask=distance < 3)


def centre_of(grey: Array) -> Array:
    light = grey / grey.sum((1, 2), keepdims=True)
    return np.stack([light.sum(1) @ GRID, light.sum(2) @ GRID], -1)[:, None]


def tracker(images: ImageSet) -> Array:
    """Find the dot exactly."""
    return centre_of(images.images.mean(-1))


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return dots(np.random.default_rng(0).uniform(0.35, 0.65, (40, 2)))


@pytest.mark.parametrize("kind", [*KINDS, "mirror"])
def test_backward_undoes_forward(kind: str) -> None:
    rng = np.random.default_rng(1)
    points = rng.random((50, 2))
    for _ in range(5):
        warp = draw_warp(kind, rng)
        assert np.abs(warp.forward(points) - points).max() > 0.01
        np.testing.assert_allclose(warp.backward(warp.forward(points)), points, atol=1e-6)
        np.testing.assert_allclose(warp.forward(warp.backward(points)), points, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "mirror"])
def test_a_dot_of_the_image_goes_where_forward_says(kind: str) -> None:
    """Warp and inverse warp of the image, x and y, or half a pixel mixed up: it would miss."""
    rng = np.random.default_rng(2)
    centres = rng.uniform(0.3, 0.7, (20, 2))
    warps = [draw_warp(kind, rng) for _ in centres]
    found = tracker(warp_images(dots(centres), warps))[:, 0]
    wanted = np.stack([w.forward(c) for w, c in zip(warps, centres, strict=True)])
    assert np.abs(found - wanted).max() * SIZE < 0.25
    wrong = np.stack([w.backward(c) for w, c in zip(warps, centres, strict=True)])
    if kind != "mirror":
        assert np.abs(found - wrong).max() * SIZE > 2


def test_a_quarter_turn_is_numpys() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    clockwise = affine(np.array([[0.0, -1.0], [1.0, 0.0]]), np.zeros(2))  # x right, y down
    turned = warp_images(ImageSet(pixels), [clockwise]).images[0]
    np.testing.assert_array_equal(turned, np.rot90(pixels[0], -1))
    mirrored = warp_images(ImageSet(pixels), [MIRROR]).images[0]
    np.testing.assert_array_equal(mirrored, pixels[0][:, ::-1])
    right = affine(np.eye(2), np.array([3 / 16, 0.0]))
    shifted = warp_images(ImageSet(pixels), [right]).images[0]
    np.testing.assert_array_equal(shifted[:, 3:], pixels[0][:, :-3])
    np.testing.assert_array_equal(shifted[:, :3], np.repeat(pixels[0][:, :1], 3, axis=1))


def test_the_spline_passes_through_its_control_points() -> None:
    rng = np.random.default_rng(4)
    displacements = rng.normal(0, 0.02, (5, 5, 2))
    warp = thin_plate_spline(displacements)
    ticks = np.linspace(0, 1, 5)
    for i, y in enumerate(ticks):
        for j, x in enumerate(ticks):
            point = np.array([x, y])
            np.testing.assert_allclose(warp.backward(point), point + displacements[i, j], atol=1e-9)
    tilted = np.stack(np.meshgrid(ticks, ticks), -1) * 0.1  # an affine field stays affine
    np.testing.assert_allclose(
        thin_plate_spline(tilted).backward(np.array([0.33, 0.77])), [0.363, 0.847], atol=1e-9
    )


def test_depth_and_masks_are_warped_with_the_image_and_never_mixed() -> None:
    centres = np.random.default_rng(5).uniform(0.35, 0.65, (12, 2))
    rng = np.random.default_rng(6)
    warps = [draw_warp("rotation", rng) for _ in centres]
    warped = warp_images(dots(centres), warps)
    assert warped.depth is not None and warped.mask is not None
    assert set(np.unique(warped.depth)) == {0, 2000}
    np.testing.assert_array_equal(warped.mask, warped.depth > 0)
    wanted = tracker(warped)
    assert np.abs(centre_of(warped.depth.astype(float)) - wanted).max() * SIZE < 0.5


def test_a_detector_that_follows_has_less_than_half_a_pixel(images: ImageSet) -> None:
    found = equivariance(tracker, images, tracker(images))
    assert set(found) == {*KINDS, "mirror"}
    assert all(error < 100 * 0.5 / SIZE for error in found.values()), found


def test_constants_have_the_error_of_the_warps_themselves(images: ImageSet) -> None:
    point = np.array([0.4, 0.55])

    def constant(images: ImageSet) -> Array:
        return np.tile(point, (len(images), 1, 1))

    found = equivariance(constant, images, constant(images), seed=7)
    rng = np.random.default_rng(7)
    moved: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for i in range(len(images)):
        warp = draw_warp(KINDS[i % 4], rng)
        moved[KINDS[i % 4]].append(float(np.hypot(*(warp.forward(point) - point))))
    for kind in KINDS:
        assert found[kind] == pytest.approx(100 * np.mean(moved[kind]), rel=1e-12)
    assert found["mirror"] == pytest.approx(100 * 0.2)


def test_left_and_right_may_change_places_under_the_mirror(images: ImageSet) -> None:
    """A detector of the image's left and right side is right; one that loses its dots is not."""

    def sides(images: ImageSet) -> Array:
        dot = tracker(images)
        return np.concatenate([dot - np.array([0.1, 0]), dot + np.array([0.1, 0])], axis=1)

    def same_side(images: ImageSet) -> Array:
        left = tracker(images) - np.array([0.1, 0])
        return np.concatenate([left, left], axis=1)

    assert equivariance(sides, images, sides(images))["mirror"] < 1e-6
    assert equivariance(same_side, images, same_side(images))["mirror"] == pytest.approx(20)


def test_keypoints_that_leave_the_image_do_not_count() -> None:
    images = dots(np.full((8, 2), 0.5))

    def corner(images: ImageSet) -> Array:
        return np.tile([[2.0, 2.0]], (len(images), 1, 1))

    assert equivariance(corner, images, corner(images)) == {}


def test_of_keypoints_at_the_border_those_that_stay_inside_count(images: ImageSet) -> None:
    point = np.array([0.97, 0.5])

    def border(images: ImageSet) -> Array:
        return np.tile(point, (len(images), 1, 1))

    found = equivariance(border, images, border(images), seed=3)
    rng = np.random.default_rng(3)
    warps = [draw_warp(KINDS[i % 4], rng) for i in range(len(images))]
    ends = np.array([warp.forward(point) for warp in warps])[KINDS.index("translation") :: 4]
    stays: Array = np.asarray((ends <= 1).all(1))
    assert 0 < stays.sum() < len(stays)
    expected = 100 * np.linalg.norm(ends[stays] - point, axis=1).mean()
    assert found["translation"] == pytest.approx(expected)


def test_images_are_few_and_spread_and_warps_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpbench.diagnosis.equivariance.N_IMAGES", 4)
    seen: list[int] = []

    def counted(images: ImageSet) -> Array:
        seen.append(len(images))
        return tracker(images)

    images = dots(np.random.default_rng(8).uniform(0.4, 0.6, (10, 2)))
    first = equivariance(counted, images, tracker(images))
    assert seen == [4, 4]
    assert equivariance(tracker, images, tracker(images)) == first
    alone = images[np.array([0, 2, 5, 7])]
    assert equivariance(tracker, alone, tracker(alone)) == first


def test_a_wrong_direction_would_be_seen(images: ImageSet) -> None:
    """With the inverse warp of points, a perfect tracker would look bad."""
    swap: Callable[[Warp], Warp] = lambda warp: Warp(warp.backward, warp.forward)  # noqa: E731
    rng = np.random.default_rng(0)
    warps = [draw_warp("rotation", rng) for _ in range(len(images))]
    points = tracker(images)
    found = tracker(warp_images(images, warps))
    wrong = np.stack([swap(w).forward(p) for w, p in zip(warps, points, strict=True)])
    assert 100 * np.linalg.norm(found - wrong, axis=-1).mean() > 5
