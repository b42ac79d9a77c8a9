"""Plots beside the pages: PNGs that carry a hash of the numbers they show.

Whether a plot is current is decided by that hash: pixels differ between versions of matplotlib.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpbench.errors import InvalidInputError
from kpbench.files.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "kpbench-data"
LARGEST = 150_000
"""Bytes that a plot may take: pages and plots are committed."""
_RESOLUTIONS = (140, 100, 70)


@dataclass(frozen=True)
class Plot:
    """What a plot shows and how it is drawn.

    Attributes:
        data: JSON; everything that the drawing depends on, names and captions included.
        draw: draws it on an empty figure.
    """

    data: Any
    draw: Callable[[Figure], None]

    def digest(self) -> str:
        """Return the SHA-256 of the data as canonical JSON."""
        text = json.dumps(self.data, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def write_plot(path: Path, plot: Plot) -> None:
    """Draw a plot as a PNG with the hash of its data, atomically.

    Raises:
        InvalidInputError: it takes more than 150 KB at any resolution that can be read.
        StorageError: the folder cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    plot.draw(figure)
    for dpi in _RESOLUTIONS:
        written = io.BytesIO()
        figure.savefig(
            written, format="png", dpi=dpi, metadata={KEY: plot.digest(), "Software": None}
        )
        if len(written.getvalue()) <= LARGEST:
            write_atomically(path, written.getvalue())
            return
    raise InvalidInputError(
        f"{path.name} takes {len(written.getvalue())} bytes, more than {LARGEST}: draw less in it"
    )


def is_current(path: Path, plot: Plot) -> bool:
    """Return whether the file is a whole PNG that was drawn from this data."""
    return digest_in(path) == plot.digest()


def digest_in(path: Path) -> str | None:
    """Return the hash in a plot that `write_plot` wrote; None for any other file, or none."""
    return note_in(path, KEY)


def is_ours(path: Path) -> bool:
    """Return whether `write_plot` wrote a file, be it damaged since."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return KEY in image.info
    except (OSError, SyntaxError, ValueError):
        return False


def note_in(path: Path, key: str) -> str | None:
    """Return a note in a PNG; None for a file that has none, is broken, or is not there."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            found = image.info.get(key)
    except (OSError, SyntaxError, ValueError):
        return None
    return found if isinstance(found, str) else None
