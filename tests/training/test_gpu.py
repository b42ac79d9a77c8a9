"""What a training does on a GPU, as far as that shows without one.

Fake tensors know their device and shape but hold no numbers: whatever mixes devices, or needs a
number on the CPU and so waits for the GPU, fails on them.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensor,
    FakeTensorMode,
)

from kpbench.api import FitContext, ImageSet
from kpbench.nn import images as training_data
from kpbench.nn import warp
from kpbench.nn.warp import ColourRange
from kpbench.testing import toy_labelled
from kpbench.training import batch as batch_module
from kpbench.training import loop
from kpbench.training.batch import Data
from kpbench.training.frozen import Helper

TRAINED = ("autolink", "depth_teacher", "distill_dkp")
K = 5


def plugin(name: str, **overrides: Any) -> Any:
    module = importlib.import_module(f"kpbench_methods.{name}")
    return module.PLUGIN.configured(role="human36m", recipe="smoke", overrides=overrides)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    return ImageSet(rgb, depth=rng.integers(0, 4000, (12, 32, 32)).astype(np.uint16))


@pytest.fixture(scope="module")
def teacher(images: ImageSet) -> Any:
    return fitted("depth_teacher", images, None)


def fitted(name: str, images: ImageSet, teacher: Any, **settings: Any) -> Any:
    method = plugin(name)
    context = FitContext(**settings, dependency=teacher if name == "distill_dkp" else None)
    method.fit(images.restricted(method.needs), n_keypoints=K, seed=0, context=context)
    return method


class TestOneGraph:
    @pytest.mark.parametrize("name", TRAINED)
    def test_compiled_networks_train_as_they_are(
        self, name: str, images: ImageSet, teacher: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        losses: list[float] = []

        def note(done: int, total: int, text: str) -> None:
            losses.append(float(text.removeprefix("loss ")))

        fitted(name, images, teacher, progress=note)
        plain = losses.copy()
        losses.clear()
        compiled: list[Any] = []

        def compile_without_a_compiler(network: Any, **how: Any) -> Any:
            compiled.append(network)
            return torch_compile(network, backend="aot_eager", **how)

        torch_compile = torch.compile
        monkeypatch.setattr(torch, "compile", compile_without_a_compiler)
        monkeypatch.setattr(loop, "compiles", lambda device, visited: True)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*uncompiled")
            fitted(name, images, teacher, progress=note)
        # detector, decoder, perceptual distance and what is wanted; the teacher and what it says
        assert len(compiled) == (6 if name == "distill_dkp" else 4)
        assert len(plain) == 3
        np.testing.assert_allclose(losses, plain, atol=0.0011)  # they are printed to 0.001


class TestOnAFakeGpu:
    """Forward passes alone: autograd asks the driver for a GPU."""

    @pytest.fixture
    def mode(self, monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
        mode = FakeTensorMode(allow_non_fake_inputs=False)

        def fake(tensor: Tensor) -> Tensor:
            return tensor if isinstance(tensor, FakeTensor) else mode.from_tensor(tensor)

        def apply(module: nn.Module, change: Callable[[Tensor], Tensor], *_: Any) -> nn.Module:
            with mode:
                for part in module.modules():
                    for name, old in part._parameters.items():
                        if old is not None:
                            moved = change(fake(old).detach())
                            part._parameters[name] = nn.Parameter(moved, old.requires_grad)
                    for name, value in part._buffers.items():
                        if value is not None:
                            part._buffers[name] = change(fake(value))
            return module

        monkeypatch.setattr(nn.Module, "_apply", apply)

        def pin(tensor: Tensor) -> Tensor:
            if tensor.device.type != "cpu":  # as PyTorch does
                raise RuntimeError("only dense CPU tensors can be pinned")
            return tensor

        monkeypatch.setattr(Tensor, "pin_memory", pin)
        monkeypatch.setattr(training_data, "_order", training_data._order.__wrapped__)
        monkeypatch.setattr(warp, "_system", warp._system.__wrapped__)
        return mode

    @pytest.mark.parametrize("kept", [False, True])
    @pytest.mark.parametrize("name", TRAINED)
    def test_a_step_mixes_no_devices_and_waits_for_nothing(
        self,
        name: str,
        kept: bool,
        images: ImageSet,
        teacher: Any,
        mode: FakeTensorMode,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        losses: list[Tensor] = []

        def take_steps(
            network: nn.Module,
            loss: loop.Loss,
            images: ImageSet,
            pixels: Tensor,
            training: loop.Training,
            context: FitContext,
            *,
            helpers: Mapping[str, Helper],
            settings: Any,
        ) -> None:
            with mode:
                network.to("cuda").train()
                there = {}
                for name, helper in helpers.items():
                    helper.network.to("cuda")
                    seen = None if helper.pixels is None else mode.from_tensor(helper.pixels)
                    there[name] = replace(helper, pixels=seen)
                data = Data(
                    images,
                    mode.from_tensor(pixels),
                    there,
                    "cuda",
                    batch_size=training.batch_size,
                    flip=training.flip,
                    seed=training.seed,
                    steps=training.steps,
                )
                for each in data.outputs.values():
                    each.worthwhile = kept
                watch = loop._Losses(steps=99, every=50)
                for step in range(3):
                    losses.append(loss(network, data.batch(step)))
                    watch.add(step + 1, losses[-1])
                assert all((each.known is not None) is kept for each in data.outputs.values())
            raise _EnoughError

        monkeypatch.setattr(loop, "fit_network", take_steps)
        monkeypatch.setattr(batch_module, "placed", lambda pixels, device: pixels.to(device))
        # it computes with numbers, which fake networks have not
        student = importlib.import_module("kpbench_methods.distill_dkp").DistillDKP
        monkeypatch.setattr(student, "_compare", lambda *_: None)
        with pytest.raises(_EnoughError):
            fitted(name, images, teacher, device="cuda")
        assert [loss.device.type for loss in losses] == ["cuda"] * 3

    @pytest.mark.parametrize("place", ["cpu", "cuda"])
    def test_all_that_a_batch_offers_is_on_the_gpu(
        self, place: str, mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Wherever the images lie: those of a large data set stay in host memory."""
        known = toy_labelled(8).images

        def placed(tensor: Tensor, device: str) -> Tensor:
            there = tensor if isinstance(tensor, FakeTensor) else mode.from_tensor(tensor)
            return there.to(place)

        monkeypatch.setattr(batch_module, "placed", placed)
        with mode:
            pixels = torch.empty(8, 32, 32, 3, dtype=torch.uint8)
            data = Data(
                known, pixels, {}, "cuda", batch_size=4, flip=True, seed=0, steps=3
            )  # fmt: skip
            signals = {
                "frames": torch.empty(8, 32, 32, 3, dtype=torch.uint8),
                "depth": torch.empty(8, 32, 32),
                "mask": torch.empty(8, 32, 32),
            }
            data._signals |= {name: placed(signal, "cuda") for name, signal in signals.items()}
            batch = data.batch(1)
            copy = batch.warped(colours=ColourRange())
            points = torch.zeros(4, K, 2, device="cuda", requires_grad=True)
            found = [batch.images, batch.frames, batch.depth, batch.mask, copy.images]
            found += [copy.warp.source(points), copy.warp.target(points)]
            assert {tensor.device.type for tensor in found} == {"cuda"}
            assert [tuple(t.shape) for t in found[:4]] == [
                (4, 3, 32, 32), (4, 3, 32, 32), (4, 1, 32, 32), (4, 1, 32, 32)
            ]  # fmt: skip

    def test_it_would_notice(self, mode: FakeTensorMode) -> None:
        with mode:
            there = torch.ones(3, device="cuda")
            with pytest.raises(Exception, match="device"):
                there + torch.ones(3)
            with pytest.raises(DataDependentOutputException):
                float(there.sum())


class _EnoughError(Exception):
    """The steps were taken."""
