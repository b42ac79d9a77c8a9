"""What an evaluator does, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kpbench.errors import InvalidInputError
from kpbench.flips import Pairs
from kpbench.metrics import Aggregation


@dataclass(frozen=True)
class EvaluatorSpec:
    """Everything that turns keypoints and labels into one number.

    Attributes:
        name: <data set>/<paper>, or <data set>/strict.
        paper: citation, and the file of the released code.
        formula: the metric in one line.
        metric: short name of the metric.
        unit: unit of the number.
        scale: factor from errors in [0, 1], in inter-ocular distances, or from hits to `unit`.
        error: Euclidean distance of a landmark, absolute error of a coordinate, or hit.
        aggregation: how errors become one number.
        bias: fit an offset.
        centre: subtracted from keypoints and labels before the fit.
        ridge: penalty of the fit.
        rows: "all": every label must be there; "visible": a landmark is fitted and scored where
            it is visible; "positive": where it is visible and both coordinates exceed 0.
        min_norm: fewer rows than features give the minimum-norm solution, not an error.
        pairs: the (left, right) list that the flip rules exchange.
        train_flip: exchange left and right labels before the fit: by EM, or of people who show
            their back.
        test_flip: look at the test labels to exchange left and right: of the labels, or of the
            estimate.
        trim: refit without samples further than this many standard deviations above the mean.
        n_landmarks: the number of landmarks that `pairs` and `joints` refer to; None: any.
        joints: the landmarks that are fitted and scored; None: all.
        eyes: the two landmarks whose distance divides the errors.
        skip_zero_eyes: leave out images with no distance between the eyes, which is an error
            otherwise.
        threshold: distance in [0, 1] below which a landmark is hit.

    Raises:
        InvalidInputError: hits without a threshold, or a flip rule without its list.
    """

    name: str
    paper: str
    formula: str
    metric: str
    unit: str
    scale: float
    error: Literal["l2", "absolute", "hit"] = "l2"
    aggregation: Aggregation = "image_mean"
    bias: bool = False
    centre: float = 0.0
    ridge: float = 0.0
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

    def __post_init__(self) -> None:
        """Check that every rule has what it needs."""
        if (self.error == "hit") != (self.threshold is not None):
            raise InvalidInputError(f'{self.name}: error "hit" and a threshold go together')
        flips = {self.train_flip, self.test_flip} != {"none"}
        if flips and not (self.pairs and self.n_landmarks):
            raise InvalidInputError(f"{self.name}: a flip rule needs pairs and n_landmarks")

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
        """Whether test labels take part in the choice of what is scored."""
        return self.test_flip != "none"
