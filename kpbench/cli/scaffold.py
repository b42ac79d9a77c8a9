"""`kpbench new method NAME`: a plugin package that works before its first line is changed."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from kpbench.errors import InvalidInputError
from kpbench.files.atomic import write_atomically
from kpbench.registry import available

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "kpbench-{dashed}"
version = "0.1.0"
description = "The keypoint method {name} for kpbench"
requires-python = ">=3.11"
dependencies = ["kpbench"]

[project.optional-dependencies]
dev = ["pytest"]

# kpbench finds every public module of the package that is named here.
[project.entry-points."kpbench.methods"]
{name} = "kpbench_{name}"

[tool.setuptools]
packages = ["kpbench_{name}"]
"""

METHOD = '''\
"""Bright spots: the brightness-weighted centre of each of K horizontal bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kpbench import FitContext, ImageSet, Keypoints, Method, MethodBase


@dataclass
class {title}(MethodBase):
    """Replace this by your method; the fields are its parameters and part of its identity."""

    name = "{name}"
    version = 1  # raise it whenever the same parameters give other keypoints
    paper = "Your paper, 2026"

    sharpness: float = 4.0
    _k: int = field(default=0, init=False)

    def fit(self, images: ImageSet, *, n_keypoints: int, seed: int, context: FitContext) -> None:
        """Learn from images.images: (N, H, W, 3) uint8. This one only remembers K."""
        self._k = n_keypoints

    def predict(self, images: ImageSet) -> Keypoints:
        """Return (N, K, 2) points, (x, y) in [0, 1] of the image."""
        light = (images.images.mean(-1) / 255) ** self.sharpness + 1e-6
        x = (np.arange(light.shape[2]) + 0.5) / light.shape[2]
        y = (np.arange(light.shape[1]) + 0.5) / light.shape[1]
        points = []
        for rows in np.array_split(np.arange(light.shape[1]), self._k):
            band = light[:, rows] / light[:, rows].sum((1, 2), keepdims=True)
            points.append(np.stack([band.sum(1) @ x, band.sum(2) @ y[rows]], -1))
        return Keypoints(np.stack(points, 1))

    def state(self) -> dict[str, np.ndarray]:
        """Return what fit learnt."""
        return {{"k": np.array(self._k)}}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take it back."""
        self._k = int(state["k"])


PLUGIN: Method = {title}()
'''

TRAINED = '''\
"""Points that move with the image: equivariant under warps, and apart from each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kpbench import Batch, ColourRange, Method, TorchMethod
from kpbench.nn import soft_argmax


@dataclass
class {title}(TorchMethod):
    """Replace this by your method; the fields are its parameters and part of its identity."""

    name = "{name}"
    version = 1  # raise it whenever the same parameters give other keypoints
    paper = "Your paper, 2026"
    recipes = {{  # what differs from the fields below, which are the paper's values
        "quick": {{"image_size": 32, "batch_size": 16, "steps": 500}},
        "smoke": {{"image_size": 32, "batch_size": 4, "steps": 3}},
    }}

    width: int = 32
    apart: float = 0.2

    def network(self, n_keypoints: int) -> nn.Module:
        """Return the untrained network: one map a keypoint."""
        layers: list[nn.Module] = []
        for inputs, stride in ((3, 2), (self.width, 2), (self.width, 1), (self.width, 1)):
            layers += [nn.Conv2d(inputs, self.width, 3, stride, 1), nn.BatchNorm2d(self.width)]
            layers += [nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(self.width, n_keypoints, 1))

    def keypoints(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return (B, K, 2) points, (x, y) in [0, 1], of images (B, 3, S, S) in [-1, 1]."""
        return soft_argmax(network(images))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return how far points are from where the image moved them, and how crowded they are."""
        points = self.keypoints(network, batch.images)
        copy = batch.warped(colours=ColourRange())
        again = self.keypoints(network, copy.images)
        stray = (again - copy.warp.target(points)).square().sum(-1).mean()
        gaps = torch.cdist(points, points) + torch.eye(points.shape[1], device=points.device)
        return stray + (self.apart - gaps).relu().square().mean()


PLUGIN: Method = {title}()
'''

TEST = '''\
"""The contract of kpbench holds."""

from kpbench.registry import load_method
from kpbench.testing import check_method


def test_contract() -> None:
    check_method(load_method("{name}"))
'''

README = """\
# {name}

A method for [kpbench](https://pypi.org/project/kpbench/).

    pip install -e '.[dev]' && pytest          # the contract holds
    kpbench evaluate --method {name}           # the number
"""


LONGEST = 100


def new_method_package(name: str, folder: Path | None = None, *, trained: bool = False) -> Path:
    """Write the package and return its folder.

    Args:
        name: of the method.
        folder: of the package; ./kpbench-NAME by default.
        trained: whether the method trains a network.

    Raises:
        InvalidInputError: the name is no module name or taken, or the folder is not empty.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InvalidInputError(
            f"{name!r} cannot be a method's name: use lower-case letters (a to z), digits and "
            "underscores"
        )
    if len(name) > LONGEST:
        raise InvalidInputError(
            f"{name[:20]}… is too long: it has {len(name)} letters; at most {LONGEST} make names "
            "of files, packages and records"
        )
    if name.startswith("_") or name in available("methods"):
        why = "is private" if name.startswith("_") else "is the name of an installed method"
        raise InvalidInputError(f"{name!r} {why}; choose another")
    dashed = name.replace("_", "-")
    target = folder if folder is not None else Path(f"kpbench-{dashed}")
    if target.exists() and any(target.iterdir()):
        raise InvalidInputError(f"{target} is not empty; choose another --folder")
    words = {"name": name, "dashed": dashed, "title": name.title().replace("_", "")}
    files = {
        "pyproject.toml": PYPROJECT,
        "README.md": README,
        f"kpbench_{name}/__init__.py": '"""One public module is one kpbench method."""\n',
        f"kpbench_{name}/{name}.py": TRAINED if trained else METHOD,
        f"tests/test_{name}.py": TEST,
    }
    for path, template in files.items():
        text = template.format(**words) if "{" in template else template
        write_atomically(target / path, text.encode())
    return target
