"""Output in whatever encoding it is read: a sign that it lacks is spelled, never an error."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

NAME = "kpbench-spelled"
_SPELLED = {
    **{"↑": "^", "↓": "v", "→": "->", "–": "-", "—": "-", "−": "-", "±": "+-", "†": "+"},
    **{"‡": "++", "÷": "/", "×": "x", "…": "...", "≤": "<=", "≥": ">=", "°": " deg", "·": "."},
    **{"“": '"', "”": '"', "‘": "'", "’": "'", "•": "*", "ß": "ss"},
}


def spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Return what stands for the first character that cannot be encoded, and where to go on.

    A byte of a file's name that was no text when it was read is written as it was.

    Example:
        >>> _ = codecs.register_error(NAME, spelled)
        >>> "4 ± 1 ↓, Zürich, 猫, \udcff".encode("ascii", NAME)
        b'4 +- 1 v, Zurich, ?, \xff'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign = error.object[error.start]
    if "\udc80" <= sign <= "\udcff":
        return bytes([ord(sign) - 0xDC00]), error.start + 1
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return _SPELLED.get(sign, plain or "?"), error.start + 1


def spell_output() -> None:
    """Make the streams of this process spell what they cannot encode."""
    codecs.register_error(NAME, spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=NAME)
