"""CUB-200-2011: photographs of birds, 15 parts that may be hidden."""

from kpbench import Dataset

from .evaluators import EVALUATORS

DATASET = Dataset(
    name="cub",
    title="CUB-200-2011, with the annotation cleaned for CMR (Kanazawa et al., ECCV 2018)",
    about="Photographs of birds of 200 classes, 15 parts with visibility; 11,788 images.",
    licence="non-commercial research and education; the photographs are Flickr's users'",
    source="images: www.vision.caltech.edu/datasets/cub_200_2011; annotation: cachedir of "
    "akanazawa/cmr (issue 3 says where it went)",
    layout="""\
CUB_200_2011/
  images/001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg
  cachedir/cub/data/{train,val,test}_cub_cleaned.mat    images: rel_path, bbox, parts 3 x 15""",
    needs=(
        "CUB_200_2011/images",
        *(
            f"CUB_200_2011/cachedir/cub/data/{split}_cub_cleaned.mat"
            for split in ("train", "val", "test")
        ),
    ),
    evaluators=EVALUATORS,
)
