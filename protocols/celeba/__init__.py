"""CelebA: faces of celebrities, aligned and as photographed, tested on MAFL."""

from kpbench import Dataset

from .evaluators import EVALUATORS

DATASET = Dataset(
    name="celeba",
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
    evaluators=EVALUATORS,
)
