"""The perceptual loss and its backbones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from kpbench.errors import MissingWeightsError, UnknownNameError
from kpbench.nn import PerceptualLoss
from kpbench.nn import perceptual as perceptual_module
from kpbench.nn.efficientnet_lite0 import trained_efficientnet_lite0
from kpbench.nn.perceptual import Vgg16Features, trained_vgg16, vgg16_file

Distance = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(scope="module")
def crops() -> list[Tensor]:
    """Six crops of a photo of a flower, (1, 3, 132, 132) in [-1, 1]."""
    photo = torch.tensor(load_sample_images().images[1]).permute(2, 0, 1)[None].float()
    return [
        interpolate(photo[..., y : y + 264, x : x + 264] / 127.5 - 1, size=(132, 132))
        for y in (0, 163)
        for x in (0, 188, 376)
    ]


def shift_to_blur(distance: Distance, photo: Tensor) -> float:
    """Distance of a 2-pixel shift over that of a 9 x 9 blur; the eye says that it is small."""
    blurred = avg_pool2d(photo, 9, stride=1, padding=4, count_include_pad=False)[..., 2:-2, 2:-2]
    same, shifted = photo[..., 2:-2, 2:-2], photo[..., 2:-2, 4:]
    return float(distance(shifted, same) / distance(blurred, same))


def distance_of(backbone: str) -> Distance:
    loss = PerceptualLoss(backbone)
    return lambda prediction, target: loss(prediction, loss.wanted(target))


def test_trained_features_rate_a_shift_closer_than_a_blur(crops: list[Tensor]) -> None:
    trained = distance_of("efficientnet_lite0")
    assert all(shift_to_blur(trained, photo) < 0.8 for photo in crops)
    assert float(trained(crops[0], crops[0])) == 0


def test_pixels_and_random_features_do_not(crops: list[Tensor]) -> None:
    assert all(shift_to_blur(torch.nn.functional.l1_loss, photo) > 1 for photo in crops)
    assert all(shift_to_blur(distance_of("random"), photo) > 1 for photo in crops)


def test_the_weights_are_trained_on_imagenet() -> None:
    net = trained_efficientnet_lite0().eval()
    photo = torch.tensor(load_sample_images().images[1][:400, :400]).permute(2, 0, 1)[None] / 255
    flower = interpolate(photo, size=(224, 224), mode="bilinear")
    daisy = 985
    with torch.inference_mode():
        assert int(net(flower).argmax()) == daisy


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "random"])
def test_gradient_reaches_the_prediction_alone(backbone: str) -> None:
    distance = PerceptualLoss(backbone).train()
    prediction = torch.zeros(2, 3, 32, 32, requires_grad=True)
    target = torch.rand(2, 3, 32, 32, requires_grad=True)
    before = {name: value.clone() for name, value in distance.state_dict().items()}
    distance(prediction, distance.wanted(target)).backward()
    assert prediction.grad is not None
    assert prediction.grad.abs().sum() > 0
    assert target.grad is None
    assert all(p.grad is None for p in distance.parameters())
    for name, value in distance.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} changed in a frozen net"


def test_missing_vgg16_weights_name_the_file_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError) as caught:
        PerceptualLoss("vgg16")
    assert str(vgg16_file()) in str(caught.value)
    assert "torchvision.models.vgg16(weights='IMAGENET1K_V1')" in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_damaged_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    vgg16_file().parent.mkdir(parents=True)
    vgg16_file().write_bytes(b"half a download")
    with pytest.raises(MissingWeightsError, match="damaged"):
        trained_vgg16()
    broken = tmp_path / "lite0.pth"
    torch.save({"_fc.bias": torch.zeros(1000)}, broken)
    with pytest.raises(MissingWeightsError, match="cannot be read"):
        trained_efficientnet_lite0(broken)


def test_vgg16_features_are_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one set of (random) weights, both nets give the same four activations."""
    import torchvision

    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = torchvision.models.vgg16().features[:23]
    theirs = theirs.to_empty(device="cpu")
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    vgg16_file().parent.mkdir(parents=True)
    torch.save({f"features.{k}": v for k, v in theirs.state_dict().items()}, vgg16_file())
    ours = trained_vgg16()
    images = torch.rand(1, 3, 64, 64)
    normal = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    x = interpolate(normal(images), size=(224, 224), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        found = ours(images)
        for mine, (start, stop) in zip(found, [(0, 4), (4, 9), (9, 16), (16, 23)], strict=True):
            x = theirs[start:stop](x)
            torch.testing.assert_close(mine, x)
    assert [len(m[0]) for m in found] == [64, 128, 256, 512]


def test_vgg16_layers_end_at_relu4_3() -> None:
    assert Vgg16Features().taps == [3, 8, 15, 22]


def test_an_unknown_backbone_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean vgg16"):
        PerceptualLoss("vgg6")


@pytest.mark.parametrize("size", [(32, 32), (33, 48), (50, 37)])
@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "random"])
def test_the_folded_net_measures_what_the_file_s_net_does(
    backbone: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = PerceptualLoss(backbone)
    with monkeypatch.context() as patch:
        patch.setattr(perceptual_module, "fold", lambda net: net)
        whole = PerceptualLoss(backbone)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, *size, generator=generator) * 2 - 1
    images = (torch.rand(2, 3, *size, generator=generator) * 2 - 1).requires_grad_()
    wanted, theirs = folded.wanted(target), whole.wanted(target)
    assert float((wanted - theirs).abs().max() / theirs.abs().max()) < 1e-5
    found = [
        (d, torch.autograd.grad(d, images)[0])
        for d in (net(images, net.wanted(target)) for net in (folded, whole))
    ]
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=0)
    apart = (found[0][1] - found[1][1]).norm() / found[1][1].norm()
    assert float(apart) < 1e-2  # the sign of a small difference may turn


def test_distance_is_the_mean_absolute_difference_of_each_map() -> None:
    """Against the definition, on the maps themselves."""
    perceptual = PerceptualLoss("random")
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    maps = [perceptual.features(x / 2 + 0.5) for x in (a, b)]
    wanted = sum(float((x - y).abs().mean()) / 7 for x, y in zip(*maps, strict=True))
    rows = perceptual.wanted(b)
    assert float(perceptual(a, rows)) == pytest.approx(wanted, rel=1e-5)
    assert rows.shape == (2, sum(x[0].numel() for x in maps[0]))
    torch.testing.assert_close(perceptual.wanted(b[1:]), rows[1:], rtol=1e-4, atol=1e-5)
