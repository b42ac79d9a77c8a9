"""What an evaluator does, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kpbench.contracts.types import Array
from kpbench.errors import InvalidInputError
from kpbench.scoring.flips import Pairs, permutation
from kpbench.scoring.metrics import Aggregation

Frame = Literal["image", "box", "isotropic", "eyes"]
"""The coordinates in which an evaluator fits and measures:

- `image`: (x, y) in [0, 1] of the square that the detector sees.
- `box`: relative to the object's box, x by its width and y by its height.
- `isotropic`: the squashing into a square undone, in units of the height of what it shows.
- `eyes`: divided by the distance of the image's annotated eyes, in test as well.
"""


@dataclass(frozen=True)
class EvaluatorSpec:
    """Everything that turns keypoints and labels into one number.

    Attributes:
        name: <data set>/<paper>, or <data set>/strict.
        paper: citation, and the file of the released code.
        formula: the metric in one line.
        metric: short name of the metric.
        unit: unit of the number.
        scale: factor from errors in the frame, in inter-ocular distances, or from hits to `unit`.
        error: Euclidean distance of a landmark, absolute error of a coordinate, or hit.
        aggregation: how errors become one number.
        frame: the coordinates of the fit and of the errors.
        bias: fit an offset.
        centre: subtracted from keypoints and labels before the fit.
        landmark_centre: subtracted from the labels, when it is not `centre`.
        ridge: penalty of the fit.
        fit_on: the images that the regression is fitted on; "test" is a fault.
        rows: "all": every label must be there; "visible": a landmark is fitted and scored where
            it is visible; "positive": where it is visible and both coordinates exceed 0.
        min_norm: fewer rows than features give the minimum-norm solution, not an error.
        pairs: the (left, right) list that the flip rules exchange.
        train_flip: exchange left and right labels before the fit: by EM, or of people who show
            their back.
        test_flip: look at the test labels to exchange left and right: of the labels, until at most
            ten images change, or of the estimate, in each image.
        trim: refit without samples further than this many standard deviations above the mean.
        n_landmarks: the number of landmarks that `pairs` and `joints` refer to; None: any.
        joints: the landmarks that are fitted and scored; None: all.
        eyes: the two landmarks whose distance divides the errors, or the coordinates.
        skip_zero_eyes: leave out images with no distance between the eyes, which is an error
            otherwise.
        threshold: distance in [0, 1] below which a landmark is hit.
        known_fault: what is wrong in the published code that this evaluator reproduces.

    Raises:
        InvalidInputError: hits without a threshold, a flip rule without its list or with missing
            labels, or a frame without its eyes.
    """

    name: str
    paper: str
    formula: str
    metric: str
    unit: str
    scale: float
    error: Literal["l2", "absolute", "hit"] = "l2"
    aggregation: Aggregation = "image_mean"
    frame: Frame = "image"
    bias: bool = False
    centre: float = 0.0
    landmark_centre: float | None = None
    ridge: float = 0.0
    fit_on: Literal["train", "test"] = "train"
    rows: Literal["all", "visible", "positive"] = "all"
    min_norm: bool = False
    pairs: Pairs = ()
    train_flip: Literal["none", "em", "back_facing"] = "none"
    test_flip: Literal["none", "labels", "estimate"] = "none"
    trim: float | None = None
    n_landmarks: int | None = None
    joints: tuple[int, ...] | None = None
    eyes: tuple[int, int] | None = None
    skip_zero_eyes: bool = False
    threshold: float | None = None
    known_fault: str = ""

    def __post_init__(self) -> None:
        """Check that every rule has what it needs."""
        if (self.error == "hit") != (self.threshold is not None):
            raise InvalidInputError(f'{self.name}: error "hit" and a threshold go together')
        flips = {self.train_flip, self.test_flip} != {"none"}
        if flips and not (self.pairs and self.n_landmarks):
            raise InvalidInputError(f"{self.name}: a flip rule needs pairs and n_landmarks")
        if (flips or self.trim is not None) and self.rows != "all":
            raise InvalidInputError(f'{self.name}: flip rules and trimming need rows "all"')
        if self.frame == "eyes" and self.eyes is None:
            raise InvalidInputError(f'{self.name}: the frame "eyes" needs the eyes')

    @property
    def rule(self) -> EvaluatorSpec:
        """The evaluator without its name and citation: equal rules are one number."""
        return replace(self, name="", paper="")

    @property
    def dataset(self) -> str:
        """The data set part of the name."""
        return self.name.partition("/")[0]

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger number is the better one."""
        return self.error == "hit"

    @property
    def oracle_used(self) -> bool:
        """Whether labels of the test images take part in what is predicted for them."""
        return self.test_flip != "none" or self.frame == "eyes" or self.fit_on == "test"

    @property
    def needs(self) -> tuple[str, ...]:
        """What `Detections` must hold besides keypoints, landmarks and visibility."""
        needed: dict[Frame, tuple[str, ...]] = {"box": ("boxes",), "isotropic": ("aspect",)}
        return needed.get(self.frame, ())

    @property
    def order(self) -> Array:
        """(L,) int such that landmarks[:, order] of the scored landmarks has sides exchanged.

        Raises:
            InvalidInputError: `joints` has one side of a pair alone.
        """
        assert self.n_landmarks is not None
        whole = permutation(self.pairs, self.n_landmarks)
        joints = list(range(self.n_landmarks) if self.joints is None else self.joints)
        if missing := sorted({int(whole[j]) for j in joints} - set(joints)):
            raise InvalidInputError(f"{self.name}: joints lack {missing}, which pairs need")
        return np.array([joints.index(int(whole[j])) for j in joints])


def by_rule(specs: Iterable[EvaluatorSpec]) -> list[list[EvaluatorSpec]]:
    """Return evaluators that are one rule under several names together, in order of the first."""
    groups: list[list[EvaluatorSpec]] = []
    for spec in specs:
        same = next((group for group in groups if group[0].rule == spec.rule), None)
        if same is None:
            groups.append([spec])
        else:
            same.append(spec)
    return groups
