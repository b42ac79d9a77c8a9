"""Plugin packages that are really discovered: a folder on the path with metadata and modules."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

# Threads that wait must not keep a core from whatever else runs beside the tests.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are taken by the other workers
    os.environ.setdefault("OMP_NUM_THREADS", "1")

Install = Callable[..., str]
_NUMBER = itertools.count()

TOY_PROTOCOL = '''
"""A bright disc with four landmarks around it."""
from dataclasses import replace

from kpbench.api import Splits, no_progress
from kpbench.scoring.evaluators import EvaluatorSpec
from kpbench.testing import toy_labelled


class ToyDiscs:
    name = "toy_discs"
    version = 1
    description = "a bright disc before noise"
    paper = "none"
    role = "human36m"
    n_keypoints = 4
    landmarks = ("top", "right", "bottom", "left")
    evaluator = "toy_discs/strict"
    evaluators = (
        EvaluatorSpec(
            name="toy_discs/strict", paper="none", formula="mean L2", metric="normalised L2",
            unit="%", scale=100.0, bias=True,
        ),
    )
    default = False
    signals = ("depth", "mask")

    def sizes(self, recipe):
        return {"discovery": 40, "regression": 40, "test": 20, "pixels": 32}

    def fingerprint(self, recipe):
        return f"discs-{recipe}"

    def splits(self, recipe, *, device="cpu", signals=(), progress=no_progress):
        train, test = self._seen(toy_labelled(40, seed=1)), self._seen(toy_labelled(20, seed=2))
        return Splits(train.images, train, test)

    def _seen(self, labelled):
        return replace(labelled, images=labelled.images.restricted(self.signals))


PLUGIN = ToyDiscs()
'''

BRIGHT = '''
"""The centre of brightness, K times, jittered by nothing."""
from dataclasses import dataclass, field

import numpy as np

from kpbench import Keypoints, MethodBase


@dataclass
class Method(MethodBase):
    name = "{name}"
    gain: float = 4.0
    _k: int = field(default=0, init=False)

    def fit(self, images, *, n_keypoints, seed, context):
        self._k = n_keypoints
        {fit}

    def predict(self, images):
        light = (images.images.mean(-1) / 255) ** self.gain
        light = light / light.sum((1, 2), keepdims=True)
        x = (np.arange(light.shape[2]) + 0.5) / light.shape[2]
        y = (np.arange(light.shape[1]) + 0.5) / light.shape[1]
        centre = np.stack([light.sum(1) @ x, light.sum(2) @ y], -1)
        points = np.repeat(centre[:, None], self._k, 1)
        {predict}
        return Keypoints(points)

    def state(self):
        return {{"k": np.array(self._k)}}

    def restore(self, state):
        self._k = int(state["k"])


PLUGIN = Method()
'''


def bright(name: str, *, fit: str = "pass", predict: str = "pass") -> str:
    """Return the source of a working method, with one statement slipped into fit or predict."""
    return BRIGHT.format(name=name, fit=fit, predict=predict)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep rendered data of the tests apart from the user's; it is rendered once a session."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KPBENCH_CACHE", str(folder))
        patch.setenv("KPBENCH_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield folder


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of plugin modules for this test and return its import name.

    Modules are named as files: `__init__` is the package's own, `cats/reader` one in a folder.
    """

    def add(kind: str, modules: Mapping[str, str], parent: str = "") -> str:
        package = f"kpbench_test_{kind}_{next(_NUMBER)}"
        site = tmp_path / f"site-{package}"
        folder = site / parent / package
        for name, source in {"__init__": "", **modules}.items():
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        name = f"{parent}.{package}" if parent else package
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[kpbench.{kind}]\n{package} = {name}\n")
        monkeypatch.syspath_prepend(str(site))
        return name

    return add


@pytest.fixture
def toy_discs(install: Install) -> str:
    """Install the toy protocol and return its name."""
    install("protocols", {"toy_discs": TOY_PROTOCOL})
    return "toy_discs"
