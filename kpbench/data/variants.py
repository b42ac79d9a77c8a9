"""Arguments that every protocol has: K, how many images to train on, and how good the depth is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from kpbench.api import (
    Array,
    ConfigurableProtocol,
    Device,
    EvaluationProtocol,
    ImageSet,
    Progress,
    Recipe,
    Signal,
    Splits,
    no_progress,
)
from kpbench.data.packing.packed import evenly_spaced
from kpbench.errors import InvalidInputError, UnknownNameError
from kpbench.registry import load_protocol


@dataclass(frozen=True)
class Variant:
    """What is changed about a protocol; None and 0 change nothing.

    Attributes:
        k: the number of keypoints that a method is asked for.
        images: how many discovery images are trained on, evenly spaced over all (few-image
            training, as StableKeypoints and Distill-DKP's outlook propose).
        depth_noise: Gaussian noise on the depth, see `kpbench.data.corruption`.
        depth_blur: Gaussian blur of the depth.
        depth_levels: number of values that the depth is quantised to.
        depth_uniform: 1: every surface at one distance.
    """

    k: int | None = None
    images: int | None = None
    depth_noise: float = 0
    depth_blur: float = 0
    depth_levels: int = 0
    depth_uniform: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidInputError: says which argument, and what it may be.
        """
        for name, least in (("k", 1), ("images", 2)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise InvalidInputError(
                    f"{name} must be a whole number of {least} or more: {value}"
                )
        for name in ("depth_noise", "depth_blur", "depth_levels", "depth_uniform"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise InvalidInputError(f"{name} must be a number of 0 or more: {value}")

    @property
    def corruptions(self) -> dict[str, float]:
        """The corruptions of depth, by their names in `kpbench.data.corruption`."""
        named = {"noise": self.depth_noise, "blur": self.depth_blur}
        named |= {"levels": self.depth_levels, "uniform": self.depth_uniform}
        return {kind: amount for kind, amount in named.items() if amount}


class VariedProtocol:
    """A protocol with a `Variant`; whatever that does not change is the protocol's own."""

    def __init__(self, base: EvaluationProtocol, variant: Variant) -> None:
        """Take the protocol and what is changed about it."""
        self.base, self.variant = base, variant

    def __getattr__(self, name: str) -> Any:
        """Return what is the protocol's own."""
        return getattr(self.base, name)

    @property
    def n_keypoints(self) -> int:
        """K."""
        return self.variant.k or self.base.n_keypoints

    def sizes(self, recipe: Recipe) -> Mapping[str, int]:
        """Return the protocol's sizes, with fewer discovery images if so asked."""
        sizes = self.base.sizes(recipe)
        wanted = self.variant.images or sizes["discovery"]
        return {**sizes, "discovery": min(sizes["discovery"], wanted)}

    def fingerprint(self, recipe: Recipe) -> str:
        """Return a hash of the protocol's data and of what is changed about it."""
        changed = {f.name: getattr(self.variant, f.name) for f in fields(Variant) if f.name != "k"}
        if Variant(**changed) == Variant():
            return self.base.fingerprint(recipe)
        text = json.dumps([self.base.fingerprint(recipe), changed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def splits(
        self,
        recipe: Recipe,
        *,
        device: Device = "cpu",
        signals: Sequence[Signal] = (),
        progress: Progress = no_progress,
    ) -> Splits:
        """Load the protocol's data and change it.

        Raises:
            InvalidInputError: more images are asked for than there are.
        """
        splits = self.base.splits(recipe, device=device, signals=signals, progress=progress)
        discovery = self._fewer(splits.discovery)
        if self.variant.corruptions:
            discovery = self._corrupted(discovery, 0)
            regression = self._corrupted(splits.regression.images, 1)
            test = self._corrupted(splits.test.images, 2)
            splits = replace(
                splits,
                regression=replace(splits.regression, images=regression),
                test=replace(splits.test, images=test),
            )
        return replace(splits, discovery=discovery)

    def _fewer(self, images: ImageSet) -> ImageSet:
        wanted = self.variant.images
        if wanted is None:
            return images
        if wanted > len(images):
            raise InvalidInputError(
                f"{self.base.name} has {len(images)} discovery images, not images={wanted}"
            )
        return images[evenly_spaced(len(images), wanted)]

    def _corrupted(self, images: ImageSet, seed: int) -> ImageSet:
        if images.depth is None:
            return images
        from kpbench.data.corruption import corrupt

        depth: Array = images.depth
        for kind, amount in self.variant.corruptions.items():
            depth = corrupt(depth, kind, amount, seed)
        return replace(images, depth=depth)


def configured(
    name: str, arguments: Mapping[str, Any]
) -> tuple[EvaluationProtocol, dict[str, Any]]:
    """Return a protocol with arguments, its own or a `Variant`'s, and those that change something.

    Raises:
        UnknownNameError: no such protocol, argument or value.
        InvalidInputError: a value that an argument cannot have.
        BrokenPluginError: the protocol cannot be imported.
    """
    protocol = load_protocol(name)
    general = {f.name: f.default for f in fields(Variant)}
    own = dict(protocol.arguments) if isinstance(protocol, ConfigurableProtocol) else {}
    for argument in arguments:
        if argument not in (known := {**general, **own}):
            raise UnknownNameError.of(f"argument of {name}", argument, known)
    chosen = {k: v for k, v in arguments.items() if k in own and v != own[k]}
    if chosen and isinstance(protocol, ConfigurableProtocol):
        protocol = protocol.configured(chosen)
    varied = {k: v for k, v in arguments.items() if k not in own and v != general[k]}
    if varied:
        protocol = cast(EvaluationProtocol, VariedProtocol(protocol, Variant(**varied)))
    return protocol, {**chosen, **varied}
