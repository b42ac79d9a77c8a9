"""Faces of people in YouTube's videos, 68 points, tested on other people.

The published lists share all 347 people, so all labelled images are split anew, by person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpbench import Array, DataError, Dataset, EvaluationProtocol, RealProtocol, Rows
from kpbench.data.dataset import Clone
from kpbench.data.projects.frame_source import FrameSource
from kpbench.data.projects.project import Project, images_in
from kpbench.data.projects.rules import evaluators
from kpbench.files.tables import read_csv


def _face() -> tuple[str, ...]:
    """Return names of iBUG's 68 points; l_ and r_ of one name are mirror images of each other."""
    jaw = [f"r_jaw_{i}" for i in range(8)] + ["chin"] + [f"l_jaw_{i}" for i in range(7, -1, -1)]
    brows = [f"r_brow_{i}" for i in range(5)] + [f"l_brow_{i}" for i in range(4, -1, -1)]
    nose = [*(f"nose_{i}" for i in range(4)), "r_nostril_0", "r_nostril_1", "nose_low",
            "l_nostril_1", "l_nostril_0"]  # fmt: skip
    eyes = [*(f"r_eye_{i}" for i in range(6)), *(f"l_eye_{i}" for i in (3, 2, 1, 0, 5, 4))]
    outer = ["r_lip_0", "r_lip_1", "r_lip_2", "lip_top", "l_lip_2", "l_lip_1", "l_lip_0",
             "l_lip_3", "l_lip_4", "lip_bottom", "r_lip_4", "r_lip_3"]  # fmt: skip
    inner = ["r_mouth_0", "r_mouth_1", "mouth_top", "l_mouth_1", "l_mouth_0", "l_mouth_2",
             "mouth_bottom", "r_mouth_2"]  # fmt: skip
    return (*jaw, *brows, *nose, *eyes, *outer, *inner)


LANDMARKS = _face()
TESTED = 87
"""People of 347 that test."""
_TABLES = {
    "training": "training_frames_keypoints.csv",
    "test": "test_frames_keypoints.csv",
}
_REPOSITORY = "https://github.com/udacity/P1_Facial_Keypoints"


@dataclass(frozen=True)
class YtFaces(FrameSource):
    """Faces cut out of videos, split by person."""

    def project(self, root: Path) -> Project:
        """Read both tables, whose images are split anew, and list the images without labels.

        Raises:
            DataError: a table is missing or malformed; names file, line and column.
        """
        files: list[str] = []
        points: list[Array] = []
        columns = {"": str, **{str(i): float for i in range(2 * len(LANDMARKS))}}
        for folder, name in _TABLES.items():
            table = read_csv(root / name, columns)
            files += [f"{folder}/{file}" for file in table.pop("")]
            points.append(np.stack(list(table.values()), -1))
        landmarks = np.concatenate(points).reshape(len(files), -1, 2)
        if len(set(files)) < len(files) or not np.isfinite(landmarks).all():
            raise DataError(f"{root}: a table names an image twice, or holds what is no number")
        known = set(files)
        others = [file for folder in _TABLES for file in images_in(root, folder)
                  if file not in known]  # fmt: skip
        return Project(
            "table",
            LANDMARKS,
            Rows(np.array(files), landmarks, np.ones(landmarks.shape[:2], bool), _people(files)),
            Rows(np.array(others, dtype=str), groups=_people(others)),
        )

    def tests(self, project: Project) -> Array:
        """Return which images show the people who test, (N,) bool: first by hash of their names."""
        assert project.labelled.groups is not None
        names = sorted(set(project.labelled.groups.tolist()), key=_hash)
        return np.isin(project.labelled.groups, names[: max(1, round(len(names) * TESTED / 347))])


def _people(files: Sequence[str]) -> Array:
    """Return who is shown: Luis_Fonsi of training/Luis_Fonsi_21.jpg."""
    names = [file.rpartition("/")[2].rpartition("_")[0] for file in files]
    return np.array(names, dtype=str)


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


DATASET = Dataset(
    name="yt_faces",
    title="Faces of YouTube Faces with 68 points (udacity/P1_Facial_Keypoints)",
    about="Faces of 347 people cut out of videos, 72 to 494 pixels wide; 4,232 images with 68 "
    "points, which are whole numbers and probably a program's output, not a person's.",
    licence="the repository is under MIT; the images are of YouTube Faces, under its own terms",
    source=f"{_REPOSITORY}, folder data",
    layout="""\
training_frames_keypoints.csv    test_frames_keypoints.csv
training/Luis_Fonsi_21.jpg       test/""",
    needs=(*_TABLES.values(), *_TABLES),
    evaluators=evaluators("yt_faces", LANDMARKS, normaliser=("r_eye_0", "l_eye_0")),
    clone=Clone(
        _REPOSITORY,
        "6e55adc6bd032d9fb1ad41a4c3e68aae847cdf81",
        "data",
        247,
        "how the labels were made (probably by a program), and YouTube Faces' terms for copies",
    ),
)

PLUGIN: EvaluationProtocol = RealProtocol(
    name="yt_faces",
    description="Faces in videos; where are 68 points of eyes, brows, nose, mouth and jaw?",
    paper="Wolf et al., YouTube Faces, CVPR 2011; points of udacity, split by kpbench",
    role="project",
    dataset=DATASET,
    n_keypoints=10,
    landmarks=LANDMARKS,
    evaluator="yt_faces/strict",
    source=YtFaces(),
    published={"discovery": 4340, "regression": 3186, "test": 1046},
)
