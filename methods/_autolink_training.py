"""Training of AutoLink, on RGB or on depth, alone or beside a frozen teacher."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from kpbench.api import FitContext, ImageSet
from kpbench.errors import TrainingError
from kpbench.nn import (
    Detection,
    Detector,
    PerceptualLoss,
    frozen_detector,
    initialise,
    random_grid_mask,
)
from kpbench.nn.fast import compiled, compiles
from kpbench.nn.images import resized

from ._autolink_model import AutoLinkModel

if TYPE_CHECKING:
    from ._detectors import AutoLinkMethod, DetectorMethod

LAYERS = {"output": "logits", "transposed_conv": "transposed_conv", "resnet": "resnet"}
"""Distill-DKP's names of the layers, and the fields of `Detection`."""


class Distillation:
    """A frozen teacher and how much it counts: lambda_ L_p + gamma L_cos (Distill-DKP eq. 5)."""

    def __init__(
        self, teacher: DetectorMethod, *, layer: str, lambda_: float, gamma: float, device: str
    ) -> None:
        """Freeze a copy of the teacher's detector on the device."""
        self.teacher, self.layer, self.lambda_, self.gamma = teacher, LAYERS[layer], lambda_, gamma
        self.detector = frozen_detector(teacher.detector()).to(device)

    def taught(self, teacher_images: Tensor) -> Tensor:
        """Return the teacher's embeddings of (B, 3, H, W) images in [-1, 1], one row an image."""
        embedding: Tensor = getattr(self.detector(teacher_images), self.layer)
        return embedding.flatten(1)

    def loss(self, perceptual: Tensor, student: Detection, taught: Tensor) -> Tensor:
        """Return the sum of both losses, a scalar."""
        distance = cosine_loss(getattr(student, self.layer), taught)
        return self.lambda_ * perceptual + self.gamma * distance

    def settings(self) -> dict[str, str]:
        """Return what decides over a training beside the student's own parameters."""
        digest = hashlib.sha256(self.teacher.name.encode())
        for name, weights in sorted(self.teacher.state().items()):
            digest.update(name.encode() + weights.tobytes())
        return {"teacher": digest.hexdigest()}

    def check(self, student: Detector, image_size: int) -> None:
        """Compare the embeddings' shapes before any training.

        Raises:
            TrainingError: they differ; says how.
        """
        shapes = []
        for detector, size in (student, image_size), (self.detector, self.teacher.image_size):
            blank = torch.zeros(1, 3, size, size, device=next(detector.parameters()).device)
            with torch.no_grad():
                found = copy.deepcopy(detector).eval()(blank)
            shapes.append(tuple(getattr(found, self.layer).shape[1:]))
        if shapes[0] != shapes[1]:
            raise TrainingError(
                f"the teacher's embedding is {shapes[1]} and the student's {shapes[0]} (channels, "
                "height, width): train the teacher with the same K, image_size and detector_width"
            )


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return minus the cosine similarity of two (B, ...) embeddings, averaged over the batch.

    Distill-DKP eq. 4, which is printed without the minus sign that its text implies ("we minimize
    negative cosine similarity"). The embedding of an image is one vector: all its channels and
    positions, divided by the norm of the whole.
    """
    return -cosine_similarity(student.flatten(1).float(), teacher.flatten(1).float()).mean()


def build_model(method: AutoLinkMethod, n_keypoints: int, seed: int) -> AutoLinkModel:
    """Return the untrained networks, a function of `seed`; the caller's generator is untouched.

    Raises:
        TrainingError: K or a size with which they cannot be built.
    """
    check_sizes(method, n_keypoints)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = AutoLinkModel(
            n_keypoints,
            detector_width=method.detector_width,
            decoder_width=method.decoder_width,
            edge_scale=method.edge_scale,
        )
    return model.to(memory_format=torch.channels_last)  # twice as fast on the CPU


def random_detector(method: DetectorMethod, n_keypoints: int, seed: int) -> Detector:
    """Return an untrained detector in evaluation mode, a function of `seed`."""
    check_sizes(method, n_keypoints)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        detector = Detector(n_keypoints, method.detector_width)
        initialise(detector)
    return detector.eval().requires_grad_(False)


def check_sizes(method: DetectorMethod, n_keypoints: int) -> None:
    """Reject what the networks cannot be built with.

    Raises:
        TrainingError: says which setting, and what it must be.
    """
    if n_keypoints < 2:
        raise TrainingError(f"{method.name} needs K of 2 or more, got {n_keypoints}")
    rules = {
        "image_size": ("a positive multiple of 16", lambda v: v > 0 and v % 16 == 0),
        "detector_width": ("at least 1", lambda v: v >= 1),
        "decoder_width": ("at least 1", lambda v: v >= 1),
        "thickness": ("positive", lambda v: v > 0),
        "edge_scale": ("positive", lambda v: v > 0),
        "mask_ratio": ("in [0, 1]", lambda v: 0 <= v <= 1),
        "mask_cells": ("at least 1", lambda v: v >= 1),
    }
    for name, value in method.params().items():
        wanted, holds = rules.get(name, ("", lambda _: True))
        if not holds(value):
            raise TrainingError(f"{method.name}: {name} must be {wanted}, got {value}")


def fit_autolink(
    method: AutoLinkMethod,
    images: ImageSet,
    *,
    n_keypoints: int,
    seed: int,
    context: FitContext,
    distillation: Distillation | None = None,
) -> None:
    """Train and hand detector and edge weights to `method.keep`.

    Raises:
        TrainingError: unusable settings, a teacher that does not fit, or divergence.
        MissingWeightsError: the perceptual backbone is not on this machine.
        CheckpointError: the resumable state is damaged or of another training.
    """
    from kpbench.training.frozen import Frozen
    from kpbench.training.loop import Schedule, fit_module

    model = build_model(method, n_keypoints, seed)
    perceptual = PerceptualLoss(method.backbone).to(context.device)
    data = {"images": resized(method.pixels(images), method.image_size)}
    settings = {"method": (method.name, method.version), "K": n_keypoints, **method.params()}
    visited = method.steps * method.batch_size * method.image_size**2
    wanted = compiles(context.device, visited)
    frozen = {"wanted": Frozen(perceptual.wanted, of="images", compiled=wanted)}
    if distillation is not None:
        distillation.check(model.detector, method.image_size)
        teacher = distillation.teacher
        data["teacher"] = resized(teacher.pixels(images), teacher.image_size)
        frozen["taught"] = Frozen(distillation.taught, of="teacher", compiled=wanted)
        settings |= distillation.settings()

    detect, complete = compiled(model.detector, wanted), compiled(model.decoder, wanted)
    distance = compiled(perceptual.distance, wanted)

    def objective(batch: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        whole = batch["images"]
        detection = detect(whole)
        visible = random_grid_mask(
            len(whole),
            (method.image_size, method.image_size),
            cells=method.mask_cells,
            ratio=method.mask_ratio,
            generator=generator,
            device=whole.device,
        )
        completed = complete(model.masked(whole, visible, detection, method.thickness))
        loss: Tensor = distance(completed, batch["wanted"])
        if distillation is not None:
            loss = distillation.loss(loss, detection, batch["taught"])
        return loss

    schedule = Schedule(
        steps=method.steps,
        batch_size=method.batch_size,
        learning_rate=method.learning_rate,
        weight_decay=method.weight_decay,
        flip=method.flip,
        seed=seed,
    )
    fit_module(model, objective, data, schedule, context, frozen=frozen, settings=settings)
    edge_weights = model.edge_weights().detach().cpu().numpy()
    method.keep(model.detector.requires_grad_(False), edge_weights)
