"""Lips and tongues of speakers: a published project of DeepLabCut, split by speaker.

Layout: labeled-data/<recording>/CollectedData_AW.csv and images, as in the folders Lips and
Ultrasound. One folder holds all test images; their names begin with the speaker. Folders whose
name contains TESTSET show speakers of the test images and are used for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kpbench import Array, Rows
from kpbench.data.dataset import Clone
from kpbench.data.projects.formats import deeplabcut
from kpbench.data.projects.frame_source import FrameSource
from kpbench.data.projects.project import Choice, Project

REPOSITORY = "https://github.com/articulateinstruments/DeepLabCut-for-Speech-Production"
COMMIT = "0ffee35c92f5a92899e3e2ca8d1ab4c0600a3de8"
PAPER = "Wrench and Balch-Tomes, Beyond the Edge, Sensors 22(3):1133, 2022"
LICENCE = "the repository is under GPL-3.0; for images and labels nothing is stated"
UNCLEAR = (
    "the licence of the images: names of folders point to the TaL corpus, whose terms were not "
    "checked; they show real people"
)


@dataclass(frozen=True)
class Speech(FrameSource):
    """Labelled frames of speakers; who tests is in no other part.

    Attributes:
        tests_in: the folder of the test images.
    """

    tests_in: str = ""

    def project(self, root: Path) -> Project:
        """Read the project without the other recordings of the test speakers.

        Raises:
            DataError: a file is not what its format says; names file, line and column.
        """
        found = deeplabcut.read(root, Choice())
        return replace(
            found, labelled=self._by_speaker(found.labelled), unlabelled=_used(found.unlabelled)
        )

    def tests(self, project: Project) -> Array:
        """Return which images are in the folder of the test images, (N,) bool."""
        return np.char.startswith(project.labelled.files, self._folder)

    @property
    def _folder(self) -> str:
        return f"{deeplabcut.FRAMES}/{self.tests_in}/"

    def _by_speaker(self, rows: Rows) -> Rows:
        """Return the used images; the identity of a test image is its speaker's or recording's."""
        rows = _used(rows)
        assert rows.groups is not None
        pairs = zip(rows.files.tolist(), rows.groups.tolist(), strict=True)
        groups = [
            file.removeprefix(self._folder).partition("-img")[0]
            if file.startswith(self._folder)
            else group
            for file, group in pairs
        ]
        return replace(rows, groups=np.array(groups, dtype=str))


def _used(rows: Rows) -> Rows:
    """Return the images that are in no folder of a test speaker, but for the test images."""
    return rows[np.char.find(rows.files, "TESTSET") < 0]


def clone(folder: str, megabytes: float) -> Clone:
    """Return where a folder of the repository is cloned from."""
    return Clone(REPOSITORY, COMMIT, folder, megabytes, UNCLEAR)


def layout(tests_in: str) -> str:
    """Return the files that are read, as a tree."""
    return f"""\
labeled-data/<recording>/CollectedData_AW.csv    and its images
labeled-data/{tests_in}/    the test images"""
