"""Distill-DKP: AutoLink on RGB whose detector imitates a teacher that saw depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from kpbench import Batch, FitContext, Helper, ImageSet, Method, Recipe
from kpbench.errors import ContractError, TrainingError
from kpbench.nn import Detection, for_prediction
from kpbench.nn.images import resized

from .autolink import AutoLink, AutoLinkNetwork
from .depth_teacher import RECIPES

LAYERS = {"output": "logits", "transposed_conv": "transposed_conv", "resnet": "resnet"}
"""Distill-DKP's names of the layers, and the fields of `Detection`."""


@dataclass
class DistillDKP(AutoLink):
    """Distill-DKP (arXiv:2410.14700): lambda_ L_p + gamma L_cos, RGB alone at prediction.

    The teacher is a fitted `depth_teacher`, frozen. L_cos is minus the cosine similarity between
    the two detectors' embeddings of an image. `paper` trains as is printed (section 4.2): Adam,
    which is AdamW without weight decay, and gamma of 0.1, or 0.4 on Taichi. AutoLink's code, on
    which the paper builds, has AdamW with a decay of 1e-3, and so have the other recipes here: what
    they compare with AutoLink is the teacher, not the optimiser.

    Attributes:
        lambda_: weight of AutoLink's perceptual loss.
        gamma: weight of the distillation loss; the paper's on two of three data sets by default.
        layer: whose activations are the embedding: `output` (the K maps before the softmax, best
            in the paper), `transposed_conv` (after the first upsampling block) or `resnet` (after
            the first residual block; the paper says "early-stage").
    """

    name = "distill_dkp"
    needs = ("depth",)
    depends_on = "depth_teacher"
    paper = "Distill-DKP, arXiv:2410.14700"
    recipes = RECIPES

    weight_decay: float = 0.0
    lambda_: float = 1.0
    gamma: float = 0.1
    layer: str = "output"

    @classmethod
    def prescribed(cls, recipe: Recipe, role: str) -> dict[str, Any]:
        """Return AutoLink's parameters, and gamma of Distill-DKP section 4.2."""
        gamma = 0.4 if role == "taichi" else 0.1
        return {**super().prescribed(recipe, role), "gamma": gamma}

    def check(self, n_keypoints: int) -> None:
        """Reject parameters with which the networks cannot be built, and unknown layers.

        Raises:
            TrainingError: says which, and what it must be.
        """
        super().check(n_keypoints)
        if self.layer not in LAYERS:
            raise TrainingError(f"layer must be one of {', '.join(LAYERS)}, not {self.layer!r}")

    def helpers(
        self, images: ImageSet, *, n_keypoints: int, context: FitContext
    ) -> Mapping[str, Helper]:
        """Return AutoLink's, and the teacher in `context.dependency`.

        Raises:
            ContractError: there is no teacher, or it is not a `depth_teacher`.
            TrainingError: the teacher was trained with other sizes.
            InvalidInputError: the images have no depth.
        """
        teacher = context.dependency
        if not isinstance(teacher, AutoLink) or teacher.name != self.depends_on:
            found = "nothing" if teacher is None else teacher.name
            raise ContractError(
                f"{self.name} learns from a fitted {self.depends_on} in context.dependency, and "
                f"was given {found}"
            )
        network = for_prediction(teacher.fitted())
        student: Any = self.built(n_keypoints, seed=0)
        self._compare(student.detector, teacher, network)

        def embedding(pictures: Tensor) -> Tensor:
            embedded: Tensor = getattr(network(pictures), LAYERS[self.layer])
            return embedded.flatten(1)

        pictures = resized(teacher.pixels(images), teacher.image_size)
        told = Helper(network, says=embedding, pixels=pictures)
        own = super().helpers(images, n_keypoints=n_keypoints, context=context)
        return {**own, "teacher": told}

    def loss(self, network: AutoLinkNetwork, batch: Batch) -> Tensor:
        """Return lambda_ L_p + gamma L_cos (Distill-DKP eq. 5)."""
        found = network.detector(batch.images)
        distance = cosine_loss(getattr(found, LAYERS[self.layer]), batch.said("teacher"))
        return self.lambda_ * self.completion(network, batch, found) + self.gamma * distance

    def _compare(self, student: nn.Module, teacher: AutoLink, network: nn.Module) -> None:
        """Compare the embeddings' shapes before any training.

        Raises:
            TrainingError: they differ; says how.
        """
        shapes = []
        for detector, size in (student.eval(), self.image_size), (network, teacher.image_size):
            blank = torch.zeros(1, 3, size, size, device=next(detector.parameters()).device)
            with torch.no_grad():
                found: Detection = detector(blank)
            shapes.append(tuple(getattr(found, LAYERS[self.layer]).shape[1:]))
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


PLUGIN: Method = DistillDKP()
