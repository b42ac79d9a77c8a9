"""Focus against the geometry of a thin lens and against Gaussians written as plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kpbench.people.picture.focus import LEVELS, circle_of_confusion, defocused


def traced(depth: float, distance: float, focal: float, aperture: float) -> float:
    """Return the disc's diameter by similar triangles behind a thin lens; all in metres.

    1 / object + 1 / image = 1 / focal; the sensor stands where the focused distance is imaged.
    """
    sensor, image = (1 / (1 / focal - 1 / d) for d in (distance, depth))
    return aperture * abs(sensor - image) / image


@pytest.mark.parametrize("depth", [0.7, 2.0, 3.9, 4.0, 5.0, 30.0])
def test_the_disc_is_that_of_a_thin_lens(depth: float) -> None:
    """A lens of 50 mm before a sensor 36 mm wide: 1.39 image widths."""
    focal, width, distance, aperture = 0.05, 0.036, 4.0, 0.05 / 1.8
    # exact where the focal length is replaced by the distance from lens to sensor
    behind = 1 / (1 / focal - 1 / distance)
    found = circle_of_confusion(
        torch.tensor([[depth]], dtype=torch.float64),
        torch.tensor([behind / width], dtype=torch.float64),
        torch.tensor([distance], dtype=torch.float64),
        torch.tensor([aperture], dtype=torch.float64),
    )
    expected = traced(depth, distance, focal, aperture) / width
    np.testing.assert_allclose(float(found), expected, rtol=1e-9, atol=1e-12)


def test_discs_computed_by_hand() -> None:
    depth = torch.tensor([[2.0, 4.0, 1.0, 8.0], [3.0, 6.0, 3.0, 1.5]])
    found = circle_of_confusion(
        depth, torch.tensor([1.5, 2.0]), torch.tensor([2.0, 3.0]), torch.tensor([0.08, 0.0])
    )
    # 0.08 * 1.5 / 2 = 0.06 widths, times |d - 2| / d
    torch.testing.assert_close(found[0], torch.tensor([0.0, 0.03, 0.06, 0.045]))
    assert (found[1] == 0).all(), "a pinhole has no discs"


def picture(batch: int = 1, size: int = 33, seed: int = 0) -> Tensor:
    return torch.rand(3, batch, size, size, generator=torch.Generator().manual_seed(seed))


def point(size: int) -> Tensor:
    found = torch.zeros(3, 1, size, size, dtype=torch.float64)
    found[:, :, size // 2, size // 2] = 1
    return found


def test_without_aperture_nothing_changes() -> None:
    """Alone, and beside a picture that is blurred."""
    colour = picture(2)
    assert torch.equal(defocused(colour.clone(), torch.zeros(2, 33, 33)), colour)
    discs = torch.zeros(2, 33, 33)
    discs[1] = 7.0
    found = defocused(colour.clone(), discs)
    assert torch.equal(found[:, 0], colour[:, 0])
    assert (found[:, 1] - colour[:, 1]).abs().mean() > 0.05


def test_one_colour_stays_that_colour() -> None:
    colour = torch.tensor([0.1, 0.5, 0.9])[:, None, None, None].expand(3, 2, 24, 24)
    discs = torch.rand(2, 24, 24, generator=torch.Generator().manual_seed(1)) * 20
    torch.testing.assert_close(defocused(colour.clone(), discs), colour, atol=1e-6, rtol=0)


@pytest.mark.parametrize("diameter", [4.0, 8.0, 13.0])
def test_a_point_becomes_a_gaussian_of_the_discs_variance(diameter: float) -> None:
    """A disc of diameter D has a variance of D^2 / 16 along each axis."""
    size = 61
    discs = torch.full((1, size, size), diameter, dtype=torch.float64)
    found = defocused(point(size), discs)[1, 0].numpy()
    away = np.arange(size) - size // 2
    assert found.sum() == pytest.approx(1, abs=1e-6)
    # a Gaussian that is cut at three deviations has 97.3 % of the variance
    for axis in (0, 1):
        assert found.sum(axis) @ away**2 == pytest.approx(diameter**2 / 16, rel=0.04)
        assert found.sum(axis) @ away == pytest.approx(0, abs=1e-9)
    inside = np.add.outer(away**2, away**2) <= (diameter / 2) ** 2
    spread = math.exp(-0.5) ** (np.add.outer(away**2, away**2) / (diameter / 4) ** 2)
    np.testing.assert_allclose(found[inside] / found.max(), spread[inside], rtol=1e-6)


def test_between_two_levels_the_variance_lies_between_theirs() -> None:
    """The strongest disc of the picture sets the levels; a smaller one is put together of two."""
    size, strongest, smaller = 61, 12.0, 10.0
    discs = torch.full((1, size, size), smaller, dtype=torch.float64)
    discs[0, 0, 0] = strongest
    found = defocused(point(size), discs)[0, 0].numpy()
    away = np.arange(size) - size // 2
    level = smaller / strongest * LEVELS
    low, high = math.floor(level), math.floor(level) + 1
    variance = [(strongest / 4 * n / LEVELS) ** 2 for n in (low, high)]
    expected = variance[0] * (high - level) + variance[1] * (level - low)
    assert found.sum(0) @ away**2 == pytest.approx(expected, rel=0.04)


def test_what_is_focused_stays_sharp_beside_what_is_not() -> None:
    colour, discs = picture(size=40), torch.zeros(1, 40, 40)
    discs[:, :, 20:] = 9.0
    found = defocused(colour.clone(), discs)
    assert torch.equal(found[..., :20], colour[..., :20])
    # of neighbours that are independent, a Gaussian of 2.25 samples leaves an eighth
    assert found[..., 28:].std() < 0.25 * colour[..., 28:].std()


def test_the_mean_is_kept_and_borders_are_replicated() -> None:
    colour = torch.zeros(3, 1, 60, 60)
    colour[..., 25:35, 22:30] = 0.8
    found = defocused(colour.clone(), torch.full((1, 60, 60), 10.0))
    torch.testing.assert_close(found.mean(), colour.mean(), atol=1e-6, rtol=1e-5)
    half = torch.zeros(3, 1, 30, 30)
    half[..., 15:] = 1
    blurred = defocused(half.clone(), torch.full((1, 30, 30), 8.0))
    torch.testing.assert_close(blurred[..., -1], torch.ones(3, 1, 30), atol=1e-6, rtol=0)
    torch.testing.assert_close(blurred[..., 0, :], blurred[..., 15, :], atol=1e-6, rtol=0)


@pytest.mark.parametrize("strengths", [(0.0, 3.0, 30.0), (9.0, 8.9, 0.2)])
def test_pictures_blurred_together_are_those_blurred_alone(strengths: tuple[float, ...]) -> None:
    """To the bit: the images of a set do not depend on how they are grouped."""
    colour = picture(3, 48)
    discs = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(2))
    discs *= torch.tensor(strengths)[:, None, None]
    together = defocused(colour.clone(), discs)
    for i in range(3):
        alone = defocused(colour[:, i : i + 1].clone(), discs[i : i + 1])
        assert torch.equal(together[:, i : i + 1], alone), i
