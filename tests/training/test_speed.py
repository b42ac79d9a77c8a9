"""Fast training against plain training: the same losses, from the same draws."""

from __future__ import annotations

import contextlib
import importlib
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch.utils._python_dispatch import TorchDispatchMode

from kpbench.api import FitContext, ImageSet
from kpbench.nn import Detector, PerceptualLoss, UNet, initialise
from kpbench.nn import fast as speed
from kpbench.nn.fast import compiled, compiles
from kpbench.nn.images import Draw, draw, take
from kpbench.training import frozen as training_frozen
from kpbench.training import loop
from kpbench.training.frozen import Outputs
from tests.training.plain import plain

K, N = 5, 8


def plugin(name: str, **overrides: Any) -> Any:
    found = importlib.import_module(f"kpbench_methods.{name}").PLUGIN
    small: dict[str, Any] = {
        "detector_width": 6,
        "decoder_width": 4,
        "batch_size": 4,
        "learning_rate": 3e-4,
    }
    return found.configured(
        role="human36m",
        recipe="quick",
        overrides={**small, "backbone": "efficientnet_lite0", **overrides},
    )


@pytest.fixture(scope="module")
def data() -> ImageSet:
    """Smooth pictures, so that features and edges differ from image to image."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((N, 3, 4, 4)))
    smooth = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bicubic").clamp(0, 1)
    rgb = (255 * smooth).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return ImageSet(rgb, depth=(rgb[..., 0].astype(np.uint16) + 1) * 12)


def losses(method: Any, data: ImageSet, dependency: Any = None) -> list[float]:
    """Return the loss of every step of a training."""
    seen: list[float] = []
    add = loop._Losses.add

    def noted(self: Any, step: int, loss: Tensor) -> None:
        seen.append(float(loss.detach()))
        add(self, step, loss)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Losses, "add", noted)
        method.fit(
            data.restricted(method.needs),
            n_keypoints=K,
            seed=3,
            context=FitContext(dependency=dependency),
        )
    return seen


@pytest.fixture(scope="module")
def teacher(data: ImageSet) -> Any:
    method = plugin("depth_teacher", steps=2)
    losses(method, data)
    return method


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("autolink", {}),
        ("depth_teacher", {}),
        ("distill_dkp", {"layer": "output"}),
        ("distill_dkp", {"layer": "transposed_conv"}),
        ("distill_dkp", {"layer": "resnet"}),
    ],
)
def test_fast_training_has_the_losses_of_plain_training(
    name: str, overrides: dict[str, Any], data: ImageSet, teacher: Any
) -> None:
    steps = 10
    dependency = teacher if name == "distill_dkp" else None
    found = {}
    kept: list[bool] = []
    compute = Outputs._compute

    def noted(self: Outputs) -> None:
        kept.append(fast)
        compute(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outputs, "_compute", noted)
        for fast in (True, False):
            with contextlib.nullcontext() if fast else plain():
                # 40 images from 16 entries: enough for fast training to keep frozen outputs
                method = plugin(name, steps=steps, **overrides)
                found[fast] = losses(method, data, dependency)
    assert kept and all(kept)
    # Rounding grows from step to step: AdamW divides small gradients by their own size.
    bounds = 1e-4 * 2.0 ** np.arange(steps)
    assert len(found[True]) == len(found[False]) == steps
    apart = np.abs(np.array(found[True]) / np.array(found[False]) - 1)
    assert (apart <= bounds).all(), apart
    assert np.ptp(found[True]) > 10 * bounds[0] * abs(found[True][0])  # something was learnt


def outputs(pixels: Tensor, network: Any, *, flip: bool, draws: int) -> Outputs:
    return Outputs(network, pixels, "cpu", flip=flip, draws=draws)


@pytest.mark.parametrize("flip", [True, False])
def test_kept_outputs_are_those_of_the_images_and_mirror_images(flip: bool, data: ImageSet) -> None:
    pixels = torch.from_numpy(np.array(data.images))
    wanted = PerceptualLoss("efficientnet_lite0").wanted
    kept = outputs(pixels, wanted, flip=flip, draws=1000)
    mirrored = 0
    for step in range(4):
        drawn = draw(N, 4, flip=flip, seed=0, step=step)
        mirrored += int(drawn.flips.sum())
        found = kept(drawn, lambda: pytest.fail("asked again"))
        torch.testing.assert_close(found, wanted(take(pixels, drawn, "cpu")), rtol=1e-4, atol=1e-4)
        assert not found.requires_grad
    assert (mirrored > 0) is flip
    assert kept.known is not None and len(kept.known) == N * (2 if flip else 1)


@pytest.mark.parametrize(("draws", "budget"), [(2 * 2 * N - 1, 2**30), (1000, 2 * N * 12 - 1)])
def test_outputs_are_not_kept_where_that_costs_more_than_it_saves_or_memory(
    draws: int, budget: int, data: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_frozen, "BUDGET", budget)  # 12 bytes an entry
    pixels = torch.from_numpy(np.array(data.images))
    asked = outputs(pixels, lambda x: x.mean(dim=(2, 3)), flip=True, draws=draws)
    for step in range(2):
        drawn = draw(N, 4, flip=True, seed=0, step=step)
        batch = take(pixels, drawn, "cpu")
        torch.testing.assert_close(
            asked(drawn, partial(torch.clone, batch)), batch.mean(dim=(2, 3))
        )
    assert asked.known is None
    monkeypatch.setattr(training_frozen, "BUDGET", 2 * N * 12)
    exactly = outputs(pixels, lambda x: x.mean(dim=(2, 3)), flip=True, draws=2 * 2 * N)
    exactly(drawn, lambda: pytest.fail("not kept"))


def test_kept_outputs_are_right_beyond_a_chunk() -> None:
    n = training_frozen._CHUNK + 6  # mirror images start inside a chunk
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 2, 2, 3), dtype=torch.uint8, generator=generator)
    kept = outputs(pixels, lambda x: x.flatten(1), flip=True, draws=10**6)
    entry = torch.arange(2 * n)
    drawn = Draw(entry % n, entry >= n, torch.Generator())
    found = kept(drawn, lambda: pytest.fail("asked"))
    assert torch.equal(found, take(pixels, drawn, "cpu").flatten(1))


class NoDouble(TorchDispatchMode):
    """Raises where anything makes a float64 tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor) and tensor.dtype == torch.float64:
                raise AssertionError(f"{func} made a float64 tensor")
        return made


