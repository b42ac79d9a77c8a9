"""Methods that find keypoints with one network: they predict, save, load, move and export."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from kpbench.api import Array, Device, ImageSet, Keypoints, MethodBase, Pixels, Recipe
from kpbench.contracts.parameters import check_parameters
from kpbench.errors import CheckpointError, TrainingError
from kpbench.nn.fast import for_prediction
from kpbench.nn.images import device_batches
from kpbench.nn.soft_argmax import share_near

_K = "n_keypoints"
"""Name of the array of a checkpoint that holds K, where no other one tells it."""
NEAR = 0.1
"""Of the image's side: what a heatmap holds this near to its keypoint is the confidence in it."""


class Found(NamedTuple):
    """What a network finds.

    Attributes:
        points: (B, K, 2), (x, y) in [0, 1].
        logits: (B, K, n, n), of which a softmax makes heatmaps; None: there are none.
    """

    points: Tensor
    logits: Tensor | None


class HasPoints(Protocol):
    """A network's output with points (B, K, 2) and logits (B, K, n, n), as `Found`."""

    @property
    def points(self) -> Tensor:
        """(B, K, 2), (x, y) in [0, 1]."""
        ...

    @property
    def logits(self) -> Tensor | None:
        """(B, K, n, n), before the softmax, or None."""
        ...


