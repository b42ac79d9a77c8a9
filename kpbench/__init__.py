"""Benchmark and evaluate unsupervised keypoint methods."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kpbench.api import (
        EvaluationProtocol,
        FitContext,
        ImageSet,
        Keypoints,
        Labelled,
        Method,
        MethodBase,
        Splits,
    )

__version__ = "0.1.0"
__all__ = [
    "EvaluationProtocol",
    "FitContext",
    "ImageSet",
    "Keypoints",
    "Labelled",
    "Method",
    "MethodBase",
    "Splits",
]

if not TYPE_CHECKING:  # the command line starts without numpy, which the contracts import

    def __getattr__(name: str) -> object:
        """Import a contract when it is first asked for."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from kpbench import api

        return getattr(api, name)

    def __dir__() -> list[str]:
        """Return what is here, loaded or not."""
        return sorted({*globals(), *__all__})