def test_the_float64_detector_detects() -> None:
    with NoDouble(), pytest.raises(AssertionError, match="float64"):
        torch.zeros(2).double()


@pytest.mark.parametrize("name", ["autolink", "distill_dkp"])
def test_no_step_computes_in_float64(name: str, data: ImageSet, teacher: Any) -> None:
    step = loop._Run.training_step

    def watched(self: Any, *args: Any) -> Tensor:
        with NoDouble():
            loss = step(self, *args)
            torch.autograd.grad(
                loss, list(self.network.parameters()), retain_graph=True, allow_unused=True
            )
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Run, "training_step", watched)
        assert len(losses(plugin(name, steps=2), data, teacher)) == 2


@pytest.mark.parametrize("net", ["detector", "decoder"])
def test_the_networks_are_one_graph_each(net: str) -> None:
    torch.manual_seed(0)
    built: nn.Module = Detector(K, 4) if net == "detector" else UNet(4, 3, 4)
    initialise(built)
    x = torch.rand(2, 3 if net == "detector" else 4, 32, 32)
    graph = torch.compile(built, fullgraph=True, dynamic=False, backend="eager")
    found, wanted = ((f(x), f(x)) for f in (graph, built))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(
            *((v[1] if isinstance(v, tuple) else v) for v in (a, b)), rtol=1e-4, atol=1e-4
        )


def test_the_distance_is_one_graph() -> None:
    perceptual = PerceptualLoss("random")
    graph = torch.compile(perceptual, fullgraph=True, dynamic=False, backend="eager")
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    wanted = perceptual.wanted(torch.rand(2, 3, 32, 32))
    found, plainly = (
        torch.autograd.grad(distance(x, wanted), x)[0] for distance in (graph, perceptual)
    )
    torch.testing.assert_close(found, plainly, rtol=1e-3, atol=1e-7)


def test_a_network_that_cannot_be_compiled_runs_with_a_warning() -> None:
    def breaks(x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return x + 1

    call = compiled(breaks)
    with pytest.warns(UserWarning, match="uncompiled"):
        assert torch.equal(call(torch.zeros(2)), torch.ones(2))
    assert torch.equal(call(torch.zeros(2)), torch.ones(2))  # and is not tried again


def test_a_backward_pass_that_cannot_be_compiled_shows_at_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> Any:
        raise RuntimeError("no compiler")

    broken = aot_autograd(fw_compiler=make_boxed_func, bw_compiler=fails)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="uncompiled"):
        y = compiled(torch.square)(x)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2]


def test_a_method_says_how_much_it_will_look_at(
    data: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(loop, "compiles", lambda *of: asked.append(of))
    method = plugin("autolink", steps=3, backbone="random")
    method.fit(ImageSet(data.images), n_keypoints=K, seed=0, context=FitContext())
    assert asked == [("cpu", 3 * method.batch_size * method.image_size**2)]


def test_compiling_is_for_long_trainings_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    long = 20_001 * 64 * 128 * 128
    monkeypatch.setattr(speed, "find_spec", lambda name: object())
    assert compiles("cuda", long)
    assert compiles("cuda", 2**31)
    assert not compiles("cuda", 2**31 - 1)
    monkeypatch.setattr(speed, "find_spec", lambda name: None)
    assert not compiles("cuda", long)
    monkeypatch.setattr(speed, "find_spec", lambda name: object())
    assert not compiles("cpu", long)
    assert not compiles("cuda", 500 * 16 * 32 * 32)
