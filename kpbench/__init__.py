"""Benchmark and evaluate unsupervised keypoint methods."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kpbench.api import (
        Array,
        EvaluationProtocol,
        FitContext,
        ImageSet,
        Keypoints,
        Labelled,
        Method,
        MethodBase,
        Recipe,
        Splits,
    )
    from kpbench.nn.warp import ColourRange, Warp, Warped, WarpRange
    from kpbench.training.batch import Batch
    from kpbench.training.frozen import Helper
    from kpbench.training.network_method import Found, NetworkMethod
    from kpbench.training.optimiser import Decay, Group, Optimiser
    from kpbench.training.torch_method import TorchMethod

__version__ = "0.1.0"
__all__ = [
    "Array",
    "Batch",
    "ColourRange",
    "Decay",
    "EvaluationProtocol",
    "FitContext",
    "Found",
    "Group",
    "Helper",
    "ImageSet",
    "Keypoints",
    "Labelled",
    "Method",
    "MethodBase",
    "NetworkMethod",
    "Optimiser",
    "Recipe",
    "Splits",
    "TorchMethod",
    "Warp",
    "WarpRange",
    "Warped",
]

_ELSEWHERE = {
    "Batch": "training.batch",
    "ColourRange": "nn.warp",
    "Decay": "training.optimiser",
    "Found": "training.network_method",
    "Group": "training.optimiser",
    "Helper": "training.frozen",
    "NetworkMethod": "training.network_method",
    "Optimiser": "training.optimiser",
    "TorchMethod": "training.torch_method",
    "Warp": "nn.warp",
    "WarpRange": "nn.warp",
    "Warped": "nn.warp",
}
"""Module of each name that does not lie in `kpbench.api`."""

if not TYPE_CHECKING:  # the command line starts without numpy, which the contracts import

    def __getattr__(name: str) -> object:
        """Import a name when it is first asked for."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"kpbench.{_ELSEWHERE.get(name, 'api')}"), name)

    def __dir__() -> list[str]:
        """Return what is here, loaded or not."""
        return sorted({*globals(), *__all__})
