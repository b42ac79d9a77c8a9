"""A strip of pictures for each board: kept keypoints of its ranked methods on test images.

Drawing needs the images and the predictions; whether a strip is current is told by a note in the
PNG and the records alone, so that pages are written and checked where there are neither.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kpbench.boards.board import Board
from kpbench.boards.pages import real_images
from kpbench.boards.pages.picture import encoded, tile
from kpbench.boards.pages.plots import note_in
from kpbench.boards.pages.real_images import PRIVATE, dataset_shown
from kpbench.contracts.types import Array, Keypoints, Progress, no_progress
from kpbench.data.packing.packed import evenly_spaced
from kpbench.diagnosis.disagreement import PREDICTIONS, kept_predictions
from kpbench.errors import InvalidInputError
from kpbench.files.atomic import write_atomically
from kpbench.records.folders import Folders
from kpbench.records.record import Record
from kpbench.registry import load_protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "kpbench-strip"
"""Name of the note in the PNG that says what it was drawn from."""
COLUMNS = 6
_EXPLAIN = f"""\
Keypoints, and the strong edges between them, of seed {{seed}} of the ranked methods whose
predictions were kept, on test images at equal spacing: of N images those of index i N / {COLUMNS},
rounded down, for i = 0 to {COLUMNS - 1}.
"""


@dataclass(frozen=True)
class Note:
    """What a strip was drawn from.

    Attributes:
        data: fingerprint of the images.
        columns: how many of them.
        runs: content hash of the predictions by the label of the row.
    """

    data: str
    columns: int
    runs: Mapping[str, str]


def name_of(board: Board) -> str:
    """Return the file of a board's strip; in `PRIVATE` if its images must not be passed on."""
    name = (
        f"{board.protocol}_v{board.version}_{board.recipe}_k{board.n_keypoints}_{board.device}.png"
    )
    return f"{PRIVATE}/{name}" if dataset_shown(board) is not None else name


def lines(board: Board, pictures: Collection[str]) -> list[str]:
    """Return the picture of a board and the rule by which its images are chosen, if it is there.

    The page is the same whether or not a private one is there.
    """
    name = name_of(board)
    if name.startswith(PRIVATE):
        return real_images.lines(board, name)
    if board.own_arguments or name not in pictures:
        return []
    text = _EXPLAIN.format(seed=board.seeds[0]).splitlines()
    return [f"![Keypoints of the ranked methods]({name})", "", *text, ""]


def is_current(path: Path, board: Board) -> bool:
    """Return whether a file was drawn from runs of the board as it is; it needs no image."""
    note = _note(path)
    if note is None or board.own_arguments:
        return False
    runs = {label: _content(record) for label, record in _shown(board).items()}
    same = (note.data, note.columns) == (board.data, COLUMNS)
    return same and bool(note.runs) and note.runs.items() <= runs.items()


def is_strip(path: Path) -> bool:
    """Return whether a file is a strip, of whatever board."""
    return _note(path) is not None


def write_strip(
    folder: Path, results: Folders, board: Board, progress: Progress = no_progress
) -> Path | None:
    """Draw the strip of a board unless it shows all runs whose predictions are kept.

    Args:
        folder: where it goes.
        results: folder of the records.
        board: whose ranked methods are shown.
        progress: told about images that have to be made.

    Returns:
        Its path, None where there is nothing to draw.

    Raises:
        InvalidInputError: the protocol has other images today.
        RecordError: predictions were altered.
        StorageError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    kept = {
        label: path
        for label, record in _shown(board).items()
        if (path := kept_predictions(results, record)) is not None
    }
    if not kept or board.own_arguments:
        return None
    path, runs = folder / name_of(board), {k: _content(_shown(board)[k]) for k in kept}
    before = _note(path)
    if is_current(path, board) and before is not None and runs.items() <= before.runs.items():
        return path
    figure = Figure(dpi=110, layout="constrained")
    _draw(figure, _images(board, progress), {label: _points(file) for label, file in kept.items()})
    note = Note(board.data, COLUMNS, runs)
    write_atomically(path, encoded(figure, KEY, json.dumps(asdict(note), sort_keys=True)))
    return path


def _shown(board: Board) -> dict[str, Record]:
    """Return the record of the first seed of each ranked row, if its predictions were kept once."""
    first = {row.label: row.under(board.evaluator)[0] for row in board.ranked(board.evaluator)}
    return {label: record for label, record in first.items() if PREDICTIONS in record.artifacts}


def _content(record: Record) -> str:
    return record.artifacts[PREDICTIONS].sha256


def _note(path: Path) -> Note | None:
    text = note_in(path, KEY)
    try:
        return None if text is None else Note(**json.loads(text))
    except (TypeError, ValueError):
        return None


def _images(board: Board, progress: Progress) -> Array:
    protocol, recipe = load_protocol(board.protocol), board.rows[0].records[0].identity.recipe
    if protocol.version != board.version or protocol.fingerprint(recipe) != board.data:
        raise InvalidInputError(
            f"{board.protocol} has other images now than the records of v{board.version}, {recipe} "
            "recipe, so no picture of them can be drawn; run the methods again"
        )
    return protocol.splits(recipe, progress=progress).test.images.images


def _points(predictions: Path) -> Keypoints:
    with np.load(predictions) as arrays:
        return Keypoints(arrays["test_keypoints"], graph=arrays.get("graph"))


def _draw(figure: Figure, images: Array, by_label: Mapping[str, Keypoints]) -> None:
    chosen = evenly_spaced(len(images), COLUMNS)
    figure.set_size_inches(1.1 * len(chosen) + 0.3, 1.1 * len(by_label) + 1.3)
    grid = figure.subplots(1 + len(by_label), len(chosen), squeeze=False)
    for at, column in zip(chosen, grid.T, strict=True):
        tile(column[0], images[at], None)
        column[0].set_title(f"test image {at}", fontsize=7)
        for axes, found in zip(column[1:], by_label.values(), strict=True):
            tile(axes, images[at], Keypoints(found.points[at : at + 1], graph=found.graph))
    for axes, name in zip(grid[:, 0], ["image", *by_label], strict=True):
        axes.set_ylabel(name, fontsize=7)
