"""The data sets that kpbench reads: what they are, where to ask for them, how they are laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kpbench.data.locate import located


@dataclass(frozen=True)
class DatasetInfo:
    """What a user has to know to get a data set and to lay it out.

    Attributes:
        title: its name in the papers.
        about: what it shows, and who labelled it.
        licence: what it may be used for.
        source: where to ask for it, or to download it.
        layout: its files, as a tree.
        needs: files and folders that must be there; "a|b" for either.
    """

    title: str
    about: str
    licence: str
    source: str
    layout: str
    needs: Sequence[str]


_HUMAN36M_LICENCE = "academic use; everybody who uses it registers and agrees to Human3.6M's terms"
_SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
_SPLITS = ("train", "val", "test")

DATASETS: Mapping[str, DatasetInfo] = {
    "human36m": DatasetInfo(
        title="Simplified Human3.6M (Zhang et al., CVPR 2018)",
        about="People doing six things before four cameras, cropped to 128 x 128 pixels, with "
        "masks and 32 joints by motion capture; 900,000 images of seven subjects.",
        licence=_HUMAN36M_LICENCE,
        source="the archive human_images.tar.gz, named by the READMEs of lmdis-rep (Zhang et "
        "al.) and BKinD; the licence at vision.imar.ro/human3.6m",
        layout="""\
S1/  (and S5, S6, S7, S8, S9, S11)
  WithBackground/Directions 1.54138969/1.jpg    128 x 128
  BackgroudMask/Directions 1.54138969/1.png     spelt so
  Landmarks/Directions 1.54138969/1.mat         keypoints_2d, 32 x 2, (row, column) in [0, 1]""",
        needs=[
            path
            for s in _SUBJECTS
            for path in (
                f"{s}/WithBackground",
                f"{s}/BackgroudMask|{s}/BackgroundMask",
                f"{s}/Landmarks",
            )
        ],
    ),
    "human36m_raw": DatasetInfo(
        title="Human3.6M, whole frames",
        about="The frames of Human3.6M's videos, about 1000 x 1000 pixels, with 32 joints.",
        licence=_HUMAN36M_LICENCE,
        source="vision.imar.ro/human3.6m, fetched and unpacked by anibali/h36m-fetch; name its "
        "folder `processed`",
        layout="""\
S1/  (and S5, S6, S7, S8, S9, S11)
  Directions-1/annot.h5                                     pose/2d, camera, frame
  Directions-1/imageSequence/54138969/img_000001.jpg""",
        needs=_SUBJECTS,
    ),
    "deepfashion": DatasetInfo(
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
    ),
    "taichi": DatasetInfo(
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
    ),
    "celeba": DatasetInfo(
        title="CelebA, with the lists of MAFL (Liu et al., ICCV 2015; Zhang et al., ECCV 2014)",
        about="Faces of celebrities, aligned to 178 x 218 pixels and as photographed, five points; "
        "MAFL is 20,000 of them, 1,000 to test.",
        licence="non-commercial research",
        source="mmlab.ie.cuhk.edu.hk/projects/CelebA.html; MAFL's lists: "
        "zhzhanp/TCDCN-face-alignment; celebA_training.txt: NVlabs/SCOPS; "
        "list_imsize_celeba.txt: xingzhehe/GANSeg",
        layout="""\
Img/img_align_celeba/000001.jpg         or img_align_celeba_hq, or img_align_celeba_png (.png)
Img/img_celeba/000001.jpg               for celeba_wild
Anno/list_landmarks_align_celeba.txt
Anno/list_landmarks_celeba.txt          for celeba_wild
Anno/list_bbox_celeba.txt               for celeba_wild
Anno/list_imsize_celeba.txt             optional: name, height, width; saves opening all images
Anno/identity_CelebA.txt                optional: lets `kpbench data verify` compare identities
Eval/list_eval_partition.txt
MAFL/training.txt  MAFL/testing.txt     19,000 and 1,000 names
MAFL/celebA_training.txt                for celeba_wild""",
        needs=(
            "Img/img_align_celeba|Img/img_align_celeba_hq|Img/img_align_celeba_png",
            "Img/img_celeba|img_celeba",
            "Anno/list_landmarks_align_celeba.txt|list_landmarks_align_celeba.txt",
            "Anno/list_landmarks_celeba.txt|list_landmarks_celeba.txt",
            "Anno/list_bbox_celeba.txt|list_bbox_celeba.txt",
            "Eval/list_eval_partition.txt",
            "MAFL/training.txt",
            "MAFL/testing.txt",
            "MAFL/celebA_training.txt",
        ),
    ),
    "cub": DatasetInfo(
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
            *(f"CUB_200_2011/cachedir/cub/data/{s}_cub_cleaned.mat" for s in _SPLITS),
        ),
    ),
    "cub_aligned": DatasetInfo(
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
    ),
}
"""Name -> what it is."""


@dataclass(frozen=True)
class State:
    """What is there of a data set.

    Attributes:
        status: "found"; "partial": files or folders are missing; "missing": the whole folder is, or
            the user named none.
        root: the folder that the user named, or None.
        named_by: what named it: an environment variable or the config file.
        missing: files and folders, relative to `root`.
    """

    status: Literal["found", "partial", "missing"]
    root: Path | None = None
    named_by: str = ""
    missing: Sequence[str] = ()


def state_of(dataset: str) -> State:
    """Return what is there of a data set, without listing or reading images.

    Raises:
        InvalidInputError: the user's config is damaged; names the file.
    """
    place = located(dataset)
    if place is None:
        return State("missing")
    root, named_by = place
    if not root.is_dir():
        return State("missing", root, named_by)
    needs = DATASETS[dataset].needs if dataset in DATASETS else ()
    missing = [
        need.replace("|", " or ")
        for need in needs
        if not any((root / path).exists() for path in need.split("|"))
    ]
    return State("partial" if missing else "found", root, named_by, missing)