@dataclass
class NetworkMethod(MethodBase):
    """A method that finds keypoints with one network.

    Attributes:
        image_size: S, the side in pixels that images are resized to.
        roles: parameters by the published benchmark whose role a protocol takes.
        told_by: name of an array of `state` whose length is K; "": K is stored.
    """

    image_size: Pixels = 128

    roles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    told_by: ClassVar[str] = ""

    _fitted: nn.Module | None = field(default=None, init=False, repr=False, compare=False)
    _n_keypoints: int = field(default=0, init=False, repr=False, compare=False)
    _quick: tuple[Any, nn.Module] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    # What a method says of itself.

    @abstractmethod
    def network(self, n_keypoints: int) -> nn.Module:
        """Return the untrained network; its weights come from PyTorch's global generator."""

    @abstractmethod
    def keypoints(self, network: Any, images: Tensor) -> Tensor | HasPoints:
        """Return the keypoints of images (B, 3, S, S) in [-1, 1].

        Args:
            network: what `predictor` returned, in evaluation mode.
            images: on the network's device.

        Returns:
            (B, K, 2), (x, y) in [0, 1]; or an object with these as `points` and with `logits`.
        """

    def predictor(self, network: Any) -> nn.Module:
        """Return the part of a network that finds keypoints, which alone is kept; all of it here.

        Args:
            network: of `network`, trained or about to be given the weights of a checkpoint.
        """
        kept: nn.Module = network
        return kept

    def pixels(self, images: ImageSet) -> Array:
        """Return what the network looks at: uint8 (N, H, W, 3)."""
        return images.images

    def graph(self, network: Any) -> Array | None:
        """Return the (K, K) symmetric edge weights of what `predictor` returned, None without."""
        return None

    def check(self, n_keypoints: int) -> None:
        """Reject K, and parameters that do not fit it or each other; called before data is loaded.

        Raises:
            TrainingError: says which, and what it must be.
        """
        if n_keypoints < 1:
            raise TrainingError(f"{self.name} needs K of 1 or more, got {n_keypoints}")

    @classmethod
    def prescribed(cls, recipe: Recipe, role: str) -> dict[str, Any]:
        """Return the parameters that a recipe and a role prescribe, the recipe's first.

        Raises:
            UnknownNameError: no such recipe, or the method has no values for it.
        """
        return {**cls.roles.get(role, {}), **cls.of_recipe(recipe)}

    # What follows from it.

    def configured(self, *, role: str, recipe: Recipe, overrides: Mapping[str, Any]) -> Self:
        """Return a new method with the role's and the recipe's values, then `overrides`.

        Raises:
            UnknownNameError: see `prescribed`, or an override names no parameter.
            TrainingError: a value that the annotation of its field does not allow.
        """
        return self._with({**self.prescribed(recipe, role), **overrides})

    def built(self, n_keypoints: int, seed: int) -> nn.Module:
        """Return the untrained network, a function of `seed`; the caller's generator is untouched.

        Raises:
            TrainingError: K or a parameter with which it cannot be built.
        """
        check_parameters(type(self), self.params(), self.name, TrainingError)
        self.check(n_keypoints)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = self.network(n_keypoints)
        network.to(memory_format=torch.channels_last)  # twice as fast on the CPU
        return network

    def keep(self, network: nn.Module, n_keypoints: int) -> None:
        """Predict with this network from now on; it is frozen."""
        self._fitted = self.predictor(network).eval().requires_grad_(False)
        self._n_keypoints = n_keypoints

    def fitted(self) -> nn.Module:
        """Return the network that finds keypoints.

        Raises:
            CheckpointError: neither `fit` nor `load` was called.
        """
        if self._fitted is None:
            raise CheckpointError(f"{self.name} is not fitted; call fit or load first")
        return self._fitted

    def detector(self) -> nn.Module:
        """Return the fitted network as `kpbench export` writes it (`kpbench.api.ExportableMethod`).

        Raises:
            CheckpointError: neither `fit` nor `load` was called.
        """
        return _Detector(self, self.fitted())

    def to(self, device: Device) -> None:
        """Predict on this device from now on."""
        self.fitted().to(device)

    def predict(self, images: ImageSet) -> Keypoints:
        """Find keypoints in float32 (on a GPU, cuDNN's TF32).

        Points depend on the size of a batch only in the last bits. The confidence in a keypoint is
        the share of its heatmap that lies within a tenth of the image's side of it: how sure the
        network is of one place, not how likely that place is right. None without heatmaps.
        """
        network = self._for_prediction()
        device = next(network.parameters()).device.type
        with torch.inference_mode():
            found = [
                _seen(_found(self.keypoints(network, batch)))
                for batch in device_batches(self.pixels(images), self.image_size, device)
            ]
        points = np.concatenate([each.points for each in found])
        sure = [each.confidence for each in found if each.confidence is not None]
        confidence = np.concatenate(sure) if sure else None
        return Keypoints(points, confidence, self.graph(self.fitted()))

    def _for_prediction(self) -> nn.Module:
        """Return the network in its fastest form, made anew when its weights change or move."""
        fitted = self.fitted()
        state = fitted.state_dict().values()
        key = id(fitted), [(tensor.data_ptr(), tensor._version) for tensor in state]
        if self._quick is None or self._quick[0] != key:
            self._quick = key, for_prediction(fitted)
        return self._quick[1]

    def state(self) -> dict[str, Array]:
        """Return the weights of the network that finds keypoints."""
        state = {
            name: tensor.detach().cpu().numpy()
            for name, tensor in self.fitted().state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        return state if self.told_by else {**state, _K: np.array(self._n_keypoints)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take back what `state` returned; prediction then runs on the CPU (see `to`).

        Raises:
            CheckpointError: an array is missing, or of another shape or type.
        """
        weights = {name: value for name, value in state.items() if name != _K}
        try:
            k = len(state[self.told_by]) if self.told_by else int(state[_K])
            network = self.predictor(self.built(k, seed=0))
            for name, value in network.state_dict().items():
                if name.endswith("num_batches_tracked"):
                    weights[name] = value.numpy()
            if lacks := [name for name in network.state_dict() if name not in weights]:
                raise ValueError(f"it lacks {', '.join(lacks)}")
            tensors = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
            network.load_state_dict(tensors, strict=True)
        except (KeyError, RuntimeError, TypeError, ValueError, TrainingError) as error:
            raise CheckpointError(
                f"the checkpoint does not fit {self.name}: {str(error).splitlines()[-1].strip()}"
            ) from error
        self._fitted, self._n_keypoints = network.eval().requires_grad_(False), k


class _Detector(nn.Module):
    """A fitted network whose output has points and logits."""

    def __init__(self, method: NetworkMethod, network: nn.Module) -> None:
        super().__init__()
        self.find = method.keypoints
        self.network = network

    def forward(self, images: Tensor) -> Found:
        return _found(self.find(self.network, images))


def _seen(found: Found) -> Keypoints:
    """Return what a network found as arrays, with the confidence that its heatmaps show."""
    points = found.points.cpu().numpy().astype(np.float64)
    if found.logits is None:
        return Keypoints(points)
    near = share_near(found.logits, found.points, NEAR)
    return Keypoints(points, near.cpu().numpy().astype(np.float64))


def _found(output: Tensor | HasPoints) -> Found:
    """Return what `keypoints` found, however it was returned."""
    if isinstance(output, Tensor):
        return Found(output, None)
    return Found(output.points, output.logits)
