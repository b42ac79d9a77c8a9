"""The rendered people that come with kpbench, in the roles of the papers' data sets."""

from kpbench import Dataset

from .evaluators import EVALUATORS, FURTHER

DATASET = Dataset(
    name="people",
    title="Rendered people",
    about="People of all shapes, whose poses are put together from 11 clips of motion capture, "
    "with exact depth, masks and 32 joints in 2-D and 3-D; rendered on this machine when a run "
    "needs them.",
    licence="Apache-2.0; NOTICE names the works that body and motion are derived from",
    source="comes with kpbench",
    evaluators=EVALUATORS,
    further=FURTHER,
)
