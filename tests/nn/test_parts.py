"""Soft-argmax, masking, detector, U-Net."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kpbench.nn import Detector, UNet, for_prediction, initialise, random_grid_mask, soft_argmax
from kpbench.nn.detector import HalvingConv
from kpbench.nn.resize import resized_by_matrices
from kpbench.nn.soft_argmax import share_near
from tests.nn.reference import convolved_then_halved


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_soft_argmax_equals_a_plain_loop(seed: int, height: int, width: int) -> None:
    logits = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(seed)) * 5
    for k, found in enumerate(soft_argmax(logits)[0].tolist()):
        total = x = y = 0.0
        for i in range(height):
            for j in range(width):
                mass = math.exp(float(logits[0, k, i, j]))
                total += mass
                x += mass * (j + 0.5) / width
                y += mass * (i + 0.5) / height
        assert found == pytest.approx([x / total, y / total], abs=1e-5)


def test_soft_argmax_of_equal_logits_is_the_middle_and_shifts_change_nothing() -> None:
    logits = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    assert soft_argmax(torch.zeros(1, 1, 6, 5)).tolist() == [[[0.5, 0.5]]]
    torch.testing.assert_close(soft_argmax(logits), soft_argmax(logits + 100))


def test_soft_argmax_is_differentiable_and_stays_float32_under_half_precision() -> None:
    logits = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(soft_argmax, (logits,))
    assert soft_argmax(logits.detach().half()).dtype == torch.float32


def test_the_share_near_a_point_equals_a_plain_loop() -> None:
    logits, points = 3 * torch.randn(2, 3, 7, 12), torch.rand(2, 3, 2)
    heatmaps = logits.flatten(2).softmax(-1).view_as(logits)
    found = share_near(logits, points, 0.3)
    for b, k in np.ndindex(2, 3):
        x, y = points[b, k].tolist()
        share = sum(
            float(heatmaps[b, k, i, j])
            for i, j in np.ndindex(7, 12)
            if math.hypot((j + 0.5) / 12 - x, (i + 0.5) / 7 - y) <= 0.3
        )
        assert float(found[b, k]) == pytest.approx(share, abs=1e-6)


def test_the_share_near_a_point_tells_one_peak_from_two_and_from_none() -> None:
    one, two, none = torch.full((3, 1, 1, 16, 16), -30.0).unbind()
    one[..., 5, 5] = two[..., 5, 2] = two[..., 5, 13] = 0.0
    shares = [float(share_near(x, soft_argmax(x), 0.1)) for x in (one, two, 0 * none)]
    assert shares == pytest.approx([1, 0, math.pi * 0.1**2], abs=0.02)
    assert share_near(one.half(), soft_argmax(one), 0.1).dtype == torch.float32


def test_mask_hides_the_ratio_in_whole_cells_independently_for_each_image() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = random_grid_mask(200, (64, 64), cells=16, ratio=0.8, generator=generator)
    assert mask.shape == (200, 1, 64, 64)
    assert set(np.unique(mask.numpy())) == {0.0, 1.0}
    cells = mask.reshape(200, 16, 4, 16, 4).permute(0, 1, 3, 2, 4).reshape(-1, 16)
    assert torch.equal(cells.amin(1), cells.amax(1))  # a cell is 4 x 4 pixels, whole
    n = 200 * 256
    assert abs(float(mask.mean()) - 0.2) < 5 * math.sqrt(0.2 * 0.8 / n)
    per_cell = mask[:, 0, ::4, ::4].mean(0)
    assert float((per_cell - 0.2).abs().max()) < 5 * math.sqrt(0.2 * 0.8 / 200)
    assert not torch.equal(mask[0], mask[1])


@pytest.mark.parametrize(("ratio", "value"), [(0.0, 1.0), (1.0, 0.0)])
def test_mask_extremes(ratio: float, value: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = random_grid_mask(2, (8, 8), cells=4, ratio=ratio, generator=generator)
    assert (mask == value).all()


def test_detector_has_the_published_shapes() -> None:
    detector = Detector(16, 64).eval()
    weights = detector.state_dict()
    assert [len(weights[f"down.{i}.main.0.weight"]) for i in range(4)] == [64, 128, 256, 512]
    with torch.inference_mode():
        found = detector(torch.zeros(1, 3, 128, 128))
    assert found.points.shape == (1, 16, 2)
    assert found.logits.shape == (1, 16, 32, 32)
    assert found.resnet.shape == (1, 64, 64, 64)
    assert found.transposed_conv.shape == (1, 256, 16, 16)


def test_unet_has_the_published_channels_and_keeps_the_size() -> None:
    net = UNet(4, 3, 64)
    weights = net.state_dict()
    assert [len(weights[f"down.{i}.0.weight"]) for i in range(4)] == [128, 256, 512, 512]
    shapes = [tuple(weights[f"up.{i}.1.weight"].shape[:2]) for i in range(4)]
    assert shapes == [(512, 512), (256, 1024), (128, 512), (64, 256)]
    assert net.head.in_channels == 128
    with torch.inference_mode():
        assert UNet(4, 3, 4)(torch.zeros(1, 4, 32, 48)).shape == (1, 3, 32, 48)


def test_initial_weights_are_kaiming_normal_for_the_leaky_relu() -> None:
    detector = Detector(4, 32)
    initialise(detector)
    weights = detector.state_dict()
    weight = weights["down.3.main.4.weight"]
    fan_in = weight[0].numel()
    wanted = math.sqrt(2 / ((1 + 0.2**2) * fan_in))
    assert float(weight.std()) == pytest.approx(wanted, rel=0.02)
    assert not weights["head.bias"].any()


def test_in_evaluation_one_image_does_not_affect_another() -> None:
    detector = Detector(4, 4).eval()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        together = detector(images).points.numpy()
        alone = np.concatenate([detector(image[None]).points.numpy() for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def half_and_gradients(
    conv: torch.nn.Conv2d, x: torch.Tensor, halved: Callable[..., torch.Tensor]
) -> list[torch.Tensor]:
    """Return the output, and the gradients of a sum that weighs every pixel differently."""
    found = halved(conv, x)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(found)
    gradients = torch.autograd.grad((found * weights).sum(), [x, *conv.parameters()])
    return [found, *gradients]


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_halving_convolution_is_a_convolution_then_halving_at_the_borders_too(
    seed: int, half_height: int, half_width: int
) -> None:
    torch.manual_seed(seed)
    conv = HalvingConv(2, 3).double()
    x = torch.randn(2, 2, 2 * half_height, 2 * half_width, dtype=torch.float64, requires_grad=True)
    wanted = half_and_gradients(conv, x, convolved_then_halved)
    assert wanted[0].shape == (2, 3, half_height, half_width)
    for a, b in zip(half_and_gradients(conv, x, HalvingConv.forward), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_halving_convolution_differentiates_to_its_3_x_3_kernel() -> None:
    torch.manual_seed(0)
    conv = HalvingConv(2, 2).double()
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(
            conv, {"weight": weight, "bias": bias}, (x,)
        )
        return found

    assert conv.weight.shape == (2, 2, 3, 3)
    assert conv.bias is not None
    assert torch.autograd.gradcheck(run, (x, conv.weight, conv.bias))


@pytest.mark.parametrize("size", [(8, 14), (2, 3), (7, 5), (4, 7)])
@pytest.mark.parametrize("channels", [3, 17])
def test_matrices_resize_as_interpolate_does(size: tuple[int, int], channels: int) -> None:
    x = torch.randn(2, channels, 4, 7, dtype=torch.float64, requires_grad=True)
    wanted = torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(resized_by_matrices(x, size), wanted, rtol=1e-6, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: resized_by_matrices(x, size), (x[:1],))
    assert resized_by_matrices(x, size).is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        assert resized_by_matrices(x.float(), size).dtype == torch.float32


def test_the_frozen_detector_computes_what_the_trained_one_does() -> None:
    torch.manual_seed(0)
    detector = Detector(4, 4)
    initialise(detector)
    for _ in range(3):  # statistics that are not those of the start
        detector(torch.rand(4, 3, 32, 32) * 2 - 1)
    for layer in detector.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
            torch.nn.init.normal_(layer.bias)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    frozen = for_prediction(detector)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in frozen.modules())
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        for a, b in zip(frozen(images), detector.eval()(images), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_batch_norm_is_put_only_into_the_convolution_right_before_it() -> None:
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(4)
    torch.nn.init.uniform_(norm.weight, 0.5, 2)
    apart = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU(), norm, torch.nn.Conv2d(4, 2, 1)
    )
    apart(torch.randn(8, 3, 5, 5))
    frozen = for_prediction(apart)
    assert isinstance(frozen[2], torch.nn.BatchNorm2d)
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(frozen(x), apart.eval()(x))
