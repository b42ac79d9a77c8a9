"""Rules of faces, in units of the distance of the eyes, which several data sets share."""

from __future__ import annotations

from dataclasses import replace

from kpbench.scoring.presets.citations import DVE, FIT, JOINT_MEAN
from kpbench.scoring.spec import EvaluatorSpec

EYES = (0, 1)
"""The centres of the eyes among 5 landmarks."""
OUTER_CORNERS = (36, 45)
"""The outer corners of the eyes among 68 landmarks."""


def plain(name: str, paper: str, eyes: tuple[int, int]) -> EvaluatorSpec:
    """Return the mean error in distances of the eyes, without bias."""
    return EvaluatorSpec(
        name=name,
        paper=paper,
        formula=f"{JOINT_MEAN} / distance of the eyes, x 100; {FIT} without bias",
        metric="L2 / inter-ocular distance",
        unit="%",
        scale=100.0,
        eyes=eyes,
    )


def with_bias(name: str, paper: str, eyes: tuple[int, int]) -> EvaluatorSpec:
    """Return the same with bias."""
    spec = plain(name, paper, eyes)
    return replace(spec, formula=spec.formula.replace("without", "with"), bias=True)


def dve(dataset: str, eyes: tuple[int, int]) -> EvaluatorSpec:
    """Return DVE's metric, with a regression in place of its landmark head."""
    corners = "outer eye corners" if eyes == OUTER_CORNERS else "eyes"
    return replace(
        with_bias(f"{dataset}/dve", f"{DVE}; model/metric.py", eyes),
        formula=f"{JOINT_MEAN} / distance of the {corners}, x 100, in an image that is not "
        f"squashed; DVE trains a landmark head on its features instead of a regression: here {FIT} "
        "with bias",
        frame="isotropic",
    )
