"""DeepFashion: full bodies of models before white."""

from kpbench import Dataset
from kpbench.scoring.presets.bodies import deepfashion, deepfashion_l2, lorenz_on_test

*_PAPERS, _STRICT = deepfashion("deepfashion")

DATASET = Dataset(
    name="deepfashion",
    title="DeepFashion, In-shop Clothes Retrieval, full bodies (Lorenz et al., CVPR 2019)",
    about="Models showing clothes before white, 256 x 256 pixels; 17 joints by AlphaPose, so "
    "that the labels are themselves predictions; 11,783 images.",
    licence="non-commercial research; the images are given on request, with a password",
    source="images: mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html (In-shop Clothes Retrieval, "
    "Img/img.zip); lists and labels: theRealSuperMario/unsupervised-disentangling, branch "
    "reproducing_baselines, original_code/custom_datasets/deepfashion",
    layout="""\
data_train.csv   data_test.csv     id, filename; 10,604 and 1,179 rows
data_train.json  data_test.json    the same rows: keypoints 17 x 2, (x, y) in pixels
img/WOMEN/Dresses/id_00000002/02_1_front.jpg      as filename says""",
    needs=("data_train.csv", "data_train.json", "data_test.csv", "data_test.json", "img"),
    evaluators=(*_PAPERS, deepfashion_l2("deepfashion"), _STRICT),
    further=(lorenz_on_test("deepfashion"),),
)
