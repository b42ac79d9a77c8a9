"""Tai-Chi-HD: people doing Tai Chi in videos of all kinds."""

from kpbench import Dataset
from kpbench.scoring.presets.bodies import taichi, taichi_ganseg, taichi_l2

*_PAPERS, _STRICT = taichi("taichi")

DATASET = Dataset(
    name="taichi",
    title="Tai-Chi-HD (Siarohin et al., NeurIPS 2019; landmarks ICPR 2020)",
    about="People doing Tai Chi, 256 x 256 pixels; 18 joints by OpenPose on 5,300 images, so "
    "that the labels are themselves predictions; frames of 3,049 clips to learn from.",
    licence="the videos are YouTube's users'; landmarks and masks as the code of "
    "motion-cosegmentation, see there",
    source="labelled images, masks and landmarks: the README of "
    "AliaksandrSiarohin/motion-cosegmentation; clips: AliaksandrSiarohin/video-preprocessing, "
    "saved as png",
    layout="""\
landmark/taichi_train_gt.pkl    landmark/taichi_test_gt.pkl    5,000 and 300 rows
eval_images/taichi-256/train/   eval_images/taichi-256/test/   as file_name says
taichi-test-masks/              as file_name of the test rows
train/<clip>/0000000.png        frames to learn from""",
    needs=(
        "landmark/taichi_train_gt.pkl",
        "landmark/taichi_test_gt.pkl",
        "eval_images/taichi-256/train",
        "eval_images/taichi-256/test",
        "taichi-test-masks",
        "train",
    ),
    evaluators=(*_PAPERS, taichi_ganseg("taichi"), taichi_l2("taichi"), _STRICT),
)
