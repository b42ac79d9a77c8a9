"""Human3.6M's whole frames, as h36m-fetch unpacks them."""

from kpbench import Dataset

from ..human36m import LICENCE
from ..human36m.evaluators import EVALUATORS

DATASET = Dataset(
    name="human36m_raw",
    title="Human3.6M, whole frames",
    about="The frames of Human3.6M's videos, about 1000 x 1000 pixels, with 32 joints.",
    licence=LICENCE,
    source="vision.imar.ro/human3.6m, fetched and unpacked by anibali/h36m-fetch; name its "
    "folder `processed`",
    layout="""\
S1/  (and S5, S6, S7, S8, S9, S11)
  Directions-1/annot.h5                                     pose/2d, camera, frame
  Directions-1/imageSequence/54138969/img_000001.jpg""",
    needs=("S1", "S5", "S6", "S7", "S8", "S9", "S11"),
    evaluators=EVALUATORS,
)
