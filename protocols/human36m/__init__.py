"""Simplified Human3.6M: people cropped to 128 x 128 pixels in a studio."""

from kpbench import Dataset

from .evaluators import EVALUATORS

LICENCE = "academic use; everybody who uses it registers and agrees to Human3.6M's terms"

DATASET = Dataset(
    name="human36m",
    title="Simplified Human3.6M (Zhang et al., CVPR 2018)",
    about="People doing six things before four cameras, cropped to 128 x 128 pixels, with "
    "masks and 32 joints by motion capture; 900,000 images of seven subjects.",
    licence=LICENCE,
    source="the archive human_images.tar.gz, named by the READMEs of lmdis-rep (Zhang et "
    "al.) and BKinD; the licence at vision.imar.ro/human3.6m",
    layout="""\
S1/  (and S5, S6, S7, S8, S9, S11)
  WithBackground/Directions 1.54138969/1.jpg    128 x 128
  BackgroudMask/Directions 1.54138969/1.png     spelt so
  Landmarks/Directions 1.54138969/1.mat         keypoints_2d, 32 x 2, (row, column) in [0, 1]""",
    needs=[
        path
        for s in ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
        for path in (
            f"{s}/WithBackground",
            f"{s}/BackgroudMask|{s}/BackgroundMask",
            f"{s}/Landmarks",
        )
    ],
    evaluators=EVALUATORS,
)
