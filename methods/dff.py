"""A reference without training: parts of pretrained features by factorisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from kpbench import Array, FitContext, ImageSet, Keypoints, Method, MethodBase
from kpbench.errors import CheckpointError, TrainingError
from kpbench.nn import centres_of_mass, feature_maps

PASSES, BATCH = 30, 4096
UPDATES = 50
"""Of the heatmaps; 200 change a score by less than another seed does."""
TINY = 1e-9


@dataclass
class DeepFeatureFactorization(MethodBase):
    """Deep Feature Factorization (Collins et al., ECCV 2018): features = heatmaps times factors.

    Non-negative matrix factorisation of features of the training images (scikit-learn's mini-batch
    NMF, at places drawn at random) gives K factors. In an image they stay as they are, and the
    heatmaps are solved for by multiplicative updates (Lee and Seung, 2001), every place on its own.
    A keypoint is the centre of mass of a heatmap, raised to a power.

    The paper takes features after a ReLU. Those of EfficientNet-Lite0 have both signs, and half of
    what they tell lies below 0: the positive and the negative part stand side by side (as in Shang
    et al.'s concatenated ReLU, 2016), divided by their norm at each place.

    Stage and exponent were chosen on validation images of `people_plain`, version 2. Stage 5 with
    an exponent of 1.5 and 2 gives 4.22 and 4.24 % (mean of seeds 0 to 2, which differ by more); at
    seed 0 an exponent of 3 gives 4.54, stage 4 at best 4.91 %. On people of version 1 stages 3 and
    2, a plain ReLU and features above their least value were worse than stage 5 with both parts.

    Attributes:
        features: EfficientNet-Lite0, or any network of timm by its name; see
            `kpbench.nn.feature_maps`.
        image_size: side in pixels that images are resized to.
        stage: from 1, whose output the features are; 1 to 5, at 1/2 to 1/16 of the size.
        exponent: of the heatmaps, before their centres are taken.
        most_images: of the training images, evenly spaced.
        most_places: about as many, evenly from all of these images, are factorised.
    """

    name = "dff"
    reference = "other"

    features: str = "efficientnet_lite0"
    image_size: int = 128
    stage: int = 5
    exponent: float = 2.0
    most_images: int = 1000
    most_places: int = 20_000
    _factors: Tensor | None = field(default=None, init=False, repr=False, compare=False)

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Find the factors.

        Raises:
            TrainingError: fewer places or channels than factors; and what `feature_maps` raises.
        """
        from sklearn.decomposition import MiniBatchNMF
        from threadpoolctl import threadpool_limits

        chosen = np.linspace(0, len(images) - 1, min(len(images), self.most_images)).astype(int)
        places = self._places(images[chosen], seed)
        if min(places.shape) < n_keypoints:
            n, channels = places.shape
            raise TrainingError(
                f"{n} places of {channels} channels cannot make {n_keypoints} parts"
            )
        with threadpool_limits(1):
            found = MiniBatchNMF(
                n_keypoints,
                init="nndsvda",
                random_state=seed % 2**32,
                batch_size=BATCH,
                max_iter=PASSES,
                max_no_improvement=None,
                tol=0.0,
            ).fit(places)
        self._factors = normalize(torch.from_numpy(found.components_.astype(np.float32)), dim=1)

    def predict(self, images: ImageSet) -> Keypoints:
        """Return the centres of the heatmaps."""
        if self._factors is None:
            raise CheckpointError(f"{self.name} is not fitted; call fit or load first")
        found = []
        for maps in self._maps(images):
            heat = heatmaps(maps.flatten(2), self._factors)
            heat = heat / heat.amax(2, keepdim=True).clamp_min(TINY)
            weights = (heat**self.exponent + TINY).view(*heat.shape[:2], *maps.shape[2:])
            found.append(centres_of_mass(weights))
        return Keypoints(torch.cat(found).numpy().astype(np.float64))

    def _maps(self, images: ImageSet) -> Iterator[Tensor]:
        """Yield (B, 2C, h, w) features, none negative, of length 1."""
        for maps in feature_maps(images.images, self.features, self.stage, self.image_size):
            yield normalize(torch.cat([maps, -maps], 1).clamp_min(0), dim=1)

    def _places(self, images: ImageSet, seed: int) -> Array:
        """Return (n, 2C) features at places of all images, as many in each."""
        generator = torch.Generator().manual_seed(seed)
        each = -(-self.most_places // len(images))
        found = []
        for maps in self._maps(images):
            flat = maps.flatten(2)
            order = torch.rand(len(flat), 1, flat.shape[2], generator=generator).argsort(2)
            drawn = flat.gather(2, order[..., :each].expand(-1, flat.shape[1], -1))
            found.append(drawn.mT.flatten(0, 1))
        return np.asarray(torch.cat(found).numpy())

    def state(self) -> dict[str, Array]:
        """Return the factors."""
        assert self._factors is not None
        return {"factors": self._factors.numpy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take the factors back."""
        self._factors = torch.from_numpy(np.array(state["factors"]))


def heatmaps(features: Tensor, factors: Tensor) -> Tensor:
    """Return how much of each factor a place holds: non-negative least squares, nearly.

    Args:
        features: (B, C, P), none negative, P places.
        factors: (K, C), none negative.

    Returns:
        (B, K, P), none negative.
    """
    along, alike = factors @ features, factors @ factors.T
    heat = along
    for _ in range(UPDATES):
        heat = heat * along / (alike @ heat + TINY)
    return heat


PLUGIN: Method = DeepFeatureFactorization()
