"""Evaluators of CelebA, aligned and in the wild."""

from __future__ import annotations

from dataclasses import replace

from kpbench.scoring.presets.citations import (
    AUTOLINK,
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
from kpbench.scoring.presets.faces import EYES, dve, plain, with_bias

_AUTOLINK = plain("celeba/autolink", f"{AUTOLINK}; datasets/celeba_wild.py", EYES)
_CENTRED = replace(_AUTOLINK, formula=f"{_AUTOLINK.formula} on coordinates - 0.5", centre=0.5)
_STRICT = with_bias("celeba/strict", STRICT, EYES)

EVALUATORS = (
    _AUTOLINK,
    replace(_AUTOLINK, name="celeba/ganseg", paper=f"{GANSEG}; test_seg.py"),
    replace(_CENTRED, name="celeba/stablekeypoints", paper=f"{STABLE}; eval.py"),
    replace(
        _CENTRED,
        name="celeba/zhang",
        paper=f"{ZHANG}; evaluation/face_evaluation.m, mean_error_IOD.m",
        formula=f"{_CENTRED.formula}; faces without eye distance are left out",
        skip_zero_eyes=True,
    ),
    replace(_AUTOLINK, name="celeba/imm", paper=f"{IMM}; scripts/test.py"),
    replace(_STRICT, name="celeba/scops", paper=f"{SCOPS}; evaluation/face_evaluation_wild.py"),
    replace(
        _STRICT,
        name="celeba/huang",
        paper=f"{HUANG}; src/celeba/eval_interp.py",
        formula=f"{JOINT_MEAN}, x 100; {FIT} with bias, keypoints and landmarks of each image "
        "divided by the distance of its annotated eyes before the fit and in test",
        frame="eyes",
    ),
    dve("celeba", EYES),
    _STRICT,
)
