"""AFLW: faces in photographs, five points; evaluators for detections from elsewhere."""

from kpbench import Dataset
from kpbench.scoring.presets.citations import STRICT
from kpbench.scoring.presets.faces import EYES, dve, with_bias

DATASET = Dataset(
    name="aflw",
    title="AFLW, Annotated Facial Landmarks in the Wild (Koestinger et al., ICCV Workshops 2011)",
    about="Faces in Flickr's photographs, 21 points; the five of MTFL (Zhang et al., ECCV 2014): "
    "10,122 faces to train, 2,995 to test.",
    licence="non-commercial research",
    source="on request from the Institute of Computer Graphics and Vision, TU Graz; five points: "
    "mmlab.ie.cuhk.edu.hk/projects/TCDCN.html",
    evaluators=(dve("aflw", EYES), with_bias("aflw/strict", STRICT, EYES)),
)
