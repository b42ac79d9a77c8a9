"""Frozen features by name: EfficientNet-Lite0's stages, and any network of timm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kpbench.api import FitContext
from kpbench.errors import (
    KpbenchError,
    MissingPackageError,
    MissingWeightsError,
    TrainingError,
    UnknownNameError,
)
from kpbench.nn import PerceptualLoss, feature_maps
from kpbench.nn.features import _stage
from kpbench.registry import load_method
from kpbench.testing import check_method, toy_labelled

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
NETWORK = "test_resnet"


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    _stage.cache_clear()
    yield
    _stage.cache_clear()


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm")


@pytest.fixture
def weights(timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """Return a small network with random weights, whose weights timm finds in a file."""
    torch.manual_seed(3)
    network = timm.create_model(NETWORK).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    create = timm.create_model

    def found_at(file: Path) -> Any:
        overlay = {"file": str(file), "hf_hub_id": None}
        monkeypatch.setattr(timm, "create_model", partial(create, pretrained_cfg_overlay=overlay))
        return network

    return found_at


@pytest.mark.parametrize("stage", [1, 3, 5])
def test_the_stages_are_those_of_the_perceptual_loss(stage: int) -> None:
    [found] = feature_maps(IMAGES, "efficientnet_lite0", stage, 40)
    pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        wanted = PerceptualLoss("efficientnet_lite0").features(pixels)[stage - 1]
    assert torch.allclose(found, wanted, atol=1e-3)


def test_without_timm_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'kpbench\[timm\]'"):
        next(feature_maps(IMAGES, "resnet18", 1, 64))
    assert next(feature_maps(IMAGES, "efficientnet_lite0", 1, 64)).shape == (5, 16, 32, 32)


def test_networks_of_timm_are_read_as_they_were_trained(
    weights: Callable[[Path], Any], tmp_path: Path
) -> None:
    network = weights(tmp_path / "weights.pth")
    state = torch.get_rng_state()
    maps = list(feature_maps(IMAGES, NETWORK, 2, 40))
    assert torch.equal(torch.get_rng_state(), state)
    cfg = network.pretrained_cfg
    pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor(cfg["mean"])[:, None, None]) / torch.tensor(cfg["std"])[
        :, None, None
    ]
    with torch.no_grad():
        wanted = network.forward_intermediates(pixels, indices=[1], intermediates_only=True)[0]
    assert torch.cat(maps).shape == wanted.shape
    assert torch.allclose(torch.cat(maps), wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["feature_clusters", "dff"])
def test_methods_take_them(name: str, weights: Callable[[Path], Any], tmp_path: Path) -> None:
    weights(tmp_path / "weights.pth")
    settings = {"features": NETWORK, "stage": 3, "image_size": 64}
    method = load_method(name).configured(role="x", recipe="quick", overrides=settings)
    check_method(_Kept(method, settings))
    images = toy_labelled(20).images
    method.fit(images, n_keypoints=3, seed=0, context=FitContext())
    points = method.predict(images).points
    assert np.ptp(points, axis=0).min() > 1e-3 and np.abs(points - 0.5).max() < 0.5


class _Kept:
    """A method that the checks configure with the settings that it has."""

    def __init__(self, method: Any, settings: dict[str, Any]) -> None:
        self._method, self._settings = method, settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def configured(self, *, role: str, recipe: Any, overrides: Any) -> Any:
        return self._method.configured(role=role, recipe=recipe, overrides=self._settings)


def test_what_timm_cannot_give_is_named(
    timm: Any, weights: Callable[[Path], Any], tmp_path: Path
) -> None:
    def message(kind: type[KpbenchError], name: str, stage: int = 1, size: int = 64) -> str:
        with pytest.raises(kind) as caught:
            next(feature_maps(IMAGES, name, stage, size))
        return str(caught.value)

    assert "did you mean" in message(UnknownNameError, "resnt18")
    assert "resnet18" in message(UnknownNameError, "resnt18")
    assert "did you mean efficientnet_lite0" in message(UnknownNameError, "efficientnet_lite0x")
    assert len(message(UnknownNameError, "no such thing")) < 200
    assert "no network with weights" in message(UnknownNameError, "resnet18.no_such_tag")
    assert "stage must be from 1 to 5, got 6" in message(TrainingError, NETWORK, 6)
    weights(tmp_path / "nowhere.pth")
    said = message(MissingWeightsError, NETWORK)
    assert f"the weights of {NETWORK}" in said
    assert f"timm.create_model('{NETWORK}', pretrained=True)" in said
    whole = (tmp_path / "weights.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    weights(tmp_path / "cut.pth")
    assert f"the weights of {NETWORK}" in message(MissingWeightsError, NETWORK)


def test_channels_that_lie_last_are_brought_forward_and_sizes_are_explained(
    timm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "swin_tiny_patch4_window7_224"
    create = timm.create_model

    def untrained(name: str, pretrained: bool = False, **kwargs: Any) -> Any:
        return create(name, **kwargs)

    monkeypatch.setattr(timm, "create_model", untrained)
    [maps] = feature_maps(IMAGES[:1], name, 1, 224)
    assert maps.shape == (1, 96, 56, 56)
    with pytest.raises(TrainingError, match="set image_size=224"):
        next(feature_maps(IMAGES[:1], name, 1, 128))
