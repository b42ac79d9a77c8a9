"""What the methods with AutoLink's detector share: parameters, prediction, state. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from kpbench.api import Array, Device, FitContext, ImageSet, Keypoints, MethodBase, Recipe
from kpbench.errors import CheckpointError

if TYPE_CHECKING:
    from kpbench.nn import Detector


@dataclass
class DetectorMethod(MethodBase):
    """A method whose keypoints come from AutoLink's detector.

    Attributes:
        image_size: side in pixels that images are resized to; a multiple of 16.
        detector_width: channels after the first block of the detector.
    """

    image_size: int = 128
    detector_width: int = 64
    _detector: Detector | None = field(default=None, init=False, repr=False, compare=False)
    _edge_weights: Array | None = field(default=None, init=False, repr=False, compare=False)
    _frozen: tuple[Any, Detector] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def configured(self, *, role: str, recipe: Recipe, overrides: Mapping[str, Any]) -> Self:
        """Return a new method with the recipe's and the role's values, then `overrides`.

        Raises:
            UnknownNameError: an override names no parameter.
        """
        from ._recipes import settings

        known = self.params()
        chosen = {k: v for k, v in settings(recipe, role).items() if k in known}
        return self._with({**chosen, **overrides})

    def pixels(self, images: ImageSet) -> Array:
        """Return what the detector looks at: uint8 (N, H, W, 3)."""
        return images.images

    def predict(self, images: ImageSet) -> Keypoints:
        """Detect keypoints in the whole, unmasked images, in float32 (on a GPU, cuDNN's TF32).

        Points depend on the size of a batch only in the last bits.
        """
        import numpy as np
        import torch

        from kpbench.nn.images import device_batches

        detector = self._for_prediction()
        device = next(detector.parameters()).device.type
        with torch.inference_mode():
            found = [
                detector(batch).points
                for batch in device_batches(self.pixels(images), self.image_size, device)
            ]
        return Keypoints(torch.cat(found).cpu().numpy().astype(np.float64), graph=self._graph())

    def _for_prediction(self) -> Detector:
        """Return the detector in its fastest form, made anew when its weights change or move."""
        from kpbench.nn import frozen_detector

        fitted = self.detector()
        state = fitted.state_dict().values()
        key = id(fitted), [(tensor.data_ptr(), tensor._version) for tensor in state]
        if self._frozen is None or self._frozen[0] != key:
            self._frozen = key, frozen_detector(fitted)
        return self._frozen[1]

    def detector(self) -> Detector:
        """Return the fitted detector.

        Raises:
            CheckpointError: neither `fit` nor `load` was called.
        """
        if self._detector is None:
            raise CheckpointError(f"{self.name} is not fitted; call fit or load first")
        return self._detector

    def to(self, device: Device) -> None:
        """Predict on this device from now on."""
        self.detector().to(device)

    def _graph(self) -> Array | None:
        """Return the (K, K) symmetric edge weights, or None where no graph is learnt."""
        import numpy as np

        if self._edge_weights is None:
            return None
        k = self.detector().head.out_channels
        graph = np.zeros((k, k))
        graph[np.triu_indices(k, 1)] = self._edge_weights
        return graph + graph.T

    def state(self) -> dict[str, Array]:
        """Return the detector's weights and the edge weights, in the order of `edge_ends`."""
        learnt = {
            name: tensor.detach().cpu().numpy()
            for name, tensor in self.detector().state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        if self._edge_weights is not None:
            learnt["edge_weights"] = self._edge_weights
        return learnt

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take back what `state` returned; prediction then runs on the CPU (see `to`).

        Raises:
            CheckpointError: an array is missing, or of another shape or type.
        """
        import numpy as np
        import torch

        from kpbench.nn import Detector

        weights = {name: value for name, value in state.items() if name != "edge_weights"}
        edges = state.get("edge_weights")
        try:
            k = len(weights["head.bias"])
            detector = Detector(k, self.detector_width).eval().requires_grad_(False)
            for name, value in detector.state_dict().items():
                if name.endswith("num_batches_tracked"):
                    weights[name] = value.numpy()
            tensors = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
            detector.load_state_dict(tensors, strict=True)
        except (KeyError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"the checkpoint does not fit {self.name}: {str(error).splitlines()[-1].strip()}"
            ) from error
        if edges is not None and edges.shape != (k * (k - 1) // 2,):
            raise CheckpointError(
                f"the checkpoint does not fit {self.name}: {edges.shape} edge weights for {k} "
                "keypoints"
            )
        self._detector, self._edge_weights = detector, edges


@dataclass
class AutoLinkMethod(DetectorMethod):
    """The parameters of AutoLink's training, by default the paper's.

    Attributes:
        decoder_width: channels after the first convolution of the U-Net.
        batch_size: images a step.
        steps: optimiser steps.
        learning_rate: of AdamW, constant.
        weight_decay: of AdamW, on all parameters.
        flip: mirror half of the training images.
        thickness: of the edges, in the papers' units (see `kpbench.nn.edge_map`).
        mask_ratio: share of hidden cells.
        mask_cells: cells along a side.
        edge_scale: by how much faster the edge weights learn.
        backbone: of the perceptual loss (see `kpbench.nn.PerceptualLoss`).
    """

    decoder_width: int = 64
    batch_size: int = 64
    steps: int = 20_001
    learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    flip: bool = False
    thickness: float = 1e-3
    mask_ratio: float = 0.8
    mask_cells: int = 16
    edge_scale: float = 512.0
    backbone: str = "vgg16"

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Train the detector by completing masked images along the edges between its keypoints."""
        from ._autolink_training import fit_autolink

        fit_autolink(self, images, n_keypoints=n_keypoints, seed=seed, context=context)

    def keep(self, detector: Detector, edge_weights: Array) -> None:
        """Take what training found."""
        self._detector, self._edge_weights = detector, edge_weights
