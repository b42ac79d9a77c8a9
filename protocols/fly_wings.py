"""Wings of fruit flies, twelve points where veins meet; 58 images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpbench import Array, DataError, Dataset, EvaluationProtocol, RealProtocol, Rows
from kpbench.data.dataset import Clone
from kpbench.data.projects.frame_source import FrameSource
from kpbench.data.projects.project import Project
from kpbench.data.projects.rules import evaluators
from kpbench.data.projects.splitting import chosen_to_test
from kpbench.files.tables import read_csv

LANDMARKS = tuple(f"vein_{i}" for i in range(1, 13))
HEIGHT = 480
"""Of the images; labels count y from below."""
TABLE = "landmark-examples/csv-example.csv"
_REPOSITORY = "https://github.com/agporto/ml-morph"


@dataclass(frozen=True)
class FlyWings(FrameSource):
    """Images of wings, split by image."""

    def project(self, root: Path) -> Project:
        """Read the table of landmarks.

        Raises:
            DataError: it is missing or malformed; names file, line and column.
        """
        columns = {f"{axis}{i}": float for i in range(1, len(LANDMARKS) + 1) for axis in "XY"}
        table = read_csv(root / TABLE, {"id": str, **columns})
        names = table.pop("id")
        points = np.stack(list(table.values()), -1).reshape(len(names), -1, 2)
        if len(np.unique(names)) < len(names) or not np.isfinite(points).all():
            raise DataError(f"{root / TABLE}: names an image twice, or holds what is no number")
        points[..., 1] = HEIGHT - points[..., 1]
        rows = Rows(
            files=np.array([f"image-examples/{name}" for name in names], dtype=str),
            landmarks=points,
            visible=np.ones(points.shape[:2], bool),
            groups=names,
        )
        none = Rows(np.array([], dtype=str), groups=np.array([], dtype=str))
        return Project("ml-morph", LANDMARKS, rows, none)

    def tests(self, project: Project) -> Array:
        """Return which images test, (N,) bool: a third, by the hash of their names."""
        return chosen_to_test(project.labelled, "frame")


DATASET = Dataset(
    name="fly_wings",
    title="Wings of fruit flies, the examples of ml-morph (Porto and Voje, 2020; images of Houle)",
    about="Wings of fruit flies on a microscope, 632 x 480 pixels, grey; 58 images, 12 points.",
    licence="images: CC BY-NC-SA 3.0 US (David Houle, Morphbank); code: GPL-3.0",
    source=f"{_REPOSITORY}, folders image-examples and landmark-examples",
    layout=f"""\
image-examples/63001.jpg
{TABLE}    y counts from below""",
    needs=(TABLE, "image-examples"),
    evaluators=evaluators("fly_wings", LANDMARKS, pixels=HEIGHT),
    clone=Clone(
        _REPOSITORY,
        "802997fc28fae10444ade844f63b9f83e9f28e58",
        "",
        2,
        "who set the landmarks, and under which licence they are",
    ),
)

PLUGIN: EvaluationProtocol = RealProtocol(
    name="fly_wings",
    description="Wings of fruit flies; where do their veins meet?",
    paper="Porto and Voje, ML-morph, Methods in Ecology and Evolution 2020; split by kpbench",
    role="project",
    dataset=DATASET,
    n_keypoints=8,
    landmarks=LANDMARKS,
    evaluator="fly_wings/strict",
    source=FlyWings(),
    published={"discovery": 39, "regression": 39, "test": 19},
)
