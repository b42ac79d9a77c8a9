"""Records in, markdown out: a pure function, byte-stable, so that a page can be checked in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kpbench.board import Board, Row, read_boards
from kpbench.pages import disagreement, transfer
from kpbench.pages.markdown import HEAD, MISSING, settings, spread, table
from kpbench.pages.protocol import EXPLAIN, protocol_page
from kpbench.pages.variants import in_a_table
from kpbench.published import read_published, render_published
from kpbench.storage import write_atomically

_FURTHER = {
    disagreement.NAME: "The same detections under every evaluator",
    transfer.NAME: "Trained on one data set, tested on another",
}


def write_pages(folder: Path) -> list[Path]:
    """Write every page, remove those without records, and return the paths.

    Args:
        folder: holds `results/` and `published.csv`; the pages go there.

    Raises:
        RecordError: a record, an artifact or the csv is corrupt; nothing is written.
        StorageError: the folder cannot be written.
    """
    pages = render(folder)
    for path, text in pages.items():
        write_atomically(path, text.encode())
    for path in _orphans(folder, pages):
        path.unlink()
    return list(pages)


def stale_pages(folder: Path) -> list[Path]:
    """Return the pages that differ from what the records say, or have no records any more."""
    pages = render(folder)
    stale = [
        path
        for path, text in pages.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    return stale + _orphans(folder, pages)


def _orphans(folder: Path, pages: Mapping[Path, str]) -> list[Path]:
    return [
        path
        for path in sorted(folder.glob("*.md"))
        if path not in pages and HEAD.strip() in path.read_text(encoding="utf-8")
    ]


def render(folder: Path) -> dict[Path, str]:
    """Return the text of every page by its path.

    These are an index, one page a protocol, `disagreement.md` of the runs whose predictions are
    kept, `transfer.md` of the runs between protocols, and the numbers as papers report them.
    """
    results = folder / "results"
    boards = read_boards(results)
    further = {
        disagreement.NAME: disagreement.disagreement_page(results),
        transfer.NAME: transfer.transfer_page(results),
    }
    pages = {folder / name: text for name, text in further.items() if text is not None}
    for protocol in sorted({board.protocol for board in boards}):
        here = [board for board in boards if board.protocol == protocol]
        pages[folder / f"{protocol}.md"] = protocol_page(protocol, here)
    published = folder / "published.csv"
    if published.is_file():
        pages[folder / "published.md"] = render_published(read_published(published))
    index = _index(boards, [name for name in further if folder / name in pages])
    return {folder / "README.md": index, **pages}


def _index(boards: Sequence[Board], further: Sequence[str]) -> str:
    lines = ["# Leaderboards", "", HEAD, EXPLAIN]
    head = ["protocol", "recipe", "K", "device", "default evaluator", "first", "score", "seeds"]
    lines += table(head, [_index_cells(board) for board in boards if not in_a_table(board, boards)])
    lines += [f"- [{_FURTHER[name]}]({name})" for name in further]
    lines += [
        "- [Numbers as the papers report them](published.md), never ranked with measured ones",
        "",
    ]
    return "\n".join(lines)


def _index_cells(board: Board) -> list[str]:
    ranks = board.ranks(board.evaluator)
    first: list[Row] = [row for row in board.rows if ranks.get(row.label) == 1]
    return [
        f"[{board.protocol}]({board.protocol}.md) v{board.version}{settings(board.own_arguments)}",
        board.recipe,
        str(board.n_keypoints),
        board.device,
        f"`{board.evaluator}`",
        ", ".join(row.label for row in first) or MISSING,
        "; ".join(spread(row.values(board.evaluator)) for row in first) or MISSING,
        str(len(board.seeds)),
    ]
