"""Records in, markdown out: a pure function, byte-stable, so that a page can be checked in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kpbench.boards.board import Board, read_boards
from kpbench.boards.pages import disagreement, speed, strip, transfer, where
from kpbench.boards.pages.markdown import GENERATED, HEAD, MISSING, settings, spread, table
from kpbench.boards.pages.plots import Plot, digest_in, is_current, is_ours, write_plot
from kpbench.boards.pages.protocol import EXPLAIN, protocol_page, title
from kpbench.boards.pages.variants import in_a_table
from kpbench.boards.row import Row
from kpbench.contracts.types import Progress, no_progress
from kpbench.errors import InvalidInputError, KpbenchError, RecordError, StorageError
from kpbench.files.atomic import write_atomically
from kpbench.records.folders import Folders
from kpbench.records.published import (
    PAGE_HEAD,
    PublishedNumber,
    read_published,
    render_published,
)
from kpbench.records.record import Identity, all_records
from kpbench.speed.record import all_speed_records

_PUBLISHED = "published.md"
_FURTHER = {
    disagreement.NAME: "The same detections under every evaluator",
    transfer.NAME: "Trained on one data set, tested on another",
    speed.NAME: "Accuracy against speed",
    _PUBLISHED: "Numbers as the papers report them, never ranked with measured ones",
}


class Study(Protocol):
    """Pages of their own about some of the records, such as a paper's tables and figures."""

    @property
    def titles(self) -> Mapping[str, str]:
        """What the index calls its pages, by the names of their files."""
        ...

    def alone(self, runs: Iterable[Identity]) -> set[str]:
        """Return the digests of the runs that are shown on its pages and nowhere else."""
        ...

    def rendered(
        self, results: Folders, published: Sequence[PublishedNumber]
    ) -> tuple[dict[str, str], dict[str, Plot]]:
        """Return its pages and plots, by the names of their files.

        Raises:
            RecordError: a record or an artifact is corrupt.
        """
        ...


@dataclass(frozen=True)
class Rendered:
    """Everything that the records say, by the path of its file; and strips that are current."""

    pages: Mapping[Path, str]
    plots: Mapping[Path, Plot]
    strips: Collection[str]


def write_pages(folder: Path, studies: Sequence[Study] = (), results: Folders = ()) -> list[Path]:
    """Write every page and plot, remove those without records, and return the paths.

    A plot is drawn again only when its numbers changed.

    Args:
        folder: holds `speed/` and `published.csv`, if any; the pages go there.
        studies: whose pages are written, too.
        results: folders of the records; `results/` in the folder if none is named.

    Raises:
        InvalidInputError: a file of the same name is not ours; nothing is written.
        RecordError: a record, an artifact or the csv is corrupt; nothing is written.
        StorageError: the folder cannot be written.
    """
    found = rendered(folder, studies, results)
    check_replaceable(found.pages, found.plots)
    for path, text in found.pages.items():
        write_atomically(path, text.encode())
    for path, plot in found.plots.items():
        if not is_current(path, plot):
            write_plot(path, plot)
    for path in _orphans(folder, found):
        path.unlink()
    return [*found.pages, *found.plots]


def write_strips(
    folder: Path,
    studies: Sequence[Study] = (),
    progress: Progress = no_progress,
    results: Folders = (),
) -> Iterator[tuple[str, str]]:
    """Draw the strips of pictures that are not there or not current; images are made if need be.

    Yields:
        The title of each board whose strip cannot be drawn, and why.

    Raises:
        RecordError: a record or an artifact is corrupt.
        StorageError: the folder cannot be written.
    """
    results = results or folder / "results"
    for board in read_boards(results, _elsewhere(results, studies)):
        try:
            strip.write_strip(folder, results, board, progress)
        except (RecordError, StorageError):
            raise
        except KpbenchError as error:
            yield f"{board.protocol}: {title(board)}", str(error)


def stale_pages(folder: Path, studies: Sequence[Study] = (), results: Folders = ()) -> list[Path]:
    """Return the pages and plots that differ from the records, or have none any more.

    Raises:
        InvalidInputError: a file of the same name is not ours.
        RecordError: a record, an artifact or the csv is corrupt.
    """
    found = rendered(folder, studies, results)
    check_replaceable(found.pages, found.plots)
    stale = [
        path for path, text in found.pages.items() if not path.is_file() or _text(path) != text
    ]
    stale += [path for path, plot in found.plots.items() if not is_current(path, plot)]
    return stale + _orphans(folder, found)


