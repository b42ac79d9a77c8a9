"""References: what masks and pretrained features give away without any training."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from kpbench.api import FitContext, ImageSet
from kpbench.errors import CheckpointError, InvalidInputError, TrainingError
from kpbench.registry import available, load_method
from kpbench.testing import check_method, toy_labelled

MASKS = ("mask_centroid", "mask_box", "mask_strips")


def plugin(name: str, **overrides: Any) -> Any:
    found = importlib.import_module(f"kpbench_methods.{name}").PLUGIN
    return found.configured(role="human36m", recipe="quick", overrides=overrides)


def fitted(name: str, images: ImageSet, k: int, **overrides: Any) -> Any:
    method = plugin(name, **overrides)
    method.fit(images, n_keypoints=k, seed=0, context=FitContext())
    return method


def masked(mask: np.ndarray[Any, Any]) -> ImageSet:
    return ImageSet(np.zeros((*mask.shape, 3), np.uint8), mask=mask)


@pytest.mark.parametrize("name", [*MASKS, "feature_clusters", "dff"])
def test_they_keep_the_contract_and_are_never_ranked(name: str) -> None:
    check_method(load_method(name))
    kind = "baseline" if name == "mask_centroid" else "other"
    assert getattr(load_method(name), "reference", "") == kind
    assert load_method(name).paper == ""


def test_every_method_without_a_paper_is_a_reference() -> None:
    """And no other: a row of a board is ranked, or it is told why it is not."""
    methods = [load_method(name) for name in available("methods")]
    assert all((m.paper == "") == bool(getattr(m, "reference", "")) for m in methods)


def test_masks_are_read_by_x_and_y() -> None:
    mask = np.zeros((2, 4, 8), bool)
    mask[0, 1:3, 4:6] = True  # rows 1 and 2 of 4, columns 4 and 5 of 8
    images = masked(mask)
    centre = fitted("mask_centroid", images, 3).predict(images).points
    assert centre[0].tolist() == [[5 / 8, 0.5]] * 3
    assert centre[1].tolist() == [[0.5, 0.5]] * 3  # nothing is shown
    box = fitted("mask_box", images, 4).predict(images).points
    upper, lower = [4.5 / 8, 1.5 / 4], [5.5 / 8, 2.5 / 4]
    assert box[0].tolist() == [[5 / 8, 0.5], upper, lower, [5 / 8, 0.5]]
    strips = fitted("mask_strips", images, 2).predict(images).points
    assert strips[0].tolist() == [[5 / 8, 1.5 / 4], [5 / 8, 2.5 / 4]]
    assert fitted("mask_strips", images, 5).predict(images).points[0].tolist() == [[5 / 8, 0.5]] * 5


def test_strips_are_equal_shares_of_the_object() -> None:
    mask = np.zeros((1, 6, 10), bool)
    mask[0, 0] = True  # ten pixels at the top, two in each row below
    mask[0, 1:, :2] = True
    points = fitted("mask_strips", masked(mask), 2).predict(masked(mask)).points[0]
    assert points[0].tolist() == pytest.approx([0.5 * 0.8 + 0.2 * 0.5, 1 / 12], abs=0.12)
    assert points[0, 1] < points[1, 1] and points[1, 0] == pytest.approx(0.1)


def test_without_masks_they_say_so() -> None:
    images = masked(np.ones((2, 8, 8), bool))
    method = fitted("mask_centroid", images, 2)
    with pytest.raises(InvalidInputError, match="no mask"):
        method.predict(ImageSet(images.images))


@pytest.mark.parametrize("name", ["feature_clusters", "dff"])
def test_parts_follow_what_is_shown(name: str) -> None:
    """A disc that moves takes a part with it."""
    labelled = toy_labelled(40, size=64)
    method = fitted(name, labelled.images, 4, image_size=64, stage=4)
    points = method.predict(labelled.images).points
    centre = labelled.landmarks.mean(1)
    follows = [
        min(np.corrcoef(points[:, k, axis], centre[:, axis])[0, 1] for axis in (0, 1))
        for k in range(4)
    ]
    assert max(follows) > 0.9
    assert ((points > 0) & (points < 1)).all()


@pytest.mark.parametrize("name", ["feature_clusters", "dff"])
def test_unusable_settings_of_parts_are_named(name: str) -> None:
    images = toy_labelled(3).images
    for stage in (0, 6):
        with pytest.raises(TrainingError, match=f"stage must be from 1 to 5, got {stage}"):
            fitted(name, images, 2, stage=stage)
    with pytest.raises(TrainingError, match="image_size"):
        fitted(name, images, 2, image_size=16)
    with pytest.raises(TrainingError, match="cannot make 99 parts"):
        fitted(name, images, 99, image_size=32)
    with pytest.raises(CheckpointError, match="not fitted"):
        plugin(name).predict(images)


def test_heatmaps_are_least_squares_that_cannot_be_negative() -> None:
    heatmaps = importlib.import_module("kpbench_methods.dff").heatmaps
    rng = np.random.default_rng(0)
    factors = (rng.random((3, 10)) ** 4).astype(np.float32)
    held = rng.random((2, 3, 7)).astype(np.float32) * (rng.random((2, 3, 7)) < 0.6)
    held[1, :, 4] = 0
    features = np.einsum("kc,bkp->bcp", factors, held) + rng.random((2, 10, 7)) * 0.1
    features[1, :, 4] = 0
    found = heatmaps(torch.from_numpy(features).float(), torch.from_numpy(factors)).numpy()
    assert found.shape == held.shape and (found >= 0).all() and (found[1, :, 4] == 0).all()
    for image, place in itertools.product(range(2), range(7)):
        wanted, _ = nnls(factors.T.astype(np.float64), features[image, :, place])
        assert found[image, :, place] == pytest.approx(wanted, abs=0.03)


def test_a_part_that_is_nowhere_lies_in_the_centre() -> None:
    images = toy_labelled(20, size=64).images
    method = fitted("dff", images, 3, image_size=64)
    method._factors[1] = 0
    points = method.predict(images).points
    assert points[:, 1] == pytest.approx(0.5)
    assert np.ptp(points[:, [0, 2]], axis=0).min() > 0.01


def test_a_larger_exponent_goes_to_where_most_of_a_part_is() -> None:
    images = toy_labelled(20, size=64).images
    spread = []
    for exponent in (0.5, 2.0, 6.0):
        method = fitted("dff", images, 3, image_size=64, exponent=exponent)
        spread.append(float(np.abs(method.predict(images).points - 0.5).mean()))
    assert spread[0] < spread[1] < spread[2]


def test_places_are_drawn_from_all_images_by_the_seed() -> None:
    images = toy_labelled(10, size=64).images
    method = plugin("dff", image_size=64, stage=5, most_places=30)
    drawn = [method._places(images, seed) for seed in (0, 0, 1)]
    assert drawn[0].shape == (30, 224) and (drawn[0] >= 0).all()
    assert np.linalg.norm(drawn[0], axis=1) == pytest.approx(1, abs=1e-4)
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    everything = plugin("dff", image_size=64, stage=5)._places(images, 0)
    assert len(everything) == 10 * 16
    rows = {row.tobytes() for row in everything}
    assert {row.tobytes() for row in drawn[0]} <= rows and len(rows) > 150
