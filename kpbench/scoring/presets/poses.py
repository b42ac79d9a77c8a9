"""Evaluators of human poses with 32 joints: Human3.6M, and the rendered people in its role."""

from __future__ import annotations

from dataclasses import replace

from kpbench.scoring.flips import Pairs, mirrored_pairs
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

HUMAN36M_PAIRS: Pairs = (
    *((left, left - 5) for left in range(6, 11)),
    *((left, left + 8) for left in range(16, 24)),
)
"""The 32 joints of Human3.6M: hip to toes, then neck, shoulder to hand; an involution."""

HUMAN36M_PUBLISHED_PAIRS: Pairs = (
    *((left, left - 5) for left in range(6, 11)),
    *((left, left + 8) for left in range(17, 21)),
    (21, 28),
    (22, 30),
    (23, 31),
)
"""As in AutoLink (`h36m.py:111`) and StableKeypoints (`eval.py:365`): (21, 28) should be (21, 29),
and (16, 24) is missing. It is no permutation: joint 20 is filled from 28, and 28 from 21."""
PUBLISHED_FAULT = (
    "the published left/right list is no permutation: it pairs joint 21 with 28 instead of 29, and "
    "lacks (16, 24)"
)

BKIND_JOINTS = (1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

PEOPLE_JOINTS = (
    *("pelvis", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle"),
    *("spine", "thorax", "nose", "head_top"),
    *("l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist"),
    *("l_eye", "r_eye", "l_ear", "r_ear", "l_big_toe", "r_big_toe", "l_heel", "r_heel"),
    *("l_fingertip", "r_fingertip", "l_clavicle", "r_clavicle", "l_small_toe", "r_small_toe"),
    "spine_low",
)
"""The 32 joints of the rendered people; 1 to 16 are BKinD's 16 joints in BKinD's order."""
PEOPLE_PAIRS = mirrored_pairs(PEOPLE_JOINTS)


def human36m() -> list[EvaluatorSpec]:
    """Return the evaluators of Human3.6M."""
    *published, strict = _papers("human36m", HUMAN36M_PUBLISHED_PAIRS)
    autolink, stable = (replace(spec, known_fault=PUBLISHED_FAULT) for spec in published)
    fixed = [
        replace(
            spec,
            name=f"{spec.name}_fixed",
            formula=f"{spec.formula}; with a correct left/right list",
            pairs=HUMAN36M_PAIRS,
            known_fault="",
        )
        for spec in (autolink, stable)
    ]
    others = _by_other_papers("human36m", HUMAN36M_PAIRS, BKIND_JOINTS)
    return [autolink, fixed[0], stable, fixed[1], *others, strict]


def people(dataset: str) -> list[EvaluatorSpec]:
    """Return the evaluators that every run on rendered people is scored under."""
    return _papers(dataset, PEOPLE_PAIRS)


def people_further(dataset: str) -> list[EvaluatorSpec]:
    """Return the rules of further Human3.6M papers, applied to rendered people."""
    return _by_other_papers(dataset, PEOPLE_PAIRS, tuple(range(1, 17)))


def _papers(dataset: str, pairs: Pairs) -> list[EvaluatorSpec]:
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


def _by_other_papers(dataset: str, pairs: Pairs, sixteen: tuple[int, ...]) -> list[EvaluatorSpec]:
    """BKinD, KeypointGAN and Zhang; the first two average over activities.

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
