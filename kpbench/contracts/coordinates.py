"""Whether points are what the contract says: (x, y) in [0, 1] of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kpbench.contracts.types import Array

NEAR = 0.02
"""So far outside of the image a point may lie without being counted."""
SHARE = 0.25
"""Of the coordinates along one axis: more than that beyond one edge are of another unit."""
FEWEST = 16
"""So few coordinates outside say nothing."""


class Span:
    """Where coordinates that come in parts lie about [0, 1].

    Points that honestly leave the image are few, or near. In [-1, 1] half of them are below 0.

    Attributes:
        low: the smallest coordinate so far.
        high: the largest one.
        n: number of points.

    Example:
        >>> span = Span()
        >>> span.add(np.random.default_rng(0).uniform(-1, 1, (100, 4, 2)))
        >>> span.fault().partition(":")[0]
        'got values from -0.999 to 0.999, 42 % of x and 52 % of y outside of the image'
        >>> span = Span()
        >>> span.add(np.random.default_rng(0).uniform(-0.1, 1.1, (100, 4, 2)))
        >>> span.fault()
        ''
    """

    def __init__(self) -> None:
        """Start without points."""
        self.low, self.high = np.inf, -np.inf
        self._below, self._above, self.n = np.zeros(2), np.zeros(2), 0

    def add(self, points: Array) -> None:
        """Take in more points, (..., 2)."""
        if not points.size:
            return
        self.low, self.high = min(self.low, points.min()), max(self.high, points.max())
        if self.low < -NEAR or self.high > 1 + NEAR:
            flat = points.reshape(-1, 2)
            self._below += (flat < -NEAR).sum(0)
            self._above += (flat > 1 + NEAR).sum(0)
        self.n += points.size // 2

    def fault(self) -> str:
        """Return what is wrong and what to do, "" when nothing is, or there are no points."""
        if not self.n:
            return ""
        seen = f"got values from {self.low:.3g} to {self.high:.3g}"
        worst = max(self._below.max(), self._above.max())
        many = worst >= FEWEST and worst > SHARE * self.n
        if not many and -1 <= self.low and self.high <= 2:
            return ""
        if not many or self.high > 2 or self.low < -1 - NEAR:
            return f"{seen}; divide pixels by the image size"
        x, y = 100 * (self._below + self._above) / self.n
        what = "they look like [-1, 1], which (p + 1) / 2 converts"
        if self.low >= -NEAR:
            what = "divide them by what they are at the right and lower edge"
        return f"{seen}, {x:.0f} % of x and {y:.0f} % of y outside of the image: {what}"
