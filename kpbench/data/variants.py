"""Arguments that every protocol has: K, how many images to train on, and how good the depth is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, cast

from annotated_types import Ge, Interval

from kpbench.api import (
    Array,
    ConfigurableProtocol,
    Device,
    EvaluationProtocol,
    ImageSet,
    NotNegative,
    Progress,
    Recipe,
    Signal,
    Splits,
    no_progress,
)
from kpbench.contracts.parameters import MOST_KEYPOINTS, check_parameters
from kpbench.data.corruption import CORRUPTIONS
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

    k: Annotated[int, Interval(ge=1, le=MOST_KEYPOINTS)] | None = None
    images: Annotated[int, Ge(2)] | None = None
    depth_noise: NotNegative = 0
    depth_blur: NotNegative = 0
    depth_levels: NotNegative = 0
    depth_uniform: NotNegative = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidInputError: says which argument, and what it may be.
        """
        check_parameters(Variant, asdict(self), "the protocol", InvalidInputError)
        for kind, amount in self.corruptions.items():
            CORRUPTIONS[kind].check(kind, amount)

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
        if name == "base" or name.startswith("__"):  # of a copy that is being made
            raise AttributeError(name)
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
    given = {k: v for k, v in arguments.items() if k not in own}
    check_parameters(Variant, given, name, InvalidInputError)
    variant = Variant(**given)
    varied = {k: v for k, v in given.items() if v != general[k]}
    if varied:
        protocol = cast(EvaluationProtocol, VariedProtocol(protocol, variant))
    return protocol, {**chosen, **varied}
