"""A small data set on disk and its source, for tests of what all real data sets share."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpbench.api import Array
from kpbench.data.dataset import Dataset
from kpbench.data.protocol import RealProtocol
from kpbench.data.source import Rows, Source
from kpbench.errors import DataError
from kpbench.scoring.named import evaluators_of

LANDMARKS = ("head", "hip", "foot")
WIDTH, HEIGHT = 40, 30
EVALUATORS = evaluators_of("human36m", ("aspect",))


def write(root: Path, *, n_train: int = 8, n_test: int = 4, seed: int = 0) -> None:
    """Write n_train + n_test png images with masks and a table of annotation; 3 landmarks each."""
    from PIL import Image

    draw = np.random.default_rng(seed)
    table: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for part, n in (("train", n_train), ("test", n_test)):
        (root / part).mkdir(parents=True)
        for i in range(n):
            name = f"{part}/{i:05d}"
            pixels = draw.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(root / f"{name}.png")
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[5:25, 10:30] = 255
            Image.fromarray(mask).save(root / f"{name}.mask.png")
            x = draw.uniform(15, 25, 3)
            points = np.stack([x, [6, 15, 24]], -1).round(2).tolist()
            (root / f"{name}.json").write_text(json.dumps(points))
            table[part].append(
                {
                    "file": f"{name}.png",
                    "points": points,
                    "who": f"{part}-{i // 2}",
                    "what": ["sit", "walk"][i % 2],
                    "box": [10, 5, 30, 25],
                }
            )
    (root / "table.json").write_text(json.dumps(table))


@dataclass(frozen=True)
class Toy(Source):
    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "background": ("kept", "black"),
        "annotation": ("table", "files"),
    }
    upright: ClassVar[Sequence[tuple[int, int]]] = ((0, 1), (1, 2))

    background: str = "kept"
    annotation: str = "table"

    @property
    def parts(self) -> Mapping[str, str]:
        return {"discovery": "train", "regression": "train", "test": "test"}

    def rows(self, root: Path, part: str) -> Rows:
        try:
            found = json.loads((root / "table.json").read_text())[part]
        except (OSError, ValueError) as error:
            raise DataError(f"{root / 'table.json'}: {error}") from error
        files = np.array([row["file"] for row in found], np.str_)
        landmarks = visible = labels = None
        if self.annotation == "files":
            labels = np.array([name.replace(".png", ".json") for name in files], np.str_)
        elif found:
            points = [[p or (np.nan, np.nan) for p in row["points"]] for row in found]
            landmarks = np.array(points, np.float64)
            visible = np.array([[p is not None for p in row["points"]] for row in found])
        return Rows(
            files,
            landmarks,
            visible,
            groups=np.array([row["who"] for row in found], np.str_),
            activities=np.array([row["what"] for row in found], np.str_),
            masks=np.array([name.replace(".png", ".mask.png") for name in files], np.str_),
            labels=labels,
            boxes=np.array([row["box"] for row in found], np.float64),
        )

    def labels(self, root: Path, rows: Rows, i: int, size: tuple[int, int]) -> tuple[Array, Array]:
        if rows.labels is None:
            return super().labels(root, rows, i, size)
        try:
            points = np.array(json.loads((root / str(rows.labels[i])).read_text()), np.float64)
        except (OSError, ValueError) as error:
            raise DataError(f"{rows.labels[i]}: {error}") from error
        return points, np.ones(len(points), bool)

    def finish(self, image: Array, mask: Array | None) -> Array:
        if self.background == "kept" or mask is None:
            return image
        return np.where(mask[..., None], image, 0).astype(np.uint8)


def protocol(n_train: int = 8, n_test: int = 4, **changed: Any) -> RealProtocol:
    """Return a protocol on the toy data set."""
    about: dict[str, Any] = {
        "name": "toy",
        "description": "noise",
        "paper": "none",
        "role": "human36m",
        "n_keypoints": 3,
        "landmarks": LANDMARKS,
        "evaluator": "human36m/strict",
        "dataset": Dataset("toy", "Toy", "noise", "none", "here", evaluators=EVALUATORS),
        "source": Toy(),
        "published": {"discovery": n_train, "regression": n_train, "test": n_test},
        "pixels": 16,
    }
    return RealProtocol(**{**about, **changed})


def let_processes_know(module: str) -> None:
    """Send what a module of the tests defines to processes as it is: they cannot import it."""
    for place in ("cloudpickle", "joblib.externals.cloudpickle"):
        if find_spec(place):
            importlib.import_module(place).register_pickle_by_value(sys.modules[module])


let_processes_know(__name__)
