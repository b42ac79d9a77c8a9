"""CUB-200-2011 as Lorenz et al. aligned it: all birds look to the left."""

from kpbench import Dataset

from ..cub.evaluators import EVALUATORS

DATASET = Dataset(
    name="cub_aligned",
    title="CUB-200-2011, aligned (Lorenz et al., CVPR 2019)",
    about="Birds cropped and mirrored so that all look to the left, no water birds; 15 parts "
    "with visibility; 9,365 images.",
    licence="as CUB-200-2011: non-commercial research and education",
    source="theRealSuperMario/unsupervised-disentangling, branch reproducing_baselines, "
    "original_code/custom_datasets/cub_200_2011; its README says where the images are",
    layout="""\
train.csv     test.csv      fname and others; 4,735 and 4,630 rows
train_kp.npy  test_kp.npy   N x 15 x 3: x, y in [0, 1], visible
images/train/00181.png      as fname says""",
    needs=("train.csv", "test.csv", "train_kp.npy", "test_kp.npy", "images"),
    evaluators=EVALUATORS,
)