def check_replaceable(pages: Iterable[Path], plots: Iterable[Path] = ()) -> None:
    """Check that no file in the place of a page or plot was written by anybody else.

    Raises:
        InvalidInputError: one was, or its line that says so was removed.
    """
    foreign = [path for path in pages if path.exists() and not _is_ours(path)]
    foreign += [path for path in plots if path.exists() and not is_ours(path)]
    if foreign:
        raise InvalidInputError(
            f"{foreign[0]} was not written by kpbench leaderboard and is left as it is; "
            "name another --output, or move it away"
        )


def _is_ours(path: Path) -> bool:
    text = _text(path) if path.is_file() else ""
    return f"\n{GENERATED}" in text or text.startswith(PAGE_HEAD)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _orphans(folder: Path, found: Rendered) -> list[Path]:
    others = (path for path in sorted(folder.glob("*.md")) if path not in found.pages)
    pages = [path for path in others if _is_ours(path)]
    plots = (path for path in sorted(folder.glob("*.png")) if path not in found.plots)
    drawn = [path for path in plots if digest_in(path) is not None or strip.is_strip(path)]
    return pages + [path for path in drawn if path.name not in found.strips]


def render(folder: Path, studies: Sequence[Study] = ()) -> dict[Path, str]:
    """Return the text of every page by its path."""
    return dict(rendered(folder, studies).pages)


def rendered(folder: Path, studies: Sequence[Study] = (), results: Folders = ()) -> Rendered:
    """Return every page and plot.

    These are an index, one page a protocol, `disagreement.md` of the runs whose predictions are
    kept, `transfer.md` of the runs between protocols, `speed.md` of what was measured for speed,
    those of the studies, and the numbers as papers report them.

    Raises:
        RecordError: a record, an artifact or the csv is corrupt.
    """
    own = folder / "results"
    results, published = results or own, folder / "published.csv"
    elsewhere = _elsewhere(results, studies)
    boards = read_boards(results, elsewhere)
    strips = {
        name for board in boards if strip.is_current(folder / (name := strip.name_of(board)), board)
    }
    speeds = list(all_speed_records(folder / "speed"))
    numbers = read_published(published) if published.is_file() else []
    single = {
        disagreement.NAME: disagreement.disagreement_page(results, elsewhere),
        transfer.NAME: transfer.transfer_page(results),
    }
    further = {name: text for name, text in single.items() if text is not None}
    further |= speed.pages(speeds, boards)
    plots = speed.plots(speeds, boards)
    titles = dict(_FURTHER)
    for study in studies:
        texts, drawn = study.rendered(results, numbers)
        further |= texts
        plots |= drawn
        titles |= study.titles
    if published.is_file():
        further[_PUBLISHED] = render_published(numbers)
    pages = {folder / "README.md": ""}
    pages |= {folder / name: text for name, text in further.items()}
    for protocol in sorted({board.protocol for board in boards}):
        here = [board for board in boards if board.protocol == protocol]
        pages[folder / f"{protocol}.md"] = protocol_page(protocol, here, strips)
    index = _index(boards, {name: titles[name] for name in further})
    pages[folder / "README.md"] = index
    if results != own:
        pages = {path: where.told_from(text, folder, results) for path, text in pages.items()}
    return Rendered(
        pages,
        {folder / name: plot for name, plot in plots.items()},
        strips,
    )


def _elsewhere(results: Folders, studies: Sequence[Study]) -> set[str]:
    """Return the digests of runs that are shown on the pages of studies alone."""
    runs = [record.identity for record in all_records(results)] if studies else []
    return {digest for study in studies for digest in study.alone(runs)}


def _index(boards: Sequence[Board], further: Mapping[str, str]) -> str:
    lines = ["# Leaderboards", "", HEAD, EXPLAIN]
    head = ["protocol", "recipe", "K", "device", "default evaluator", "first", "score", "seeds"]
    lines += table(head, [_index_cells(board) for board in boards if not in_a_table(board, boards)])
    lines += [f"- [{title}]({name})" for name, title in further.items()]
    return "\n".join([*lines, ""])


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
