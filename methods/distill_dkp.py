"""Distill-DKP: AutoLink on RGB whose detector imitates a teacher that saw depth."""

from __future__ import annotations

from dataclasses import dataclass

from kpbench.api import FitContext, ImageSet, Method
from kpbench.errors import ContractError, TrainingError

from ._detectors import AutoLinkMethod, DetectorMethod

_LAYERS = ("output", "transposed_conv", "resnet")


@dataclass
class DistillDKP(AutoLinkMethod):
    """Distill-DKP (arXiv:2410.14700): lambda_ L_p + gamma L_cos, RGB alone at prediction.

    The teacher is a fitted `depth_teacher`, frozen. L_cos is minus the cosine similarity between
    the two detectors' embeddings of an image.

    Attributes:
        lambda_: weight of AutoLink's perceptual loss.
        gamma: weight of the distillation loss.
        layer: whose activations are the embedding: `output` (the K maps before the softmax, best
            in the paper), `transposed_conv` (after the first upsampling block) or `resnet` (after
            the first residual block; the paper says "early-stage").
    """

    name = "distill_dkp"
    needs = ("depth",)
    depends_on = "depth_teacher"
    paper = "Distill-DKP, arXiv:2410.14700"

    lambda_: float = 1.0
    gamma: float = 0.1
    layer: str = "output"

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Train the student beside the teacher in `context.dependency`.

        Raises:
            ContractError: there is no teacher, or it is not a `depth_teacher`.
            TrainingError: the teacher was trained with other sizes, or training diverged.
            InvalidInputError: the images have no depth.
        """
        from ._autolink_training import Distillation, fit_autolink

        teacher = context.dependency
        if not isinstance(teacher, DetectorMethod) or teacher.name != self.depends_on:
            found = "nothing" if teacher is None else teacher.name
            raise ContractError(
                f"{self.name} learns from a fitted {self.depends_on} in context.dependency, and "
                f"was given {found}"
            )
        if self.layer not in _LAYERS:
            raise TrainingError(f"layer must be one of {', '.join(_LAYERS)}, not {self.layer!r}")
        distillation = Distillation(
            teacher,
            layer=self.layer,
            lambda_=self.lambda_,
            gamma=self.gamma,
            device=context.device,
        )
        fit_autolink(
            self,
            images,
            n_keypoints=n_keypoints,
            seed=seed,
            context=context,
            distillation=distillation,
        )


PLUGIN: Method = DistillDKP()
