"""In which parameters the rows of a board differ from what was published for the board's role."""

from __future__ import annotations

from typing import Any

from kpbench.boards.board import Board
from kpbench.boards.pages.markdown import folded
from kpbench.errors import KpbenchError
from kpbench.records.record import Identity
from kpbench.registry import configured_method, load_protocol


def settings_section(board: Board) -> list[str]:
    """Return a line for each row with other parameters than published; nothing without one.

    References were not published, and what a missing plugin published is not known.
    """
    lines = []
    for row in board.rows:
        try:
            changed = changed_settings(row.records[0].identity)
        except KpbenchError:
            continue
        if changed:
            lines.append(f"- {row.label}: {'; '.join(changed)}")
    if not lines:
        return []
    title = "Settings that differ from the published ones, which stand in brackets"
    return folded(title, [*lines, ""])


def changed_settings(who: Identity) -> list[str]:
    """Return "name value (published value)" for each parameter that differs, a teacher's too.

    Raises:
        KpbenchError: the method or the protocol cannot be loaded.
    """
    method = configured_method(
        who.method, role=load_protocol(who.protocol).role, recipe="paper", overrides={}
    )
    published = method.params() if method.paper else {}
    found = [
        f"{name} {_shown(own)} ({_shown(published[name])})"
        for name, own in who.params.items()
        if name in published and own != published[name]
    ]
    if who.dependency is not None:
        other = who.dependency
        inner = [text for text in changed_settings(other) if text not in found]
        found += [f"{other.method}.{text}" for text in inner]
    return found


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
