"""The base of every method that trains a network: network, loss and keypoints are its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kpbench.api import FitContext, Images, ImageSet, NotNegative, Positive, Steps
from kpbench.nn.images import resized
from kpbench.training.batch import Batch
from kpbench.training.frozen import Helper
from kpbench.training.network_method import NetworkMethod
from kpbench.training.optimiser import Optimiser


@dataclass
class TorchMethod(NetworkMethod):
    """A method that trains a network: `network`, `loss` and `keypoints` are all that it must say.

    Attributes:
        batch_size: images a step.
        steps: optimiser steps.
        learning_rate: at its highest, see `optimiser`.
        weight_decay: of all parameters.
        flip: mirror half of the training images.
    """

    batch_size: Images = 32
    steps: Steps = 20_000
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    flip: bool = False

    @abstractmethod
    def loss(self, network: Any, batch: Batch) -> Tensor:
        """Return the loss of a step, a scalar.

        Args:
            network: of `network`, in training mode.
            batch: images and all else that training may use.
        """

    def optimiser(self) -> Optimiser:
        """Return how the parameters follow the gradient; AdamW at a constant rate here."""
        return Optimiser("adamw", self.learning_rate, self.weight_decay)

    def helpers(
        self, images: ImageSet, *, n_keypoints: int, context: FitContext
    ) -> Mapping[str, Helper]:
        """Return the frozen networks that the loss asks, by name; none here.

        Args:
            images: of the training.
            n_keypoints: K.
            context: of the training; `context.dependency` is the method of `depends_on`.

        Raises:
            MissingWeightsError: weights are not on this machine.
            ContractError: the dependency is not what it should be.
        """
        return {}

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Train the network.

        Raises:
            TrainingError: unusable parameters, or divergence.
            CheckpointError: the resumable state is damaged or of another training.
        """
        from kpbench.training.loop import Training, fit_network

        network = self.built(n_keypoints, seed)
        training = Training(
            steps=self.steps,
            batch_size=self.batch_size,
            flip=self.flip,
            seed=seed,
            optimiser=self.optimiser(),
        )
        fit_network(
            network,
            self.loss,
            images,
            resized(self.pixels(images), self.image_size),
            training,
            context,
            helpers=self.helpers(images, n_keypoints=n_keypoints, context=context),
            settings={"method": (self.name, self.version), "K": n_keypoints, **self.params()},
        )
        self.keep(network, n_keypoints)
