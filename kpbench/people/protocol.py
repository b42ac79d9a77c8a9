"""The rendered people as evaluation protocols. Imports no torch: listing protocols stays fast."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np

from kpbench.api import (
    Array,
    Device,
    ImageSet,
    Labelled,
    Progress,
    Recipe,
    Signal,
    Splits,
    no_progress,
)
from kpbench.data.dataset import Dataset
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.people.body.skeleton import FACE, joint_indices
from kpbench.people.dataset import RenderedSet, load
from kpbench.people.scene.sampler import SPLITS, PeopleSettings, Split
from kpbench.registry import of_recipe
from kpbench.scoring.spec import EvaluatorSpec

_SIZES: Mapping[Recipe, Mapping[str, int]] = {
    "smoke": {"train": 96, "test": 24, "validation": 16, "pixels": 32},
    "quick": {"train": 1500, "test": 300, "validation": 300, "pixels": 64},
    "standard": {"train": 4000, "test": 500, "validation": 500, "pixels": 96},
    "paper": {"train": 20_000, "test": 2_000, "validation": 2_000, "pixels": 128},
}


@dataclass(frozen=True)
class PeopleProtocol:
    """A protocol on rendered people; satisfies `api.EvaluationProtocol`.

    Discovery and regression use the same training images, as AutoLink's protocols do. Test people,
    clothes, textures and motion clips occur in no other split (the laboratory is one for all);
    validation people and textures are its own too, its motion clips are those of training.

    Attributes:
        name: of the protocol, as its module.
        description: one sentence.
        paper: whose role it takes.
        role: see `api.EvaluationProtocol`.
        dataset: holds the evaluators, whose names begin with the protocol's.
        n_keypoints: K.
        landmarks: names of the annotated joints, from `skeleton.JOINTS`.
        settings: of the generator.
        default: whether it runs without being named.
        evaluator: name of the default evaluator.
        labels: "all" joints have one; or only those that an annotator who sees the picture "finds",
            as OpenPose does: not behind furniture, and nose, eyes and ears only where they show.
        version: of the protocol.
        signals: what the data has besides RGB.
        split: what takes the place of the test images: "test", or "validation" for tuning.
    """

    name: str
    description: str
    paper: str
    role: str
    dataset: Dataset
    n_keypoints: int
    landmarks: Sequence[str]
    settings: PeopleSettings
    default: bool
    evaluator: str
    labels: Literal["all", "found"] = "all"
    version: int = 2
    signals: Sequence[Signal] = field(default=("depth", "mask", "frames"))
    split: Split = "test"

    @property
    def evaluators(self) -> Sequence[EvaluatorSpec]:
        """The default evaluator and the others that a run is scored under."""
        return self.dataset.evaluators_beside(self.evaluator, ())

    @property
    def further(self) -> Sequence[EvaluatorSpec]:
        """The evaluators that only a comparison of evaluators uses."""
        return tuple(spec for spec in self.dataset.further if spec.dataset == self.name)

    @property
    def extremities(self) -> Sequence[str]:
        """Wrists, ankles and the head, as far as they are labelled; of the head its top, if it is.

        Without the top it is the nose.
        """
        head = "head_top" if "head_top" in self.landmarks else "nose"
        ends = (head, "l_wrist", "r_wrist", "l_ankle", "r_ankle")
        return tuple(name for name in ends if name in self.landmarks)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What can be chosen: which images take the place of the test images."""
        return {"split": self.split}

    def configured(self, arguments: Mapping[str, Any]) -> Self:
        """Return the protocol with other arguments.

        Raises:
            UnknownNameError: there is no such argument, or no such value of it.
        """
        for name, value in arguments.items():
            if name != "split":
                raise UnknownNameError.of("argument", name, ["split"])
            if value not in ("test", "validation"):
                raise UnknownNameError.of("value of split", str(value), ["test", "validation"])
        return replace(self, **arguments)

    def sizes(self, recipe: Recipe) -> Mapping[str, int]:
        """Return {"discovery", "regression", "test"}: images, and {"pixels"}: their side."""
        sizes = _sizes(recipe)
        return {
            "discovery": sizes["train"],
            "regression": sizes["train"],
            "test": sizes[self.split],
            "pixels": sizes["pixels"],
        }

    def fingerprint(self, recipe: Recipe) -> str:
        """Return a hash of everything that determines the data, on either device class."""
        data = [self._rendered(recipe, split, "cpu").describe() for split in SPLITS]
        parts = {
            "version": self.version,
            "landmarks": list(self.landmarks),
            "labels": self.labels,
            "data": [{k: v for k, v in part.items() if k != "device"} for part in data],
        }
        if self.split != "test":
            parts["split"] = self.split
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def splits(
        self,
        recipe: Recipe,
        *,
        device: Device = "cpu",
        signals: Sequence[Signal] = (),
        progress: Progress = no_progress,
    ) -> Splits:
        """Load the data from the user's cache, rendering it first when necessary.

        Depth and mask are always present, frames only when asked for. Validation is part of the
        result for `smoke`; for other recipes call `validation`.

        Args:
            recipe: selects the sizes.
            device: where missing data is rendered.
            signals: "frames" adds the second frame of every pair.
            progress: told about images being rendered.

        Raises:
            UnknownNameError: no such recipe.
            InvalidInputError: a signal that the data does not have.
            CacheError: the cache is truncated or altered.
            StorageError: the cache cannot be written.
        """
        for name in signals:
            if name not in self.signals:
                raise InvalidInputError(
                    f"{self.name} has no signal {name!r}; it has: {', '.join(self.signals)}"
                )
        train = self._labelled(recipe, "train", device, signals, progress)
        test = self._labelled(recipe, self.split, device, signals, progress)
        validation = None
        if recipe == "smoke":
            validation = self._labelled(recipe, "validation", device, signals, progress)
        return Splits(train.images, train, test, validation)

    def validation(
        self,
        recipe: Recipe,
        *,
        device: Device = "cpu",
        signals: Sequence[Signal] = (),
        progress: Progress = no_progress,
    ) -> Labelled:
        """Load the validation split; arguments and errors as for `splits`."""
        return self._labelled(recipe, "validation", device, signals, progress)

    def rendered(self, recipe: Recipe, device: Device = "cpu") -> dict[str, RenderedSet]:
        """Return the data sets that `splits` loads without frames, by name of the split.

        Raises:
            UnknownNameError: no such recipe.
        """
        names: list[Split] = ["train", self.split]
        if recipe == "smoke" and self.split != "validation":
            names.append("validation")
        return {name: self._rendered(recipe, name, device) for name in names}

    def joints(self, recipe: Recipe, split: Split, *, device: Device = "cpu") -> Array:
        """Return the landmarks in three dimensions.

        Returns:
            (N, L, 3) float32 in camera axes (right, down, forward), metres.
        """
        arrays = load(self._rendered(recipe, split, device))
        return read_rows(arrays["joints"], self.landmarks)

    def _rendered(
        self, recipe: Recipe, split: Split, device: Device, moment: int = 0
    ) -> RenderedSet:
        sizes = _sizes(recipe)
        return RenderedSet(self.settings, split, sizes[split], sizes["pixels"], device, moment)

    def _labelled(
        self,
        recipe: Recipe,
        split: Split,
        device: Device,
        signals: Sequence[Signal],
        progress: Progress,
    ) -> Labelled:
        arrays = load(self._rendered(recipe, split, device), progress)
        frames = None
        if "frames" in signals:
            frames = load(self._rendered(recipe, split, device, 1), progress)["images"]
        images = ImageSet(arrays["images"], arrays["depth"], arrays["mask"], frames)
        landmarks = read_rows(arrays["landmarks"], self.landmarks)
        visible = np.ones(landmarks.shape[:2], dtype=bool)
        if self.labels == "found":
            hidden = np.array(arrays["occluded"])
            face = joint_indices(FACE)
            hidden[:, face] |= ~arrays["visible"][:, face]
            visible = ~read_rows(hidden, self.landmarks)
            landmarks = np.where(visible[..., None], landmarks, 0)
        groups = np.array(arrays["groups"])
        return Labelled(images, landmarks, visible, groups, names=tuple(self.landmarks))


def read_rows(joints: Array, names: Sequence[str]) -> Array:
    """Return the named joints of an (N, 32, ...) array, as a copy in memory."""
    return np.asarray(joints)[:, joint_indices(names)]


def _sizes(recipe: Recipe) -> Mapping[str, int]:
    return of_recipe(recipe, _SIZES, "the rendered people")
