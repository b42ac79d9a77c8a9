"""A laboratory's project as a source of images: any format, with the choices that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kpbench.api import Array
from kpbench.data.projects.frame_source import FrameSource, further_rows
from kpbench.data.projects.project import Choice, Project
from kpbench.data.projects.read import read_project
from kpbench.data.projects.splitting import SPLITS, chosen_to_test
from kpbench.data.source import Rows
from kpbench.errors import DataError, InvalidInputError


@dataclass(frozen=True)
class ProjectSource(FrameSource):
    """Images of a labelled project.

    Attributes:
        format: of the files; see `kpbench.data.projects.read`.
        labelling: which labels, where there are several.
        individual: which animal, where several are labelled.
        category: which category of a COCO file.
        occluded: what a COCO keypoint of visibility 1 counts as.
        split: what is kept on one side; see `kpbench.data.projects.splitting`.
        test: patterns of files or videos that test, instead.
        frames: frames of each video to learn from; 0: all.
        choose: which of them: "even" in time, or evenly in how much the picture changes:
            "difference".
        fingerprint: of the labels that there should be; "": any.
    """

    format: str = ""
    labelling: str = ""
    individual: str = ""
    category: str = ""
    occluded: str = "seen"
    split: str = "video"
    test: tuple[str, ...] = ()
    frames: int = 200
    choose: str = "even"
    fingerprint: str = ""

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "occluded": ("seen", "missing"),
        "split": SPLITS,
        "choose": ("even", "difference"),
    }

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            UnknownNameError: an argument has a value that it cannot have.
            InvalidInputError: a crop or a number of frames that cannot be.
        """
        object.__setattr__(self, "test", tuple(self.test))
        super().__post_init__()
        if type(self.frames) is not int or self.frames < 0:
            raise InvalidInputError(f"frames={self.frames}: a whole number, 0 for all")

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The fields and their values."""
        return {**super().arguments, "test": list(self.test)}

    def project(self, root: Path) -> Project:
        """Read the project.

        Raises:
            DataError: as `read_project`; or the labels are others than were added.
        """
        choice = Choice(self.labelling, self.individual, self.category, self.occluded)
        project = read_project(root, self.format, choice)
        found = project.fingerprint(root) if self.fingerprint else ""
        if found != self.fingerprint:
            raise DataError(
                f"{root}: labels or images have changed since the project was added (fingerprint "
                f"{found}, added with {self.fingerprint}); add it again for a new version: "
                "kpbench data add NAME FOLDER"
            )
        return project

    def tests(self, project: Project) -> Array:
        """Return which labelled images test, (N,) bool."""
        return chosen_to_test(project.labelled, self.split, self.test)

    def further(self, root: Path, project: Project, test: Rows) -> Rows:
        """Return unlabelled images and frames of videos that do not belong to what tests."""
        return further_rows(
            root,
            project,
            test,
            by=self.split,
            globs=self.test,
            frames=self.frames,
            choose=self.choose,
        )
