"""Rules of bodies: DeepFashion's and Taichi's, and those of the rendered people."""

from __future__ import annotations

from dataclasses import replace

from kpbench.scoring.presets.citations import (
    AUTOLINK,
    FIT,
    GANSEG,
    JOINT_MEAN,
    LORENZ,
    SIAROHIN,
    STABLE,
    STRICT,
)
from kpbench.scoring.spec import EvaluatorSpec


def deepfashion(dataset: str) -> list[EvaluatorSpec]:
    """Return the evaluators that every run is scored under."""
    autolink = EvaluatorSpec(
        name=f"{dataset}/autolink",
        paper=f"{AUTOLINK}; datasets/deepfashion.py",
        formula=f"share of landmarks with |p - y| < 6 px at 256, x 100; {FIT} without bias",
        metric="PCK within 6 px at 256",
        unit="%",
        scale=100.0,
        error="hit",
        threshold=6 / 256,
    )
    stable = replace(
        autolink,
        name=f"{dataset}/stablekeypoints",
        paper=f"{STABLE}; eval.py (pck)",
        formula=f"{autolink.formula} on coordinates - 0.5",
        centre=0.5,
    )
    strict = replace(
        autolink,
        name=f"{dataset}/strict",
        paper=STRICT,
        formula=autolink.formula.replace("without", "with"),
        bias=True,
    )
    return [autolink, stable, strict]


def deepfashion_l2(dataset: str) -> EvaluatorSpec:
    """Return StableKeypoints' second column, which needs no threshold."""
    return EvaluatorSpec(
        name=f"{dataset}/stablekeypoints_l2",
        paper=f"{STABLE}; Table 3 (relative L2), fit of eval.py (pck)",
        formula=f"{JOINT_MEAN}, x 128; {FIT} without bias on coordinates - 0.5",
        metric="relative L2",
        unit="px at 128",
        scale=128.0,
        centre=0.5,
    )


def lorenz_on_test(dataset: str) -> EvaluatorSpec:
    """Return the re-implementation whose README reports 57 % for Lorenz et al."""
    spec = deepfashion(dataset)[0]
    return replace(
        spec,
        name=f"{dataset}/lorenz_on_test",
        paper=f"{LORENZ}; as evaluated by theRealSuperMario/unsupervised-disentangling, predict.py",
        formula="share of landmarks with |p - y| < 6 px at 256, x 100; OLS without bias, fitted on "
        "the test images, from keypoints in [-1, 1] to landmarks in [0, 1]",
        centre=0.5,
        landmark_centre=0.0,
        fit_on="test",
        known_fault="the regression is fitted on the test images, and keypoints around 0 are "
        "fitted to landmarks around 0.5 without a bias; its loader also drops the images of an "
        "incomplete batch, which is not repeated here",
    )


def taichi(dataset: str) -> list[EvaluatorSpec]:
    """Return the evaluators that every run is scored under."""
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
        known_fault="takes a label with a coordinate of 0 for a missing one",
    )
    autolink = replace(
        siarohin, name=f"{dataset}/autolink", paper=f"{AUTOLINK}; datasets/taichi.py"
    )
    return [siarohin, autolink, stable, replace(siarohin, name=f"{dataset}/strict", paper=STRICT)]


def taichi_ganseg(dataset: str) -> EvaluatorSpec:
    """Return GANSeg's rule, which is Siarohin's with a column of ones for the intercept."""
    siarohin = taichi(dataset)[0]
    return replace(siarohin, name=f"{dataset}/ganseg", paper=f"{GANSEG}; test_seg.py")


def taichi_l2(dataset: str) -> EvaluatorSpec:
    """Return StableKeypoints' second column.

    Table 3 prints it as the summed error / 33.46 for every method, which is twice the mean number
    of visible landmarks an image; this is that, from the landmarks themselves.
    """
    stable = taichi(dataset)[2]
    return replace(
        stable,
        name=f"{dataset}/stablekeypoints_l2",
        paper=f"{STABLE}; Table 3 (relative L2), fit of eval.py (mean_average_error)",
        formula="sum over visible landmarks of all images of |p - y| / their number, in px at 128; "
        "each landmark by OLS without bias on coordinates - 0.5; visible: both coordinates > 0",
        metric="relative L2",
        unit="px at 128",
        scale=128.0,
        aggregation="pooled_mean",
    )
