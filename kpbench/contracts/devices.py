"""Which device is meant by a name, and what it computes in."""

from __future__ import annotations

from kpbench.contracts.types import PRECISIONS, Device
from kpbench.errors import InvalidInputError, UnknownNameError


def find_device(name: str) -> Device:
    """Return "cpu" or "cuda"; "auto" takes a GPU where one works.

    Raises:
        UnknownNameError: there is no such kind of device.
        InvalidInputError: no CUDA device works here.
    """
    if name == "cpu":
        return "cpu"
    if name not in ("auto", "cuda"):
        raise UnknownNameError.of("device", name, ("auto", "cpu", "cuda"))
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise InvalidInputError("no CUDA device works here; use --device cpu")
    return "cpu"


def check_precision(device: Device, name: str) -> None:
    """Check that a device computes in a precision.

    Raises:
        UnknownNameError: there is no such precision.
        InvalidInputError: the device cannot.
    """
    if name not in PRECISIONS:
        raise UnknownNameError.of("precision", name, PRECISIONS)
    if find_device(device) == "cpu" and name == "16-mixed":
        raise InvalidInputError("precision 16-mixed needs --device cuda; use bf16-mixed or 32-true")
