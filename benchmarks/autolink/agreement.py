"""The same weights on both sides: does kpbench compute what the official code computes?

What differs by convention is converted (see `weights`): keypoints that the official detector puts
on a corner-aligned grid of 32 are drawn on a corner-aligned grid of 128, so in kpbench's
coordinates they move by up to 1.2 % of the image between the two.

Parts are compared in float32. A whole step is compared in float64 up to the completed image, since
thin edges amplify rounding: a keypoint that is off by a millionth moves the slope of an edge by a
thousandth. VGG16 stays in float32, where it belongs, and carries its gradients back from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.autolink.weights import (
    converted,
    points_from_official,
    points_to_official,
    thickness_from_official,
)
from kpbench.errors import KpbenchError
from kpbench.nn import PerceptualLoss, edge_map, for_prediction
from kpbench.registry import load_method

PIXELS, GRID = 128, 32


@dataclass(frozen=True)
class Agreement:
    """How far two results are apart.

    Attributes:
        what: was compared.
        difference: largest absolute difference, over the largest absolute official value.
        tolerance: float noise of what was compared.
        note: e.g. which gradient is the worst.
    """

    what: str
    difference: float
    tolerance: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the difference is float noise; NaN is not."""
        return self.difference <= self.tolerance


class DisagreementError(KpbenchError):
    """kpbench and the official code compute different things from the same weights."""


def require(found: Sequence[Agreement]) -> None:
    """Raise when something differs.

    Raises:
        DisagreementError: names what, and by how much.
    """
    worst = [a for a in found if not a.holds]
    if worst:
        raise DisagreementError(
            "kpbench and the official code disagree: "
            + "; ".join(
                f"{a.what} by {a.difference:.2g} (float noise: {a.tolerance:.0g}) {a.note}".strip()
                for a in worst
            )
        )


def relative(ours: Tensor, official: Tensor) -> float:
    """Return the largest difference over the largest official value; NaN where either is NaN.

    Example:
        >>> relative(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0]))
        0.25
    """
    ours, official = ours.detach().double(), official.detach().double()
    if ours.shape != official.shape:
        return float("inf")
    return float((ours - official).abs().max() / official.abs().max().clamp_min(1e-30))


def autolink(n_keypoints: int, thickness: float, batch_size: int) -> tuple[Any, Any]:
    """Return kpbench's method as the registry finds it, and its untrained networks."""
    method = load_method("autolink").configured(
        role="human36m",
        recipe="paper",
        overrides={"thickness": thickness, "batch_size": batch_size},
    )
    return method, cast(Any, method).built(n_keypoints, seed=0)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Multiply in float32, not in the shorter TF32 of NVIDIA's matrix units."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul


def agreement(official: Any, thickness: float, images: Tensor) -> list[Agreement]:
    """Compare all parts of a training step, forward and backward.

    Args:
        official: the official model, used up: its gradients, statistics and precision change.
        thickness: that it was built with.
        images: (B, 3, 128, 128) float32 in [-1, 1], on its device.
    """
    with exact_float32():
        _, model = autolink(official.hparams.n_parts, thickness, len(images))
        model.load_state_dict(converted(official.state_dict()), strict=True)
        model.to(images.device)
        return [*_parts(official, model, thickness, images), *_step(official, model, images)]


def _parts(official: Any, model: Any, thickness: float, images: Tensor) -> list[Agreement]:
    """Compare the detector, as in the test loop, and the edge map on the same keypoints."""
    official.eval()
    model.eval()
    with torch.no_grad():
        found = for_prediction(model.detector)(images)  # what `predict` runs
        logits = official.encoder.detector.conv(images)
        keypoints = official.encoder({"img": images})["keypoints"]
    points = points_from_official(keypoints, GRID)
    return [
        Agreement("detector logits", relative(found.logits, logits), 1e-4),
        Agreement("keypoints", relative(found.points, points), 1e-4),
        *_edge_map(official.decoder, model, thickness, keypoints),
    ]


def _edge_map(decoder: Any, model: Any, thickness: float, keypoints: Tensor) -> list[Agreement]:
    """Compare the edge map and its gradients for keypoints and weights."""
    theirs, ours = (keypoints.clone().requires_grad_() for _ in range(2))
    drawn = decoder.rasterize(theirs)
    edges = edge_map(
        points_from_official(ours, PIXELS),
        model.edge_weights(),
        (PIXELS, PIXELS),
        thickness_from_official(thickness, PIXELS),
    )
    upstream = torch.rand(drawn.shape, generator=torch.Generator().manual_seed(0)).to(drawn.device)
    official = torch.autograd.grad(drawn, [theirs, decoder.skeleton_scalar], upstream)
    found = torch.autograd.grad(edges, [ours, model.edge_logits], upstream)
    weights = converted({"decoder.skeleton_scalar": official[1]})["edge_logits"]
    return [
        Agreement("edge map", relative(edges, drawn), 1e-4),
        Agreement("edge map, gradient of keypoints", relative(found[0], official[0]), 1e-3),
        Agreement("edge map, gradient of weights", relative(found[1], weights), 1e-3),
    ]


def _step(official: Any, model: Any, images: Tensor) -> list[Agreement]:
    """Compare a training step: completed image, loss, and every gradient."""
    official.train().double().zero_grad()
    official.vgg_loss.eval().float()
    model.train().double().zero_grad()
    doubled = images.double()
    theirs = official.decoder(official.encoder({"img": doubled}, need_masked_img=True))
    loss = official.vgg_loss(theirs["img"].float(), images)
    loss.backward()
    detection = model.detector(doubled)
    completed = model.complete(
        theirs["damaged_img"],  # the same holes; nothing more is hidden
        torch.ones_like(doubled[:, :1]),
        detection._replace(
            points=points_from_official(points_to_official(detection.points, GRID), PIXELS)
        ),
        thickness_from_official(official.hparams.thick, PIXELS),
    )
    perceptual = PerceptualLoss("vgg16").to(images.device)
    our_loss = perceptual(completed.float(), perceptual.wanted(images))
    our_loss.backward()
    gradients = {n: p.grad for n, p in official.named_parameters() if p.grad is not None}
    return [
        Agreement("decoder output", relative(completed, theirs["img"]), 1e-5),
        Agreement("VGG16 loss", relative(our_loss, loss), 1e-5),
        _gradients(dict(model.named_parameters()), converted(gradients)),
    ]


def _gradients(ours: dict[str, Any], official: dict[str, Tensor]) -> Agreement:
    """Compare the gradients of all parameters; a gradient that one side lacks counts as infinite.

    Those of biases before a batch normalisation are zero but for rounding, so each difference is
    taken over the largest gradient of the whole network.
    """
    largest = max(float(g.abs().max()) for g in official.values())
    apart = {
        name: float((ours[name].grad - g).abs().max()) / largest
        if ours[name].grad is not None
        else float("inf")
        for name, g in official.items()
    }
    missing = sorted(set(ours) - set(official))
    worst = max(apart, key=lambda name: apart[name])
    if missing:
        return Agreement("gradients", float("inf"), 1e-3, f"no official gradient of {missing[0]}")
    return Agreement("gradients", apart[worst], 1e-3, f"largest at {worst}")
