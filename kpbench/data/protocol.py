"""Protocols on data sets that the user has. Imports no image library: listing them stays fast."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kpbench.api import (
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
from kpbench.data.packing.packed import LIMITS, Packed, PackedSet
from kpbench.data.source import Source
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.registry import of_recipe
from kpbench.scoring.spec import EvaluatorSpec

SPLITS = ("discovery", "regression", "test")


@dataclass(frozen=True)
class RealProtocol:
    """A protocol on a data set on the user's disk; satisfies `api.EvaluationProtocol`.

    Attributes:
        name: of the protocol, as its module.
        description: one sentence.
        paper: whose split, K and metric it takes.
        role: see `api.EvaluationProtocol`.
        dataset: what the user has to have; its evaluators score the protocol.
        n_keypoints: K.
        landmarks: names of the annotated landmarks.
        evaluator: name of the default evaluator.
        source: reads the data; its fields are the protocol's arguments.
        published: {"discovery", "regression", "test"}: images that the paper reports.
        pixels: side of the packed images.
        version: of the protocol.
        default: whether it runs without being named.
        extremities: those of the landmarks that are extremities of a body, if any.
        shared_identities: why test shows identities of training in the published split, if it does.
        varying_sizes: split -> why copies of the data set differ in size, if they do.
        depth: name of the model in `kpbench.data.depth` whose maps are the signal "depth".
    """

    name: str
    description: str
    paper: str
    role: str
    dataset: Dataset
    n_keypoints: int
    landmarks: Sequence[str]
    evaluator: str
    source: Source
    published: Mapping[str, int]
    pixels: int = 128
    version: int = 1
    default: bool = False
    extremities: Sequence[str] = ()
    shared_identities: str = ""
    varying_sizes: Mapping[str, str] = field(default_factory=dict)
    depth: str = "midas_swin2_large"
    signals: Sequence[Signal] = field(default=("depth",))

    @property
    def evaluators(self) -> Sequence[EvaluatorSpec]:
        """The default evaluator and the others that a run is scored under."""
        return self.dataset.evaluators_beside(self.evaluator, self.source.gives)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What can be chosen about the data, and how it is chosen here."""
        return {**self.source.arguments, "depth": self.depth}

    def configured(self, arguments: Mapping[str, Any]) -> Self:
        """Return the protocol with other arguments.

        Raises:
            UnknownNameError: there is no such argument, or no such value of it.
        """
        own = {k: v for k, v in arguments.items() if k != "depth"}
        unknown = [k for k in own if k not in self.source.arguments]
        if unknown:
            raise UnknownNameError.of(f"argument of {self.name}", unknown[0], self.arguments)
        depth = str(arguments.get("depth", self.depth))
        return replace(self, source=self.source.configured(own), depth=depth)

    def sizes(self, recipe: Recipe) -> Mapping[str, int]:
        """Return {"discovery", "regression", "test"}: images, and {"pixels"}: their side.

        The sizes are those found where the data was packed, else the published ones.
        """
        from kpbench.data.locate import find_root

        sizes = {}
        root = find_root(self.dataset.name)
        for split in SPLITS:
            limit = _limit(recipe, split)
            count = self.published[split] if limit is None else min(limit, self.published[split])
            if root is not None:
                count = self.packed(recipe, split).count_if_packed() or count
            sizes[split] = count
        return {**sizes, "pixels": self.pixels}

    def packed(self, recipe: Recipe, split: str) -> PackedSet:
        """Return which packed set a split is.

        Raises:
            MissingDataError: the user's config names no folder of the data set.
        """
        from kpbench.data.locate import require_root

        return PackedSet(
            protocol=self.name,
            version=self.version,
            source=self.source,
            root=require_root(self.dataset.name),
            part=self.source.parts[split],
            limit=_limit(recipe, split),
            pixels=self.pixels,
        )

    def prepare(self, recipe: Recipe, progress: Progress = no_progress) -> None:
        """Pack all splits, as far as that has not been done.

        Raises:
            MissingDataError: the user's config names no folder of the data set.
            DataError: files are missing or unreadable; names them.
            StorageError: the cache cannot be written, or has too little space.
        """
        for split in SPLITS:
            self.packed(recipe, split).make(progress)

    def deviations(self, recipe: Recipe) -> list[str]:
        """Return one sentence for each packed split whose size is not the published one."""
        found = []
        for split in SPLITS:
            limit, wanted = _limit(recipe, split), self.published[split]
            count = self.packed(recipe, split).count_if_packed()
            if count is not None and count != min(limit or wanted, wanted):
                text = f"{split} has {count:,} images; published: {wanted:,}"
                reason = self.varying_sizes.get(split, "")
                found.append(f"{text} ({reason})" if reason else text)
        return found

    def fingerprint(self, recipe: Recipe) -> str:
        """Return a hash of the files and labels of all splits; packs them first when necessary."""
        self.prepare(recipe)
        return self.fingerprint_of({s: self.packed(recipe, s).open().digest for s in SPLITS})

    def fingerprint_of(self, digests: Mapping[str, str]) -> str:
        """Return the fingerprint of data whose splits have these digests."""
        parts = {
            "protocol": [self.name, self.version, self.pixels],
            "arguments": dict(self.source.arguments),
            "landmarks": list(self.landmarks),
            "data": dict(digests),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def signal_fingerprint(self, recipe: Recipe, signals: Sequence[Signal]) -> str:
        """Return a hash of how the named signals were computed; "" when none of them was.

        Raises:
            MissingDataError: depth was not computed; holds the command.
        """
        if "depth" not in signals:
            return ""
        from kpbench.data.depth import depth_fingerprint

        found = {s: depth_fingerprint(self.depth, self.packed(recipe, s)) for s in SPLITS}
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def splits(
        self,
        recipe: Recipe,
        *,
        device: Device = "cpu",
        signals: Sequence[Signal] = (),
        progress: Progress = no_progress,
    ) -> Splits:
        """Open the packed data, packing it first when necessary.

        Masks are present where the data set has them for a whole part.

        Args:
            recipe: selects the sizes.
            device: not used: nothing is made on a device.
            signals: "depth" adds the maps that `kpbench data depth` computed.
            progress: told about images being packed.

        Raises:
            MissingDataError: the data set, or its depth, is not there; says how to get it.
            DataError: files are missing or unreadable; names them.
            CacheError: the packed data was altered.
            StorageError: the cache cannot be written.
        """
        for name in signals:
            if name not in self.signals:
                known = ", ".join(self.signals)
                raise InvalidInputError(f"{self.name} has no signal {name!r}; it has: {known}")
        self.prepare(recipe, progress)
        parts = {s: self.packed(recipe, s) for s in SPLITS}
        images = {s: self._images(parts[s], "depth" in signals) for s in SPLITS}
        return Splits(
            images["discovery"],
            self._labelled(images["regression"], parts["regression"].open()),
            self._labelled(images["test"], parts["test"].open()),
        )

    def _images(self, part: PackedSet, with_depth: bool) -> ImageSet:
        depth = None
        if with_depth:
            from kpbench.data.depth import load_depth

            depth = load_depth(self.depth, part)
        packed = part.open()
        return ImageSet(packed.images, depth, packed.mask, packed.frames)

    def _labelled(self, images: ImageSet, packed: Packed) -> Labelled:
        if packed.landmarks is None or packed.visible is None:
            raise InvalidInputError("a part without annotation cannot be regressed or tested")
        return Labelled(
            images,
            packed.landmarks,
            packed.visible,
            packed.groups,
            packed.activities,
            packed.boxes,
            packed.aspect,
            tuple(self.landmarks),
        )


def _limit(recipe: Recipe, split: str) -> int | None:
    limits = of_recipe(recipe, LIMITS, "a protocol of the user's data")
    return limits["test" if split == "test" else "train"]
