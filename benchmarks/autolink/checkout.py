"""The public AutoLink code, imported from a checkout without the packages that it lists."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torchvision
from torch import nn

from kpbench.errors import InvalidInputError, MissingDataError
from kpbench.nn.perceptual import vgg16_file

REPOSITORY = (
    "https://github.com/xingzhehe/"
    "AutoLink-Self-supervised-Learning-of-Human-Skeletons-and-Object-Outlines-by-Linking-Keypoints"
)
COMMIT = "3fbde11"
"""What this comparison was written for: the repository's state since November 2023."""
FILES = (
    "models/model.py",
    "models/encoder.py",
    "models/decoder.py",
    "utils_/loss.py",
    "utils_/visualization.py",
    "datasets/base_dataset.py",
    "datasets/h36m.py",
)
STUBBED = ("pytorch_lightning", "seaborn", "wandb")
"""Imported by these files and replaced while they are: trainer, plots and logging do not run."""
_ROOMS = ("models", "datasets", "utils_")


@dataclass(frozen=True)
class Checkout:
    """A folder that holds the AutoLink code.

    Attributes:
        root: the folder.
        commit: as git tells it; None for an unpacked archive.
        digest: of the files that are run, so that an archive can be recognised too.
    """

    root: Path
    commit: str | None
    digest: str


def find_checkout(root: Path) -> Checkout:
    """Return the checkout in a folder.

    Raises:
        MissingDataError: there is no such folder; holds the command that gets it.
        InvalidInputError: the folder holds something else; names what it lacks.
    """
    if not root.is_dir():
        raise MissingDataError(
            f"there is no folder {root}; AutoLink's code is not part of kpbench, get it with: "
            f"git clone {REPOSITORY} {root}"
        )
    lacking = [name for name in FILES if not (root / name).is_file()]
    if lacking:
        raise InvalidInputError(
            f"{root} is no checkout of AutoLink: it has no {', '.join(lacking)}; get one with: "
            f"git clone {REPOSITORY}"
        )
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((root / name).read_bytes())
    return Checkout(root, _commit(root), digest.hexdigest()[:12])


def _commit(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()
    return None


class Hyperparameters(dict[str, Any]):
    """A mapping whose entries are attributes too."""

    __getattr__ = dict.__getitem__


class _LightningModule(nn.Module):
    """What AutoLink's model uses of Lightning's, without a trainer."""

    hparams: Any = None  # an annotation of the official decoder reads it from the class

    def __init__(self) -> None:
        super().__init__()
        self.logged: dict[str, Any] = {}

    def save_hyperparameters(self) -> None:
        # as Lightning does: the arguments of the caller, which is `Model.__init__(self, **kwargs)`
        self.hparams = Hyperparameters(sys._getframe(1).f_locals["kwargs"])

    def log(self, name: str, value: Any) -> None:
        self.logged[name] = value

    def print(self, *_: Any) -> None:
        pass


def _replaced(root: Path) -> dict[str, ModuleType]:
    """Return the packages that are not there, and the checkout's own three, which are folders.

    As modules of their own these need no place on the path, where installed packages of the same
    names would win, and where files such as `test.py` would hide others.
    """
    modules = {name: ModuleType(name) for name in (*STUBBED, *_ROOMS)}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None, is_package=name in _ROOMS)
        if name in _ROOMS:
            module.__path__ = [str(root.resolve() / name)]
    lightning: Any = modules["pytorch_lightning"]
    lightning.LightningModule = _LightningModule
    lightning.LightningDataModule = object
    lightning.utilities = SimpleNamespace(parsing=SimpleNamespace(AttributeDict=Hyperparameters))
    return modules


@dataclass(frozen=True)
class Official:
    """The official code, imported. Good inside of `imported` alone."""

    checkout: Checkout
    _model: Any
    _data: Any

    def model(self, *, n_keypoints: int, thickness: float, batch_size: int) -> Any:
        """Return the official model with random weights, by its command line's arguments.

        Its perceptual loss loads VGG16 from the file that kpbench reads, not from the network.

        Raises:
            InvalidInputError: it cannot be built.
        """
        vgg16 = partial(_vgg16, vgg16_file(), torchvision.models.vgg16)
        # the official loss also moves PyTorch's hub to the current folder, for the whole process
        with patch.object(torchvision.models, "vgg16", vgg16), patch.dict(os.environ):
            return _called(
                self.checkout,
                self._model,
                encoder="encoder",
                decoder="decoder",
                dataset="h36m",
                n_parts=n_keypoints,
                missing=0.8,
                block=16,
                thick=thickness,
                sklr=512,
                image_size=128,
                lr=1e-4,
                batch_size=batch_size,
            )

    def data(self, root: Path, *, batch_size: int, workers: int) -> Any:
        """Return the official data module on a Human3.6M folder, at 128 pixels.

        Raises:
            InvalidInputError: it cannot be built.
        """
        return _called(self.checkout, self._data, "h36m", str(root), 128, batch_size, workers)


@contextmanager
def imported(checkout: Checkout) -> Iterator[Official]:
    """Import the official code; its modules are called `models`, `datasets` and `utils_`.

    Raises:
        InvalidInputError: it cannot be imported, or lacks what is measured.
    """
    # not `patch.dict`, which would also forget whatever else is imported meanwhile
    before = _taken_out()
    sys.modules.update(_replaced(checkout.root))
    try:
        try:
            model = importlib.import_module("models.model").Model
            data = importlib.import_module("datasets.base_dataset").DataModule
        except Exception as error:
            raise _unusable(checkout, error) from error
        yield Official(checkout, model, data)
    finally:
        _taken_out()
        sys.modules.update(before)


def _taken_out() -> dict[str, ModuleType]:
    """Remove the modules whose names are needed, and return them."""
    names = [n for n in sys.modules if n.partition(".")[0] in (*STUBBED, *_ROOMS)]
    return {name: sys.modules.pop(name) for name in names}


def _called(checkout: Checkout, made: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return made(*args, **kwargs)
    except Exception as error:
        raise _unusable(checkout, error) from error


def _unusable(checkout: Checkout, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f"the code in {checkout.root} cannot be used ({type(error).__name__}: {error}); this "
        f"comparison was written for commit {COMMIT} of {REPOSITORY}"
    )


def _vgg16(file: Path, torchvision_vgg16: Callable[[], nn.Module], weights: str) -> nn.Module:
    """Stand in for torchvision's function, which may download the weights."""
    del weights
    with torch.device("meta"):
        net = torchvision_vgg16()
    kept = torch.load(file, map_location="cpu", weights_only=True)
    net.load_state_dict(kept, strict=True, assign=True)
    return net
