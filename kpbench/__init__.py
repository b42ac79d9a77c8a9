"""Benchmark and evaluate unsupervised keypoint methods.

All that the author of a method or of a protocol needs is importable from here. A name is imported
when it is first asked for, so that the command line starts without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what a type checker sees; a test compares it with `_MODULES`
    from kpbench.api import Array as Array
    from kpbench.api import Channels as Channels
    from kpbench.api import ConfigurableProtocol as ConfigurableProtocol
    from kpbench.api import Device as Device
    from kpbench.api import EvaluationProtocol as EvaluationProtocol
    from kpbench.api import ExportableMethod as ExportableMethod
    from kpbench.api import FitContext as FitContext
    from kpbench.api import Images as Images
    from kpbench.api import ImageSet as ImageSet
    from kpbench.api import Keypoints as Keypoints
    from kpbench.api import Labelled as Labelled
    from kpbench.api import LabelReader as LabelReader
    from kpbench.api import Method as Method
    from kpbench.api import MethodBase as MethodBase
    from kpbench.api import MovableMethod as MovableMethod
    from kpbench.api import NotNegative as NotNegative
    from kpbench.api import Pixels as Pixels
    from kpbench.api import Positive as Positive
    from kpbench.api import PreparedProtocol as PreparedProtocol
    from kpbench.api import Progress as Progress
    from kpbench.api import Recipe as Recipe
    from kpbench.api import Share as Share
    from kpbench.api import Signal as Signal
    from kpbench.api import Splits as Splits
    from kpbench.api import Steps as Steps
    from kpbench.api import declare_recipe as declare_recipe
    from kpbench.api import no_progress as no_progress
    from kpbench.data.dataset import Dataset as Dataset
    from kpbench.data.protocol import RealProtocol as RealProtocol
    from kpbench.data.source import Box as Box
    from kpbench.data.source import Rows as Rows
    from kpbench.data.source import Source as Source
    from kpbench.errors import DataError as DataError
    from kpbench.errors import InvalidInputError as InvalidInputError
    from kpbench.errors import KpbenchError as KpbenchError
    from kpbench.errors import MissingDataError as MissingDataError
    from kpbench.errors import MissingWeightsError as MissingWeightsError
    from kpbench.errors import TrainingError as TrainingError
    from kpbench.errors import UnknownNameError as UnknownNameError
    from kpbench.nn.warp import ColourRange as ColourRange
    from kpbench.nn.warp import Warp as Warp
    from kpbench.nn.warp import Warped as Warped
    from kpbench.nn.warp import WarpRange as WarpRange
    from kpbench.people.protocol import PeopleProtocol as PeopleProtocol
    from kpbench.people.scene.scene import Framing as Framing
    from kpbench.people.scene.scene import PeopleSettings as PeopleSettings
    from kpbench.scoring.flips import mirrored_pairs as mirrored_pairs
    from kpbench.scoring.named import evaluators_of as evaluators_of
    from kpbench.scoring.spec import EvaluatorSpec as EvaluatorSpec
    from kpbench.training.batch import Batch as Batch
    from kpbench.training.frozen import Helper as Helper
    from kpbench.training.network_method import Found as Found
    from kpbench.training.network_method import NetworkMethod as NetworkMethod
    from kpbench.training.optimiser import Decay as Decay
    from kpbench.training.optimiser import Group as Group
    from kpbench.training.optimiser import Optimiser as Optimiser
    from kpbench.training.torch_method import TorchMethod as TorchMethod

__version__ = "0.1.0"
_MODULES = {
    "Array": "kpbench.api",
    "Batch": "kpbench.training.batch",
    "Box": "kpbench.data.source",
    "Channels": "kpbench.api",
    "Images": "kpbench.api",
    "NotNegative": "kpbench.api",
    "Pixels": "kpbench.api",
    "Positive": "kpbench.api",
    "Share": "kpbench.api",
    "Steps": "kpbench.api",
    "ColourRange": "kpbench.nn.warp",
    "ConfigurableProtocol": "kpbench.api",
    "DataError": "kpbench.errors",
    "Dataset": "kpbench.data.dataset",
    "Decay": "kpbench.training.optimiser",
    "Device": "kpbench.api",
    "EvaluationProtocol": "kpbench.api",
    "EvaluatorSpec": "kpbench.scoring.spec",
    "ExportableMethod": "kpbench.api",
    "FitContext": "kpbench.api",
    "Found": "kpbench.training.network_method",
    "Group": "kpbench.training.optimiser",
    "Helper": "kpbench.training.frozen",
    "ImageSet": "kpbench.api",
    "InvalidInputError": "kpbench.errors",
    "Keypoints": "kpbench.api",
    "KpbenchError": "kpbench.errors",
    "LabelReader": "kpbench.api",
    "Labelled": "kpbench.api",
    "Method": "kpbench.api",
    "MethodBase": "kpbench.api",
    "MissingDataError": "kpbench.errors",
    "MissingWeightsError": "kpbench.errors",
    "MovableMethod": "kpbench.api",
    "NetworkMethod": "kpbench.training.network_method",
    "Optimiser": "kpbench.training.optimiser",
    "PeopleProtocol": "kpbench.people.protocol",
    "Framing": "kpbench.people.scene.scene",
    "PeopleSettings": "kpbench.people.scene.scene",
    "PreparedProtocol": "kpbench.api",
    "Progress": "kpbench.api",
    "RealProtocol": "kpbench.data.protocol",
    "Recipe": "kpbench.api",
    "Rows": "kpbench.data.source",
    "Signal": "kpbench.api",
    "Source": "kpbench.data.source",
    "Splits": "kpbench.api",
    "TorchMethod": "kpbench.training.torch_method",
    "TrainingError": "kpbench.errors",
    "UnknownNameError": "kpbench.errors",
    "Warp": "kpbench.nn.warp",
    "WarpRange": "kpbench.nn.warp",
    "Warped": "kpbench.nn.warp",
    "declare_recipe": "kpbench.api",
    "evaluators_of": "kpbench.scoring.named",
    "mirrored_pairs": "kpbench.scoring.flips",
    "no_progress": "kpbench.api",
}
"""Name -> the module that it is imported from."""
__all__ = [*_MODULES]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a name when it is first asked for."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_MODULES[name]), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Return what is here, loaded or not."""
        return sorted({*globals(), *_MODULES})
