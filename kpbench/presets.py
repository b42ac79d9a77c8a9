"""The named evaluators as data: what each paper's released evaluation code does.

Sources are the papers' repositories at the files named in `paper`. Three rules of thumb when
reading: a factor on keypoints or labels alone changes no least-squares fit, so pixels of 128, 255
or 256 in the papers' fits are not repeated here; a subtracted constant does change a fit without
bias, so `centre` is; and a standardised fit without intercept is a fit with bias.
"""

from __future__ import annotations

from dataclasses import replace

from kpbench.flips import Pairs, mirrored_pairs
from kpbench.spec import EvaluatorSpec

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

BKIND_JOINTS = (1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

PEOPLE_JOINTS = (
    *("pelvis", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle"),
    *("spine", "thorax", "nose", "head_top"),
    *("l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist"),
    *("l_eye", "r_eye", "l_ear", "r_ear", "l_big_toe", "r_big_toe", "l_heel", "r_heel"),
    *("l_fingertip", "r_fingertip", "l_clavicle", "r_clavicle", "l_small_toe", "r_small_toe"),
    "spine_low",
)
"""The 32 joints of the rendered people."""
PEOPLE_PAIRS = mirrored_pairs(PEOPLE_JOINTS)

AUTOLINK = "He et al., AutoLink, NeurIPS 2022"
STABLE = "Hedlin et al., StableKeypoints, CVPR 2024"
SIAROHIN = "Siarohin et al., Motion-supervised Co-Part Segmentation, ICPR 2020"
STRICT = "kpbench: bias, no look at test labels, no trim"
SCOPS = "Hung et al., SCOPS, CVPR 2019"
HUANG = "Huang and Li, Interpretable and Accurate Fine-grained Recognition, CVPR 2020"

_FIT = "OLS of all landmarks on all keypoints"
_JOINT_MEAN = "mean over images of d, d = mean over landmarks of |p - y|"


def _human36m(dataset: str, pairs: Pairs) -> list[EvaluatorSpec]:
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
        formula=f"{_JOINT_MEAN}, x 100; {_FIT} with bias, left and right as annotated",
        metric="normalised L2",
        unit="%",
        scale=100.0,
        bias=True,
    )
    return [autolink, stable, strict]


def _bkind() -> EvaluatorSpec:
    return EvaluatorSpec(
        name="human36m/bkind",
        paper="Sun et al., BKinD, CVPR 2022; test_simplehuman36m.py (mean distance)",
        formula="mean over activities of the mean over images of d x 100, d = mean over 16 joints "
        "of |p - y|; OLS without bias on coordinates - 0.5, labels of people seen from behind "
        "swapped for the fit",
        metric="normalised L2",
        unit="%",
        scale=100.0,
        aggregation="group_mean",
        centre=0.5,
        pairs=HUMAN36M_PAIRS,
        train_flip="back_facing",
        n_landmarks=32,
        joints=BKIND_JOINTS,
    )


def _deepfashion(dataset: str) -> list[EvaluatorSpec]:
    def spec(name: str, paper: str, fit: str, *, bias: bool, centre: float) -> EvaluatorSpec:
        return EvaluatorSpec(
            name=f"{dataset}/{name}",
            paper=paper,
            formula=f"share of landmarks with |p - y| < 6 px at 256, x 100; {_FIT} {fit}",
            metric="PCK within 6 px at 256",
            unit="%",
            scale=100.0,
            error="hit",
            threshold=6 / 256,
            bias=bias,
            centre=centre,
        )

    return [
        spec(
            "autolink",
            f"{AUTOLINK}; datasets/deepfashion.py",
            "without bias",
            bias=False,
            centre=0.0,
        ),
        spec(
            "stablekeypoints",
            f"{STABLE}; eval.py (pck)",
            "without bias on coordinates - 0.5",
            bias=False,
            centre=0.5,
        ),
        spec("strict", STRICT, "with bias", bias=True, centre=0.0),
    ]


def _taichi(dataset: str) -> list[EvaluatorSpec]:
    siarohin = EvaluatorSpec(
        name=f"{dataset}/siarohin",
        paper=f"{SIAROHIN}; evaluate.py",
        formula="sum over landmark coordinates of the mean over visible images of |p - y|, in px "
        "at 256; each coordinate by OLS with bias on its visible rows",
        metric="cumulative MAE",
        unit="px at 256",
        scale=256.0,
        error="absolute",
        aggregation="component_sum",
        bias=True,
        rows="visible",
    )
    stable = EvaluatorSpec(
        name=f"{dataset}/stablekeypoints",
        paper=f"{STABLE}; eval.py (mean_average_error)",
        formula="mean over images of the sum over visible landmarks of |p - y|, in px at 256; each "
        "landmark by OLS without bias on coordinates - 0.5; visible: both coordinates > 0",
        metric="summed L2",
        unit="px at 256",
        scale=256.0,
        aggregation="image_sum",
        centre=0.5,
        rows="positive",
    )
    autolink = replace(
        siarohin, name=f"{dataset}/autolink", paper=f"{AUTOLINK}; datasets/taichi.py"
    )
    return [siarohin, autolink, stable, replace(siarohin, name=f"{dataset}/strict", paper=STRICT)]


def _celeba() -> list[EvaluatorSpec]:
    base = EvaluatorSpec(
        name="celeba/autolink",
        paper=f"{AUTOLINK}; datasets/celeba_wild.py",
        formula=f"{_JOINT_MEAN} / distance of the eyes, x 100; {_FIT} without bias",
        metric="L2 / inter-ocular distance",
        unit="%",
        scale=100.0,
        eyes=(0, 1),
    )
    centred = replace(base, formula=f"{base.formula} on coordinates - 0.5", centre=0.5)
    with_bias = replace(base, formula=base.formula.replace("without", "with"), bias=True)
    return [
        base,
        replace(centred, name="celeba/stablekeypoints", paper=f"{STABLE}; eval.py"),
        replace(
            centred,
            name="celeba/zhang",
            paper="Zhang et al., Unsupervised Discovery of Object Landmarks, CVPR 2018; "
            "evaluation/face_evaluation.m, mean_error_IOD.m",
            formula=f"{centred.formula}; faces without eye distance are left out",
            skip_zero_eyes=True,
        ),
        replace(base, name="celeba/imm", paper="Jakab et al., IMM, NeurIPS 2018; scripts/test.py"),
        replace(
            with_bias, name="celeba/scops", paper=f"{SCOPS}; evaluation/face_evaluation_wild.py"
        ),
        replace(with_bias, name="celeba/strict", paper=STRICT),
    ]


def _cub() -> list[EvaluatorSpec]:
    autolink = EvaluatorSpec(
        name="cub/autolink",
        paper=f"{AUTOLINK}; datasets/cub.py",
        formula="sum over visible landmarks of all images of |p - y| / their number, x 100; each "
        "landmark by OLS without bias on its visible rows",
        metric="visible normalised L2",
        unit="%",
        scale=100.0,
        aggregation="pooled_mean",
        rows="visible",
    )
    stable = replace(
        autolink,
        name="cub/stablekeypoints",
        paper=f"{STABLE}; eval.py (visible)",
        formula="mean over images of the mean over visible landmarks of |p - y|, x 100; each "
        "landmark by OLS without bias on coordinates - 0.5 of its visible rows (pseudo-inverse)",
        aggregation="image_mean",
        centre=0.5,
        min_norm=True,
    )
    with_bias = replace(autolink, formula=autolink.formula.replace("without", "with"), bias=True)
    return [
        autolink,
        stable,
        replace(with_bias, name="cub/scops", paper=f"{SCOPS}; as evaluated by {HUANG}, src/cub"),
        replace(with_bias, name="cub/strict", paper=STRICT),
    ]


def _all() -> list[EvaluatorSpec]:
    human36m = _human36m("human36m", HUMAN36M_PUBLISHED_PAIRS)
    return [
        *human36m[:-1],
        _bkind(),
        human36m[-1],
        *_deepfashion("deepfashion"),
        *_taichi("taichi"),
        *_celeba(),
        *_cub(),
        *_human36m("people_background", PEOPLE_PAIRS),
        *_human36m("people_plain", PEOPLE_PAIRS),
        *_deepfashion("people_fashion"),
        *_taichi("people_taichi"),
    ]


EVALUATORS = {spec.name: spec for spec in _all()}
"""Every named evaluator: of a data set, the papers' first and the strict one last."""
