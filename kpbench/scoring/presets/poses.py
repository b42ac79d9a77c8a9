"""Rules of human poses with 32 joints: Human3.6M's, and those of the rendered people."""

from __future__ import annotations

from dataclasses import replace

from kpbench.scoring.flips import Pairs
from kpbench.scoring.presets.citations import (
    AUTOLINK,
    BKIND,
    FIT,
    JOINT_MEAN,
    KEYPOINTGAN,
    STABLE,
    STRICT,
    ZHANG,
)
from kpbench.scoring.spec import EvaluatorSpec


def human36m(dataset: str, pairs: Pairs) -> list[EvaluatorSpec]:
    """Return the evaluators that every run is scored under."""
    autolink = EvaluatorSpec(
        name=f"{dataset}/autolink",
        paper=f"{AUTOLINK}; datasets/h36m.py",
        formula="mean over images of min(d(p, y), d(p, swap y)) x 100, d = mean over landmarks of "
        "|p - y|; OLS without bias on labels swapped by EM and trimmed at 3 sigma",
        metric="normalised L2",
        unit="%",
        scale=100.0,
        pairs=pairs,
        train_flip="em",
        test_flip="labels",
        trim=3.0,
        n_landmarks=32,
    )
    stable = replace(
        autolink,
        name=f"{dataset}/stablekeypoints",
        paper=f"{STABLE}; eval.py (orientation_invariant)",
        formula="mean over images of min(d(p, y), d(swap p, y)) x 128, d = mean over landmarks of "
        "|p - y|; OLS without bias on coordinates - 0.5, on labels swapped by EM",
        unit="px at 128",
        scale=128.0,
        centre=0.5,
        test_flip="estimate",
        trim=None,
    )
    strict = EvaluatorSpec(
        name=f"{dataset}/strict",
        paper=STRICT,
        formula=f"{JOINT_MEAN}, x 100; {FIT} with bias, left and right as annotated",
        metric="normalised L2",
        unit="%",
        scale=100.0,
        bias=True,
    )
    return [autolink, stable, strict]


def human36m_further(dataset: str, pairs: Pairs, sixteen: tuple[int, ...]) -> list[EvaluatorSpec]:
    """Return BKinD's, KeypointGAN's and Zhang's; the first two average over activities.

    Both take the smaller distance to the label and to its exchange. With a correct list that is
    the smaller one of the estimate and its exchange, which `test_flip="estimate"` takes.
    """
    bkind = EvaluatorSpec(
        name=f"{dataset}/bkind",
        paper=f"{BKIND}; test_simplehuman36m.py (mean distance)",
        formula="mean over activities of the mean over images of d x 100, d = mean over 16 joints "
        "of |p - y|; OLS without bias on coordinates - 0.5, labels of people seen from behind "
        "swapped for the fit",
        metric="normalised L2",
        unit="%",
        scale=100.0,
        aggregation="group_mean",
        centre=0.5,
        pairs=pairs,
        train_flip="back_facing",
        n_landmarks=32,
        joints=sixteen,
    )
    bkind_min = replace(
        bkind,
        name=f"{dataset}/bkind_min",
        paper=f"{BKIND}; test_simplehuman36m.py (mean min distance)",
        formula=bkind.formula.replace("images of d x", "images of min(d(p, y), d(p, swap y)) x"),
        test_flip="estimate",
    )
    keypointgan = replace(
        bkind,
        name=f"{dataset}/keypointgan",
        paper=f"{KEYPOINTGAN}; test_pose.py (mean min distance)",
        formula="mean over activities of the mean over images of min(d(p, y), d(p, swap y)) x 100, "
        "d = mean over landmarks of |p - y|; the paper predicts joints, without a regression: here "
        f"{FIT} with bias",
        bias=True,
        centre=0.0,
        train_flip="none",
        test_flip="estimate",
        joints=None,
    )
    zhang = EvaluatorSpec(
        name=f"{dataset}/zhang",
        paper=f"{ZHANG}; evaluation/mean_error_IOD.m (32 points), linear_regressor.m",
        formula=f"{JOINT_MEAN}, x 100; {FIT} without bias on coordinates - 0.5",
        metric="normalised L2",
        unit="%",
        scale=100.0,
        centre=0.5,
        n_landmarks=32,
    )
    return [bkind, bkind_min, keypointgan, zhang]
