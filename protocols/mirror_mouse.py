"""A mouse running on a treadmill, seen from the side and, in a mirror, from below."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kpbench import Array, Dataset, EvaluationProtocol, RealProtocol, Rows
from kpbench.data.dataset import Clone
from kpbench.data.projects.formats import lightning_pose
from kpbench.data.projects.frame_source import FrameSource, further_rows
from kpbench.data.projects.project import Choice, Project
from kpbench.data.projects.rules import evaluators
from kpbench.data.projects.splitting import chosen_to_test

_PAWS = ("paw1LH", "paw2LF", "paw3RF", "paw4RH", "tailBase", "tailMid", "nose")
LANDMARKS = (
    *(f"{name}_top" for name in (*_PAWS, "obs")),
    *(f"{name}_bot" for name in (*_PAWS, "obsHigh", "obsLow")),
)
"""In the order of the file: of the upper view, then of the lower one."""
_REPOSITORY = "https://github.com/paninski-lab/lightning-pose"


@dataclass(frozen=True)
class MirrorMouse(FrameSource):
    """Frames of one mouse: all of the video to learn from, the labelled ones split by frame."""

    def project(self, root: Path) -> Project:
        """Read the project.

        Raises:
            DataError: a file is not what its format says; names file, line and column.
        """
        return lightning_pose.read(root, Choice(labels=lightning_pose.USUAL))

    def tests(self, project: Project) -> Array:
        """Return which labelled images test, (N,) bool: a third, by the hash of their names."""
        return chosen_to_test(project.labelled, "frame")

    def further(self, root: Path, project: Project, test: Rows) -> Rows:
        """Return the video and the frames that nobody labelled."""
        return further_rows(root, project, test, by="frame")


DATASET = Dataset(
    name="mirror_mouse",
    title="mirror-mouse-example of Lightning Pose (Biderman, Whiteway et al., Nature Methods 2024)",
    about="A mouse on a treadmill in two views in one image, 396 x 406 pixels, grey; 90 frames "
    "labelled by hand, 17 points, and a video of 994 frames.",
    licence="the repository is under MIT; for images and labels nothing else is stated",
    source=f"{_REPOSITORY}, folder data/mirror-mouse-example",
    layout="""\
CollectedData.csv
labeled-data/img01.png
videos/test_vid.mp4         needs the extra: pip install "kpbench[video]\"""",
    needs=("CollectedData.csv", "labeled-data", "videos/test_vid.mp4"),
    evaluators=evaluators("mirror_mouse", LANDMARKS, pixels=406),
    clone=Clone(
        _REPOSITORY,
        "f54c4778ad1cc70af7be940919073793a70f3eef",
        "data/mirror-mouse-example",
        7,
        "from how many recordings the labelled frames are; they may be of the video's mouse",
    ),
)

PLUGIN: EvaluationProtocol = RealProtocol(
    name="mirror_mouse",
    description="A running mouse from the side and from below; where are its paws, nose and tail?",
    paper="Biderman, Whiteway et al., Lightning Pose, Nature Methods 2024; split by kpbench",
    role="project",
    dataset=DATASET,
    n_keypoints=12,
    landmarks=LANDMARKS,
    evaluator="mirror_mouse/strict",
    source=MirrorMouse(),
    published={"discovery": 1056, "regression": 60, "test": 30},
    signals=("depth", "frames"),
    shared_identities="split by frame, 60 to train and 30 to test: one mouse is in both",
)
