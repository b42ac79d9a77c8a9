"""The picture of the README: what shipped detectors find on test images of the rendered people."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kpbench.api import Array, ExportableMethod, ImageSet, Keypoints, Method, Progress, no_progress
from kpbench.boards.pages.plots import note_in
from kpbench.data.packing.packed import evenly_spaced
from kpbench.diagnosis.overlay import strong_edges
from kpbench.files.atomic import write_atomically
from kpbench.records.model import load_model
from kpbench.records.shipped import Shipped, find_shipped
from kpbench.registry import load_protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = ("autolink", "depth_teacher", "distill_dkp")
PROTOCOLS = ("people_background", "people_plain", "people_fashion", "people_taichi")
KEY = "kpbench-weights"
"""Name of the note in the PNG that says what it was drawn from."""
COLUMNS = 2
"""Images a protocol, evenly spaced over its test images."""


def write_picture(path: Path, progress: Progress = no_progress) -> None:
    """Draw the picture as a PNG of 256 colours; renders the images if they are not there.

    Raises:
        MissingWeightsError: weights are not shipped; lists those that are.
        StorageError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    weights = _weights()
    figure = Figure(dpi=120, layout="constrained")
    _draw(figure, weights, progress)
    write_atomically(path, encoded(figure, KEY, _digest(weights)))


def is_current(path: Path) -> bool:
    """Return whether the file was drawn from the weights that are shipped and the images of today.

    Raises:
        MissingWeightsError: weights are not shipped; lists those that are.
    """
    return note_in(path, KEY) == _digest(_weights())


def encoded(figure: Figure, key: str, note: str) -> bytes:
    """Return a figure as a PNG of 256 colours with a note of what it was drawn from."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, drawn, written = PngInfo(), io.BytesIO(), io.BytesIO()
    info.add_text(key, note)
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        # an octree keeps the colours of the few pixels of keypoints, by which these are told apart
        coloured = image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
    coloured.save(written, "PNG", optimize=True, pnginfo=info)
    return written.getvalue()


def _weights() -> dict[str, dict[str, Shipped]]:
    """Return the shipped weights by protocol, then by method."""
    return {p: {m: find_shipped(m, p) for m in METHODS} for p in PROTOCOLS}


def _digest(weights: Mapping[str, Mapping[str, Shipped]]) -> str:
    """Return a hash of what is drawn: hashes of weights and images. It needs no rendering."""
    contents = {
        protocol: [
            load_protocol(protocol).fingerprint("quick"),
            COLUMNS,
            *(f"{name} {shipped.content}" for name, shipped in by_method.items()),
        ]
        for protocol, by_method in weights.items()
    }
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _draw(figure: Figure, weights: Mapping[str, Mapping[str, Shipped]], progress: Progress) -> None:
    rows = ["image", *METHODS]
    figure.set_size_inches(COLUMNS * len(weights) + 0.3, len(rows) + 0.3)
    grid = figure.subplots(len(rows), COLUMNS * len(weights), squeeze=False)
    for at, (protocol, by_method) in enumerate(weights.items()):
        methods = [load_model(shipped.folder) for shipped in by_method.values()]
        columns = grid[:, at * COLUMNS : (at + 1) * COLUMNS]
        columns[0, 0].set_title(protocol, fontsize=8, loc="left")
        images = _test_images(protocol, methods, progress)
        for axes, tiles in zip(columns, _rows(images, methods), strict=True):
            for place, (shown, found) in zip(axes, tiles, strict=True):
                tile(place, shown, found)
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(name, fontsize=8)


def _test_images(protocol: str, methods: Sequence[Method], progress: Progress) -> ImageSet:
    signals = tuple(dict.fromkeys(signal for method in methods for signal in method.inputs))
    test = load_protocol(protocol).splits("quick", signals=signals, progress=progress).test
    return test.images[evenly_spaced(len(test), COLUMNS + 2)[1:-1]]


_Tile = tuple[Array, Keypoints | None]


def _rows(images: ImageSet, methods: Sequence[Method]) -> Iterator[list[_Tile]]:
    """Yield the images, then what each method looks at with what it finds there."""
    yield [(image, None) for image in images.images]
    for method in methods:
        seen = images.restricted(method.inputs)
        found = method.predict(seen)
        pixels = method.pixels(seen) if isinstance(method, ExportableMethod) else seen.images
        yield [
            (shown, Keypoints(found.points[i : i + 1], graph=found.graph))
            for i, shown in enumerate(pixels)
        ]


def tile(axes: Axes, image: Array, found: Keypoints | None) -> None:
    """Draw an image with keypoints and strong edges on it; axes are [0, 1] of the image."""
    axes.imshow(image, extent=(0, 1, 1, 0), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    if found is None:
        return
    points = np.asarray(found.points[0])
    for a, b in strong_edges(found):
        axes.plot(*points[[a, b]].T, color="white", linewidth=0.8)
    x, y = points.T
    axes.scatter(
        x, y, c=np.arange(len(points)), cmap="hsv", s=9, edgecolors="black", linewidths=0.4
    )
