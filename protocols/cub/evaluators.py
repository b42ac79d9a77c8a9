"""Evaluators of CUB-200-2011: all birds, one class, or aligned."""

from __future__ import annotations

from dataclasses import replace

from kpbench import EvaluatorSpec
from kpbench.scoring.presets.citations import AUTOLINK, CHOUDHURY, HUANG, SCOPS, STABLE, STRICT

_AUTOLINK = EvaluatorSpec(
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
_STABLE = replace(
    _AUTOLINK,
    name="cub/stablekeypoints",
    paper=f"{STABLE}; eval.py (visible)",
    formula="mean over images of the mean over visible landmarks of |p - y|, x 100; each "
    "landmark by OLS without bias on coordinates - 0.5 of its visible rows (pseudo-inverse)",
    aggregation="image_mean",
    centre=0.5,
    min_norm=True,
)
_WITH_BIAS = replace(_AUTOLINK, formula=_AUTOLINK.formula.replace("without", "with"), bias=True)
_IN_BOX = replace(
    _WITH_BIAS,
    formula=f"{_WITH_BIAS.formula}; all coordinates relative to the bird's box, x by its width "
    "and y by its height",
    frame="box",
)
EVALUATORS = (
    _AUTOLINK,
    _STABLE,
    replace(_WITH_BIAS, name="cub/scops", paper=f"{SCOPS}; as evaluated by {HUANG}, src/cub"),
    replace(_IN_BOX, name="cub/huang", paper=f"{HUANG}; src/cub200/eval_interp.py"),
    replace(_IN_BOX, name="cub/choudhury", paper=f"{CHOUDHURY}; evaluation/CUB eval.ipynb"),
    replace(_WITH_BIAS, name="cub/strict", paper=STRICT),
)
