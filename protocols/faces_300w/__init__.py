"""300W: faces in photographs, 68 points; evaluators for detections from elsewhere."""

from dataclasses import replace

from kpbench import Dataset
from kpbench.scoring.presets.citations import STRICT
from kpbench.scoring.presets.faces import OUTER_CORNERS, dve, with_bias

DATASET = Dataset(
    name="300w",
    title="300 Faces In-the-Wild (Sagonas et al., ICCV Workshops 2013)",
    about="Faces of LFPW, HELEN, AFW and iBUG, 68 points.",
    licence="non-commercial research",
    source="ibug.doc.ic.ac.uk/resources/300-W",
    evaluators=(
        replace(dve("300w", OUTER_CORNERS), n_landmarks=68),
        replace(with_bias("300w/strict", STRICT, OUTER_CORNERS), n_landmarks=68),
    ),
)
