"""A method of a few lines, from fit to export: what `TorchMethod` adds to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kpbench import (
    Batch,
    ColourRange,
    Decay,
    FitContext,
    Group,
    Helper,
    ImageSet,
    Optimiser,
    TorchMethod,
    WarpRange,
)
from kpbench.api import ExportableMethod, Method, MovableMethod
from kpbench.errors import CheckpointError, TrainingError, UnknownNameError
from kpbench.nn import soft_argmax
from kpbench.nn.export import export_onnx, export_torch
from kpbench.testing import check_method, toy_labelled

K = 3


@dataclass
class Moving(TorchMethod):
    """Points that move with the image."""

    name = "moving"
    recipes = {"smoke": {"image_size": 32, "batch_size": 4, "steps": 3}}  # noqa: RUF012
    roles = {"taichi": {"width": 6, "steps": 7}}  # noqa: RUF012

    width: int = 4
    rate_of_head: float = 1e-3

    def network(self, n_keypoints: int) -> nn.Module:
        """Return a convolution, its norm, and one map a keypoint."""
        body = nn.Sequential(nn.Conv2d(3, self.width, 5, 2, 2), nn.BatchNorm2d(self.width))
        return nn.Sequential(body, nn.ReLU(), nn.Conv2d(self.width, n_keypoints, 1))

    def keypoints(self, network: Any, images: Tensor) -> Tensor:
        """Return the points."""
        return soft_argmax(network(images))

    def loss(self, network: Any, batch: Batch) -> Tensor:
        """Return how far points are from where the image moved them."""
        copy = batch.warped(warp=WarpRange(), colours=ColourRange())
        moved = copy.warp.target(self.keypoints(network, batch.images))
        return (self.keypoints(network, copy.images) - moved).square().mean()

    def optimiser(self) -> Optimiser:
        """Return Adam with everything that there is."""
        return Optimiser(
            "adam",
            self.learning_rate,
            groups=(Group("2.", learning_rate=self.rate_of_head),),
            decay=Decay("cosine", warm_up=1),
            clip=1.0,
            average=0.5,
        )


def configured(**overrides: Any) -> Moving:
    return Moving().configured(role="human36m", recipe="smoke", overrides=overrides)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return toy_labelled(12).images


def fitted(images: ImageSet, seed: int = 0, **overrides: Any) -> Moving:
    method = configured(**overrides)
    view = images.restricted(())
    method.fit(view, n_keypoints=K, seed=seed, context=FitContext(recipe="smoke"))
    return method


def test_it_keeps_the_contract() -> None:
    check_method(Moving())
    assert isinstance(Moving(), Method)
    assert isinstance(Moving(), MovableMethod)
    assert isinstance(Moving(), ExportableMethod)


def test_parameters_are_the_defaults_then_the_role_then_the_recipe_then_the_user() -> None:
    def params(role: str, recipe: Any, **overrides: Any) -> tuple[int, int, int]:
        found = Moving().configured(role=role, recipe=recipe, overrides=overrides)
        return found.width, found.steps, found.image_size

    assert params("other", "paper") == (4, 20_000, 128)
    assert params("taichi", "paper") == (6, 7, 128)
    assert params("taichi", "smoke") == (6, 3, 32)
    assert params("taichi", "smoke", steps=2, width=5) == (5, 2, 32)
    with pytest.raises(UnknownNameError, match="did you mean steps"):
        configured(step=2)


def test_saved_with_k_and_loaded(images: ImageSet, tmp_path: Path) -> None:
    method = fitted(images)
    method.save(tmp_path)
    loaded = configured()
    loaded.load(tmp_path)
    view = images.restricted(())
    assert loaded.predict(view).points.shape == (12, K, 2)
    np.testing.assert_array_equal(loaded.predict(view).points, method.predict(view).points)
    assert loaded.state()["n_keypoints"] == K
    state = dict(method.state())
    for broken in ({**state, "n_keypoints": np.array(K + 1)}, {"n_keypoints": np.array(K)}):
        with pytest.raises(CheckpointError, match="does not fit moving"):
            configured().restore(broken)
    del state["n_keypoints"]
    with pytest.raises(CheckpointError, match="does not fit moving"):
        configured().restore(state)
    with pytest.raises(CheckpointError, match="not fitted"):
        configured().predict(view)


def test_training_makes_points_move_with_the_image(images: ImageSet) -> None:
    def stray(method: Moving) -> float:
        from kpbench.nn.images import normalised
        from kpbench.nn.warp import Warp

        pictures = normalised(torch.from_numpy(np.array(images.images)))
        warp = Warp.random(len(pictures), WarpRange(), torch.Generator().manual_seed(9))
        with torch.no_grad():
            moved = warp.target(method.keypoints(method.fitted(), pictures))
            again = method.keypoints(method.fitted(), warp.images(pictures))
        return float((again - moved).norm(dim=-1).mean())

    learnt = fitted(images, steps=150, learning_rate=1e-2, rate_of_head=1e-2)
    assert stray(learnt) < 0.7 * stray(fitted(images, steps=1))


def test_what_the_optimiser_says_is_done(images: ImageSet) -> None:
    usual = fitted(images, steps=4).state()
    slow = fitted(images, steps=4, rate_of_head=1e-9).state()
    start = configured().built(K, seed=0).state_dict()["2.weight"].numpy()
    assert np.abs(slow["2.weight"] - start).max() < 1e-6 < np.abs(usual["2.weight"] - start).max()


@pytest.mark.parametrize("write", [export_onnx, export_torch])
def test_a_network_without_heatmaps_is_exported(
    write: Any, images: ImageSet, tmp_path: Path
) -> None:
    method = fitted(images)
    assert write(method, images.restricted(()), tmp_path / "file") < 1e-4
    if write is export_torch:
        program = torch.export.load(tmp_path / "file").module()
        [points] = program(torch.from_numpy(np.array(images.images)))
        wanted = method.predict(images.restricted(())).points
        np.testing.assert_allclose(points.detach().numpy(), wanted, atol=1e-4)


def test_helpers_are_frozen_and_asked_about_the_images_of_the_batch(images: ImageSet) -> None:
    seen: list[bool] = []

    class Told(Moving):
        def helpers(self, images: ImageSet, **_: Any) -> dict[str, Helper]:
            network = nn.Conv2d(3, 1, 1)
            return {"grey": Helper(network, says=lambda x: network(x).flatten(1))}

        def loss(self, network: Any, batch: Batch) -> Tensor:
            asked = batch.helpers["grey"]
            assert not any(p.requires_grad for p in asked.parameters())
            with torch.no_grad():
                wanted = asked(batch.images).flatten(1)
            seen.append(torch.allclose(batch.said("grey"), wanted, atol=1e-5))
            return super().loss(network, batch)

    method = Told(image_size=32, batch_size=4, steps=20, flip=True)
    method.fit(images.restricted(()), n_keypoints=K, seed=0, context=FitContext())
    assert seen == [True] * 20


def test_unusable_values_are_named(images: ImageSet) -> None:
    for wrong in ({"image_size": 0}, {"steps": 0}, {"batch_size": 0}, {"learning_rate": -1.0}):
        with pytest.raises(TrainingError, match=next(iter(wrong))):
            fitted(images, **wrong)
    with pytest.raises(TrainingError, match="K of 1 or more"):
        configured().fit(images, n_keypoints=0, seed=0, context=FitContext())
