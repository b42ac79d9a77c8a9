"""Evaluators of CUB-200-2011."""

from __future__ import annotations

from dataclasses import replace

from kpbench.scoring.presets.citations import AUTOLINK, CHOUDHURY, HUANG, SCOPS, STABLE, STRICT
from kpbench.scoring.spec import EvaluatorSpec


def cub() -> list[EvaluatorSpec]:
    """Return the evaluators of CUB: all birds, one class, or aligned."""
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
    in_box = replace(
        with_bias,
        formula=f"{with_bias.formula}; all coordinates relative to the bird's box, x by its width "
        "and y by its height",
        frame="box",
    )
    return [
        autolink,
        stable,
        replace(with_bias, name="cub/scops", paper=f"{SCOPS}; as evaluated by {HUANG}, src/cub"),
        replace(in_box, name="cub/huang", paper=f"{HUANG}; src/cub200/eval_interp.py"),
        replace(in_box, name="cub/choudhury", paper=f"{CHOUDHURY}; evaluation/CUB eval.ipynb"),
        replace(with_bias, name="cub/strict", paper=STRICT),
    ]
