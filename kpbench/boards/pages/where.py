"""What pages say of the folders of records, where these are not `results/` beside the pages."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kpbench.records.folders import Folders, as_tuple, holder

_LINK = re.compile(r"\]\(results/([^)]+)\)")
_NAMED = re.compile(r"(the records in |for scores )`results/`")


def told_from(text: str, page_folder: Path, results: Folders) -> str:
    """Return the text of a page with the folders of its records and links to where these lie.

    Args:
        text: as it is with `results/` beside the page.
        page_folder: where the page goes.
        results: folders of the records.
    """
    names = ", ".join(f"`{_relative(folder, page_folder)}/`" for folder in as_tuple(results))

    def link(found: re.Match[str]) -> str:
        return f"](<{_relative(holder(results, Path(found[1])) / found[1], page_folder)}>)"

    return _LINK.sub(link, _NAMED.sub(lambda found: found[1] + names, text))


def _relative(path: Path, start: Path) -> str:
    """Return a path as seen from a folder, its name alone where that is on another drive."""
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:
        return path.name
