"""A switch for all that makes training faster, so that its effect can be checked and measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_PLAIN = ContextVar("kpbench_plain_training", default=False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Train without any speed-up inside this context.

    Every speed-up must keep the loss curve, up to the order of floating-point sums. Inside this
    context nothing is cached, folded, fused or compiled and the edge map is its naive formula, so a
    training here is what a fast one is compared with.

    Example:
        >>> with plain():
        ...     is_plain()
        True
        >>> is_plain()
        False
    """
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def is_plain() -> bool:
    """Return whether speed-ups are off, see `plain`."""
    return _PLAIN.get()
