"""Evaluators of faces, in units of the distance of the eyes: CelebA, AFLW, 300W."""

from __future__ import annotations

from dataclasses import replace

from kpbench.scoring.presets.citations import (
    AUTOLINK,
    DVE,
    FIT,
    GANSEG,
    HUANG,
    IMM,
    JOINT_MEAN,
    SCOPS,
    STABLE,
    STRICT,
    ZHANG,
)
from kpbench.scoring.spec import EvaluatorSpec

EYES = (0, 1)
"""The centres of the eyes among 5 landmarks."""
OUTER_CORNERS = (36, 45)
"""The outer corners of the eyes among 68 landmarks."""


def celeba() -> list[EvaluatorSpec]:
    """Return the evaluators of CelebA, aligned and in the wild."""
    autolink = _plain("celeba/autolink", f"{AUTOLINK}; datasets/celeba_wild.py", EYES)
    centred = replace(autolink, formula=f"{autolink.formula} on coordinates - 0.5", centre=0.5)
    strict = _with_bias("celeba/strict", STRICT, EYES)
    return [
        autolink,
        replace(autolink, name="celeba/ganseg", paper=f"{GANSEG}; test_seg.py"),
        replace(centred, name="celeba/stablekeypoints", paper=f"{STABLE}; eval.py"),
        replace(
            centred,
            name="celeba/zhang",
            paper=f"{ZHANG}; evaluation/face_evaluation.m, mean_error_IOD.m",
            formula=f"{centred.formula}; faces without eye distance are left out",
            skip_zero_eyes=True,
        ),
        replace(autolink, name="celeba/imm", paper=f"{IMM}; scripts/test.py"),
        replace(strict, name="celeba/scops", paper=f"{SCOPS}; evaluation/face_evaluation_wild.py"),
        replace(
            strict,
            name="celeba/huang",
            paper=f"{HUANG}; src/celeba/eval_interp.py",
            formula=f"{JOINT_MEAN}, x 100; {FIT} with bias, keypoints and landmarks of each image "
            "divided by the distance of its annotated eyes before the fit and in test",
            frame="eyes",
        ),
        _dve("celeba", EYES),
        strict,
    ]


def other_faces() -> list[EvaluatorSpec]:
    """Return the evaluators of AFLW (5 landmarks) and 300W (68)."""
    return [
        _dve("aflw", EYES),
        _with_bias("aflw/strict", STRICT, EYES),
        replace(_dve("300w", OUTER_CORNERS), n_landmarks=68),
        replace(_with_bias("300w/strict", STRICT, OUTER_CORNERS), n_landmarks=68),
    ]


def _plain(name: str, paper: str, eyes: tuple[int, int]) -> EvaluatorSpec:
    return EvaluatorSpec(
        name=name,
        paper=paper,
        formula=f"{JOINT_MEAN} / distance of the eyes, x 100; {FIT} without bias",
        metric="L2 / inter-ocular distance",
        unit="%",
        scale=100.0,
        eyes=eyes,
    )


def _with_bias(name: str, paper: str, eyes: tuple[int, int]) -> EvaluatorSpec:
    spec = _plain(name, paper, eyes)
    return replace(spec, formula=spec.formula.replace("without", "with"), bias=True)


def _dve(dataset: str, eyes: tuple[int, int]) -> EvaluatorSpec:
    corners = "outer eye corners" if eyes == OUTER_CORNERS else "eyes"
    return replace(
        _with_bias(f"{dataset}/dve", f"{DVE}; model/metric.py", eyes),
        formula=f"{JOINT_MEAN} / distance of the {corners}, x 100, in an image that is not "
        f"squashed; DVE trains a landmark head on its features instead of a regression: here {FIT} "
        "with bias",
        frame="isotropic",
    )
