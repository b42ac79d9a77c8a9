"""What a page says of images that kpbench does not make: where they are, and that none is shown."""

from __future__ import annotations

from kpbench.boards.board import Board
from kpbench.data.dataset import Dataset
from kpbench.data.protocol import RealProtocol
from kpbench.errors import KpbenchError
from kpbench.registry import load_protocol

PRIVATE = "pictures"
"""Folder beside the pages for pictures of such images; it belongs into `.gitignore`."""


def dataset_shown(board: Board) -> Dataset | None:
    """Return the data set of a board, None where kpbench makes the images or knows no protocol."""
    try:
        protocol = load_protocol(board.protocol)
    except KpbenchError:
        return None
    return protocol.dataset if isinstance(protocol, RealProtocol) else None


def lines(board: Board, strip: str) -> list[str]:
    """Return where the images of a board are; [] where kpbench makes them.

    Args:
        board: of any protocol.
        strip: the file of its strip of pictures, relative to the page.
    """
    dataset = dataset_shown(board)
    if dataset is None:
        return []
    about = f"Images: {dataset.title}; from {dataset.source}. Licence: {dataset.licence}."
    return [
        f"{about} `kpbench data info {dataset.name}` says how to get them.",
        f"None is shown here: `kpbench leaderboard --pictures` draws `{strip}` where they are.",
        "",
    ]
